"""One label for each utterance: keywords, emotions, sounds."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from speechkit.data import Batch
from speechkit.errors import UserError, suggest
from speechkit.losses import cross_entropy
from speechkit.metrics import accuracy
from speechkit.tasks.inputs import blamed, compute_features, describe_utterance, hear, noise_batch
from speechkit.training import Brain, Loss, Stage

N_TOP = 3  # labels kept with their probabilities in a record


class Classification(Brain):
    """A Brain for single-label classification.

    modules: `features` (waveforms (B, N), lengths) -> (features, frame lengths) and
        `model` (features, frame lengths) -> logits (B, V).
    labels: the V classes, in the order of the logits.
    sample_rate: Hz, of the waveforms that `features` gets.
    clip_seconds: every utterance is padded or cut to it around its middle; null leaves lengths as they are.
    augmentation: `(features, lengths) -> features`, in training only.
    mixup: `(features, targets (B, V), lengths) -> (features, targets)`, in training only.
    loss: `(logits, targets) -> sum over the batch`; targets are classes (B,), or shares (B, V) under mixup.
    """

    criterion = ("accuracy", "max")
    required_modules = ("features", "model")
    inference_keys = ("modules", "labels", "sample_rate", "clip_seconds")
    task = "classification"

    def __init__(
        self,
        *,
        labels: Sequence[str],
        sample_rate: int,
        clip_seconds: float | None = None,
        augmentation: Callable[[Tensor, Tensor], Tensor] | None = None,
        mixup: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.labels, self.sample_rate = _check_labels(labels), sample_rate
        self._n_samples = _count_samples(clip_seconds, sample_rate)
        if (reduction := getattr(loss, "reduction", "sum")) != "sum":  # as torch's losses have
            expected, do = "the sum over the batch", "give it reduction: sum"
            raise UserError(f"its reduction is {reduction!r}", expected=expected, do=do, key="loss")
        self.augmentation, self.mixup, self.loss = augmentation, mixup, loss
        self._index = {label: index for index, label in enumerate(self.labels)}

    def compute_forward(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        """Logits (B, V) and targets, which mixup may have mixed."""
        targets = self._targets(batch)
        features, lengths = compute_features(self.modules, batch.waveforms, batch.lengths, self._n_samples)
        if stage is Stage.TRAIN and self.augmentation is not None:
            with blamed("augmentation"):
                features = self.augmentation(features, lengths)
        if stage is Stage.TRAIN and self.mixup is not None:
            shares = nn.functional.one_hot(targets, len(self.labels)).to(features.dtype)
            with blamed("mixup"):
                features, targets = self.mixup(features, shares, lengths)
        logits = self.modules["model"](features, lengths)
        shape, expected = tuple(logits.shape), (len(batch), len(self.labels))
        if shape != expected:
            found = f"the model gives {shape[-1]} outputs, in a tensor of shape {shape}"
            raise UserError(found, expected=f"{expected}, one output a label", key="modules.model")
        return logits, targets

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Batch, stage: Stage) -> Loss:
        logits, targets = predictions
        return Loss(self.loss(logits, targets), len(batch))

    def compute_records(
        self, predictions: tuple[Tensor, Tensor], batch: Batch, stage: Stage
    ) -> list[dict[str, Any]]:
        logits, targets = predictions
        log_probabilities = logits.float().log_softmax(-1).cpu()
        values, indices = log_probabilities.topk(min(N_TOP, len(self.labels)))
        losses = -log_probabilities.gather(1, targets.cpu()[:, None])[:, 0]
        records = []
        for row in range(len(batch)):
            shares = zip(indices[row].tolist(), values[row].exp().tolist(), strict=True)
            best = [(self.labels[index], share) for index, share in shares]
            records.append(
                {
                    **describe_utterance(batch, row),
                    "hypothesis": best[0][0],
                    "alignment": None,
                    "counts": {"correct": int(best[0][0] == batch.texts[row]), "total": 1},
                    "scores": {"probability": best[0][1], "loss": losses[row].item(), "top": best},
                    "skipped": None,
                }
            )
        return records

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        return {"accuracy": accuracy(records)}

    def fake_batch(self, n_utterances: int = 2) -> Batch:
        """Noise in the form of data, at most 1 s, of different lengths: for the dry run."""
        return noise_batch(self.sample_rate, [self.labels[0], self.labels[-1]][:n_utterances])

    def _targets(self, batch: Batch) -> Tensor:
        try:
            return torch.tensor([self._index[text] for text in batch.texts], device=batch.waveforms.device)
        except KeyError as error:
            row = batch.texts.index(error.args[0])
            raise UserError(
                f"utterance {batch.ids[row]} has the label {batch.texts[row]!r}, which is not among labels"
                + suggest(batch.texts[row], self.labels),
                do="add it to labels, or leave the utterance out of the manifest",
                key="labels",
            ) from None


class Prediction(NamedTuple):
    """The best label, its probability, and the probabilities of all labels."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier:
    """A trained classifier, as `speechkit.load` gives it."""

    def __init__(
        self,
        modules: nn.ModuleDict,
        labels: Sequence[str],
        sample_rate: int,
        clip_seconds: float | None = None,
    ) -> None:
        self.modules, self.labels = modules.eval(), list(labels)
        self.sample_rate, self._n_samples = sample_rate, _count_samples(clip_seconds, sample_rate)

    @torch.inference_mode()
    def predict(self, waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int) -> Prediction:
        """Label one waveform.

        waveform: (N,) within [-1, 1], or (C, N), of which the mean over channels is taken.
        sample_rate: Hz; another rate than the model's is resampled.

        As with data, a waveform beyond [-1, 1] is scaled down to its peak.
        """
        wave = hear(waveform, sample_rate, self.sample_rate)
        device = next(self.modules.parameters()).device
        features, lengths = compute_features(
            self.modules,
            wave[None].to(device),
            torch.tensor([len(wave)], device=device),
            self._n_samples,
        )
        probabilities = self.modules["model"](features, lengths)[0].softmax(-1).tolist()
        best = int(np.argmax(probabilities))
        return Prediction(
            self.labels[best], probabilities[best], dict(zip(self.labels, probabilities, strict=True))
        )


def _count_samples(clip_seconds: float | None, sample_rate: int) -> int | None:
    n_samples = None if clip_seconds is None else round(clip_seconds * sample_rate)
    if n_samples is not None and n_samples < 1:
        raise UserError(f"clips of {clip_seconds} s", expected="a sample or more", key="clip_seconds")
    return n_samples


def _check_labels(labels: Sequence[str]) -> list[str]:
    wrong = [label for label in labels if not isinstance(label, str)]
    if wrong:
        raise UserError(f"the label {wrong[0]!r} is no text", do="put it in quotes", key="labels")
    if len(set(labels)) != len(labels) or len(labels) < 2:
        raise UserError(f"labels are {list(labels)}", expected="at least two, all different", key="labels")
    return list(labels)
