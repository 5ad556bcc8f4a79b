"""Separation: the sources of a mixture, two or more speakers, or one in noise."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechkit.data import Batch, Talker
from speechkit.errors import UserError
from speechkit.losses import separation_loss
from speechkit.metrics import score_separation
from speechkit.metrics.separation import Measure
from speechkit.ops.lengths import mask_padding
from speechkit.tasks.inputs import blamed, describe_utterance, noise_batch
from speechkit.tasks.kept_mixtures import KeptMixtures
from speechkit.training import Brain, Loss, Stage

# B batch, S sources, N samples

SUMMED = ("si_snri", "si_snr", "sdri", "sdr")


class Predictions(NamedTuple):
    """What the model makes of a batch."""

    estimates: Tensor | None  # (B, S, N); None in training by a loss of the model's own
    losses: Tensor  # (B,)


class Separation(Brain):
    """A Brain for separation, in the best order of sources.

    modules: `separator` (waveforms (B, N), lengths) -> estimates (B, S, N), such as
        `models.MaskingSeparator`. One that learns by a loss of its own, as deep clustering does, has
        `compute_loss(waveforms, sources (B, S, N), lengths) -> (B,)`, which takes the place of `loss`.
    sample_rate: Hz, of the waveforms that it gets.
    n_sources: S. One is enhancement.
    loss: `(estimates, sources, lengths) -> (B,)`; by default the negative SI-SNR of the best order, in dB:
        `losses.separation_loss`, bound to `pairwise: !name:speechkit.losses.pairwise_l1`, say, for another.
    measures: of the test besides, by name: `(estimates (S, N), references (S, N)) -> (S,)` in numpy, such as
        `stoi: !name:speechkit.metrics.stoi {sample_rate: 8000}`.
    n_clips: mixtures that the report plays, from the worst over the median to the best.

    Data are `CutBatches` with a `mixing`. Validation measures SI-SNR and its improvement over the mixture,
    the test SDR too; each mixture is separated once.
    """

    criterion = ("si_snri", "max")
    required_modules = ("separator",)
    inference_keys = ("modules", "sample_rate", "n_sources")
    free_keys = (*Brain.free_keys, "n_clips", "measures")
    decoding_keys = ("n_clips", "measures")  # may be changed when weights are evaluated again
    task = "separation"

    def __init__(
        self,
        *,
        sample_rate: int,
        n_sources: int = 2,
        loss: Callable[[Tensor, Tensor, Tensor], Tensor] = separation_loss,
        measures: Mapping[str, Measure] | None = None,
        n_clips: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if n_sources < 1:
            raise UserError(f"n_sources {n_sources}", expected="1 or more", key="n_sources")
        if n_clips < 0:
            raise UserError(f"n_clips {n_clips}", expected="0 or more", key="n_clips")
        self.sample_rate, self.n_sources, self.loss = sample_rate, n_sources, loss
        self.measures, self.n_clips = dict(measures or {}), n_clips
        self._kept = KeptMixtures(n_clips)

    def prepare_run(self) -> None:
        """Measures of the test are tried: a package may be missing, and a training costs much."""
        signals = np.random.default_rng(0).standard_normal((self.n_sources, self.sample_rate)) / 10
        for name, measure in self.measures.items():
            with blamed(f"measures.{name}"):
                measure(signals, signals)

    def compute_forward(self, batch: Batch, stage: Stage) -> Predictions:
        """Estimates and the loss of each mixture."""
        sources = self._check_sources(batch)
        own_loss: Any = getattr(self.modules["separator"], "compute_loss", None)
        if own_loss is not None:
            losses = own_loss(batch.waveforms, sources, batch.lengths)
            return Predictions(None if stage is Stage.TRAIN else self._separate(batch), losses)
        estimates = self._separate(batch)
        return Predictions(estimates, self.loss(estimates, sources, batch.lengths))

    def compute_objectives(self, predictions: Predictions, batch: Batch, stage: Stage) -> Loss:
        if predictions.losses.shape != (len(batch),):
            found = f"a loss of shape {tuple(predictions.losses.shape)}"
            raise UserError(found, expected=f"({len(batch)},), one a mixture", key="loss")
        return Loss(predictions.losses.sum(), len(batch))

    def compute_records(self, predictions: Predictions, batch: Batch, stage: Stage) -> list[dict[str, Any]]:
        assert predictions.estimates is not None
        assert batch.sources is not None
        estimates, sources, waveforms = (
            x.detach().float().cpu().numpy() for x in (predictions.estimates, batch.sources, batch.waveforms)
        )
        records = []
        for row, n_samples in enumerate(batch.lengths.tolist()):
            heard = estimates[row, :, :n_samples], sources[row, :, :n_samples], waveforms[row, :n_samples]
            is_test = stage is Stage.TEST
            found = score_separation(*heard, more=self.measures if is_test else None, with_sdr=is_test)
            scores, each = found["scores"], zip(batch.talkers[row], found["sources"], strict=True)
            record = {
                **describe_utterance(batch, row),
                "speaker": None,
                "group": _compare_genders(batch.talkers[row]) or batch.groups[row] or None,
                "reference": None,
                "counts": {"sources": self.n_sources},
                "scores": scores,
                "sources": [_describe(*both) for both in each],
                "skipped": None,
            }
            records.append(record)
            if is_test:
                self._kept.add(batch.ids[row], scores["si_snri"], *heard)
        return records

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        found = {name: [record["scores"].get(name) for record in records] for name in SUMMED}
        known = {name: [value for value in values if value is not None] for name, values in found.items()}
        return {name: float(np.mean(values)) for name, values in known.items() if values}

    def on_stage_start(self, stage: Stage, epoch: int) -> None:
        self._kept = KeptMixtures(self.n_clips)

    def list_clips(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, np.ndarray, int, str]]:
        """Of some mixtures of a test (id, samples, sample rate, part): the mixture, estimates, references.

        Called in all processes together, after the evaluation.
        """
        together = KeptMixtures(self.n_clips)
        for each in self.processes.gather(self._kept):
            together.join(each, {record["id"] for record in records})
        return [(name, x, self.sample_rate, part) for name, part, x in together.list_parts()]

    def fake_batch(self, n_utterances: int = 2) -> Batch:
        """Noises in the form of data, at most 1 s, of different lengths: for the dry run."""
        batch = noise_batch(self.sample_rate, [""] * n_utterances)
        # Noises of their own: of a mixture times a number no improvement could be measured.
        noise = torch.randn(n_utterances, self.n_sources, batch.waveforms.shape[1])
        batch.sources = mask_padding(noise / 100, batch.lengths, axis=2)
        batch.waveforms = batch.sources.sum(1) + batch.waveforms / 10
        batch.talkers = [[Talker()] * self.n_sources] * n_utterances
        return batch

    def _check_sources(self, batch: Batch) -> Tensor:
        n_found = 0 if batch.sources is None else batch.sources.shape[1]
        if batch.sources is None or n_found != self.n_sources:
            do = "give the data mixing: RecordedSources or DynamicMixing, of as many sources"
            found = f"data with {n_found} sources"
            raise UserError(found, expected=f"n_sources, {self.n_sources}", do=do, key="n_sources")
        return batch.sources

    def _separate(self, batch: Batch) -> Tensor:
        estimates = self.modules["separator"](batch.waveforms, batch.lengths)
        expected = (len(batch), self.n_sources, batch.waveforms.shape[1])
        if estimates.shape != expected:
            found = f"the separator gives a tensor of shape {tuple(estimates.shape)}"
            what = f"{expected}: mixtures, sources, samples"
            raise UserError(found, expected=what, key="modules.separator")
        return estimates


def _describe(talker: Talker, scores: Mapping[str, Any]) -> dict[str, Any]:
    return {"speaker": talker.speaker or None, "gender": talker.gender or None, **scores}


def _compare_genders(talkers: Sequence[Talker]) -> str | None:
    genders = {talker.gender for talker in talkers}
    if len(talkers) < 2 or "" in genders:
        return None
    return "same gender" if len(genders) == 1 else "mixed gender"
