"""Speech recognition: a text for each utterance, by CTC, by an attention decoder, or by both."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from speechkit import report
from speechkit.data import Batch
from speechkit.decoding import Hypothesis, Search
from speechkit.errors import UserError
from speechkit.losses import ctc_loss, seq2seq_loss
from speechkit.metrics import TextNormalizer, error_rate
from speechkit.ops.evaluating import evaluating
from speechkit.tasks.alignments import Clip, align_clips
from speechkit.tasks.asr_checks import check_choices, check_modules, checked_search, weights_by_epoch
from speechkit.tasks.inputs import blamed, compute_features, describe_utterance, noise_batch
from speechkit.tasks.listening import compute_log_probs, encode, find_texts, list_results, output_lengths
from speechkit.tasks.scoring import describe_texts
from speechkit.tasks.targets import (
    Namer,
    Targets,
    Tokenizer,
    UnfitTarget,
    encode_text,
    leave_out,
    pad_targets,
    ready_tokenizer,
)
from speechkit.tasks.timing import describe_times
from speechkit.training import Brain, Loss, Stage
from speechkit.training.parallel import without_gradients

# B batch, N samples, T frames, W width, V tokens with the blank, R utterances with a target of U tokens


class Predictions(NamedTuple):
    """What the model makes of a batch, and the targets that it was told."""

    frames: Tensor  # (B, T, W)
    lengths: Tensor  # (B,) frames
    log_probs: Tensor | None  # CTC's (B, T, V)
    logits: Tensor | None  # of the attention decoder, (R, U + 1, V)
    targets: Targets


class ASR(Brain):
    """A Brain for speech recognition by CTC, by an attention decoder, or by both together.

    modules: `features` (waveforms (B, N), lengths) -> (features, frame lengths), `encoder` (features, frame
        lengths) -> (B, T, W), both with `output_lengths(lengths)`; and `ctc` (B, T, W) -> logits (B, T, V),
        or `decoder`, such as `models.TransformerDecoder`, or both.
    tokenizer: texts to tokens and back; its `n_tokens` is V, and token 0 the blank, and begin and end of a
        text. What it learns from the training's texts is kept in the run's folder.
    sample_rate: Hz, of the waveforms that `features` gets.
    augmentation: `(features, lengths) -> features`, in training only.
    ctc_weight: w of the loss (1 - w) attention + w CTC, from 0 to 1, for a model with both (Watanabe et al.,
        2017); or weights by the epoch from which they hold: {1: 0.5, 10: 0.3}.
    label_smoothing: of the attention decoder's loss in training, from 0 to below 1.
    search, valid_search: how texts are found in test and in validation, such as `decoding.JointSearch`; null
        takes the likeliest token each time.
    normalizer: what of texts counts when they are scored; null scores them as they stand.
    unit: what stands between the blanks of a text: "word" gives the figures wer and cer, "phone" gives per,
        of the phones that the tokenizer makes of a text.
    unfit_targets: of a training utterance whose text has a symbol that the tokenizer lacks, or more tokens
        than CTC can place on its frames, or of which the encoder leaves no frame: "skip" leaves it out,
        counts it and names the first ten; "stop" ends with an error. In validation and test all utterances
        count; such a one only has no loss.
    """

    required_modules = ("features", "encoder")
    inference_keys = ("modules", "tokenizer", "sample_rate", "search")
    decoding_keys = ("search", "normalizer")  # may be changed when weights are evaluated again
    free_keys = (*Brain.free_keys, "search")
    task = "asr"

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        sample_rate: int,
        augmentation: Callable[[Tensor, Tensor], Tensor] | None = None,
        ctc_weight: float | Mapping[int, float] = 0.3,
        label_smoothing: float = 0.0,
        search: Search | None = None,
        valid_search: Search | None = None,
        normalizer: TextNormalizer | None = None,
        unit: Literal["word", "phone"] = "word",
        unfit_targets: Literal["skip", "stop"] = "skip",
        **kwargs: Any,
    ) -> None:
        check_choices(unit, unfit_targets, label_smoothing)
        self.criterion = ("wer" if unit == "word" else "per", "min")
        self._is_sharded = kwargs.get("parallel") == "shards"
        if self._is_sharded and "decoder" in kwargs.get("modules", {}):
            found = "parallel: shards with an attention decoder, whose steps a shard cannot take"
            raise UserError(found, do="take parallel: replicas, or a model of CTC alone", key="parallel")
        super().__init__(**kwargs)
        check_modules(self.modules)
        self.tokenizer, self.sample_rate, self.augmentation = tokenizer, sample_rate, augmentation
        self.ctc_weights, self.label_smoothing = weights_by_epoch(ctc_weight), label_smoothing
        self.search = checked_search(search, self.modules, "search")
        self.valid_search = checked_search(valid_search, self.modules, "valid_search")
        self.normalizer, self.unit, self.unfit_targets = normalizer, unit, unfit_targets
        self._name = Namer()

    @property
    def ctc_weight(self) -> float:
        """CTC's share of the loss in this epoch."""
        if "decoder" not in self.modules:
            return 1.0
        if "ctc" not in self.modules:
            return 0.0
        return self.ctc_weights[max(each for each in self.ctc_weights if each <= max(1, self.progress.epoch))]

    def prepare_run(self) -> None:
        """The tokenizer learns, and the search of the test is tried: at its end a training has cost much."""
        texts: Iterable[str] = getattr(self.train_data, "texts", list)()
        self.tokenizer.prepare(texts, self.output_folder)
        if self._is_sharded:  # a pass needs all processes, and this is one of them
            return
        with evaluating(self.modules), without_gradients(self.modules):
            batch = self.fake_batch().to(self.device)
            self.compute_records(self.compute_forward(batch, Stage.TEST), batch, Stage.TEST)

    def load_run(self, run: Path) -> None:
        """The tokenizer that a run has learned."""
        self.tokenizer.load(run)

    def screen(self, batch: Batch) -> Batch:
        """The batch without utterances whose text cannot be learned."""
        lengths = output_lengths(self.modules["features"], batch.lengths)
        n_frames: list[int] = output_lengths(self.modules["encoder"], lengths).tolist()
        return leave_out(
            batch, self._name, self.unfit_targets, lambda row: self._encode(batch.texts[row], n_frames[row])
        )

    def compute_forward(self, batch: Batch, stage: Stage) -> Predictions:
        """Encoded frames and what the model's heads make of them; the decoder is told the targets."""
        features, lengths = compute_features(self.modules, batch.waveforms, batch.lengths)
        if stage is Stage.TRAIN and self.augmentation is not None:
            with blamed("augmentation"):
                features = self.augmentation(features, lengths)
        frames, lengths = encode(self.modules, features, lengths)
        log_probs = compute_log_probs(self.modules, frames, self.tokenizer.n_tokens)
        targets = self._find_targets(lengths, batch)
        return Predictions(frames, lengths, log_probs, self._tell_decoder(frames, lengths, targets), targets)

    def compute_objectives(self, predictions: Predictions, batch: Batch, stage: Stage) -> Loss:
        losses = self._losses(predictions, stage)["loss"]
        return Loss(losses.sum(), len(losses))

    def compute_records(self, predictions: Predictions, batch: Batch, stage: Stage) -> list[dict[str, Any]]:
        columns = {name: each.tolist() for name, each in self._losses(predictions, stage).items()}
        scores: list[dict[str, float | None]] = [{"loss": None} for _ in batch.ids]
        for place, row in enumerate(predictions.targets.rows):
            scores[row] = {name: column[place] for name, column in columns.items()}
        search = self.search if stage is Stage.TEST else self.valid_search
        results = find_texts(self.modules, *predictions[:3], search)
        found = [best for best, *_ in results]
        tokenizer = ready_tokenizer(self.tokenizer)
        nothing: list[dict[str, Any]] = [{}] * len(found)
        times, lists = nothing, nothing
        if stage is Stage.TEST:
            times, lists = self._time(predictions, found), list_results(results, tokenizer)
        return [
            {
                **describe_utterance(batch, row),
                **describe_texts(tokenizer, batch.texts[row], best.tokens, self.normalizer, self.unit),
                **times[row],
                **lists[row],
                "scores": scores[row],
            }
            for row, best in enumerate(found)
        ]

    def align_clips(self, clips: Iterable[Clip], texts: Mapping[str, list[int]]) -> list[dict[str, Any]]:
        """Where in time the tokens of recognised texts lie: lines of `alignments/<subset>.jsonl`."""
        return align_clips(self.modules, self.tokenizer, clips, texts)

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        metrics = {
            name: sum(record["scores"][name] for record in has) / len(has)
            for name in ("attention_loss", "ctc_loss")
            if (has := [record for record in records if name in record["scores"]])
        }
        if self.unit == "phone":
            return metrics | {"per": error_rate(records, "phones")}
        cer = error_rate(records, "characters", ["character_errors"])
        return metrics | {"wer": error_rate(records), "cer": cer}

    def on_stage_start(self, stage: Stage, epoch: int) -> None:
        """Before a test: what its texts are found and scored by, for the report."""
        if stage is Stage.TEST and self.processes.is_main:
            symbols = "\n".join(ready_tokenizer(self.tokenizer).symbols)
            told = {
                "schema": report.SCHEMA,
                "normalization": self.normalizer.rule if self.normalizer else "none: texts as they stand",
                "search": self.search.describe(),
                "tokenizer_sha256": hashlib.sha256(symbols.encode()).hexdigest(),
            }
            report.write_json(self.output_folder / "decoding.json", told, "decoding")

    def fake_batch(self, n_utterances: int = 2) -> Batch:
        """Noise in the form of data, at most 1 s, of different lengths: for the dry run."""
        tokenizer = ready_tokenizer(self.tokenizer)
        texts = [tokenizer.decode([token]) for token in (1, tokenizer.n_tokens - 1)]
        return noise_batch(self.sample_rate, texts[:n_utterances])

    def _encode(self, text: str, n_frames: int) -> list[int]:
        return encode_text(ready_tokenizer(self.tokenizer), text, n_frames, by_ctc="ctc" in self.modules)

    def _find_targets(self, lengths: Tensor, batch: Batch) -> Targets:
        targets = {}
        for row, n_frames in enumerate(lengths.tolist()):
            with suppress(UnfitTarget):
                targets[row] = self._encode(batch.texts[row], n_frames)
        return pad_targets(targets, lengths.device)

    def _tell_decoder(self, frames: Tensor, lengths: Tensor, targets: Targets) -> Tensor | None:
        """Logits (R, U + 1, V) of the next token, given those before."""
        if "decoder" not in self.modules or not targets.rows:
            return None
        if len(targets.rows) < len(frames):
            frames, lengths = frames[targets.rows], lengths[targets.rows]
        logits = self.modules["decoder"](targets.tokens, targets.lengths, frames, lengths)
        if logits.shape[-1] != self.tokenizer.n_tokens:
            found = f"the decoder gives {logits.shape[-1]} outputs"
            expected = f"{self.tokenizer.n_tokens}, one a token of the tokenizer with the boundary"
            raise UserError(found, expected=expected, key="modules.decoder")
        return logits

    def _losses(self, predictions: Predictions, stage: Stage) -> dict[str, Tensor]:
        """In nats, of each utterance that has a target, (R,); of a model with two heads also one by one."""
        frames, lengths, log_probs, logits, (rows, tokens, n_tokens) = predictions
        if not rows:
            return {"loss": frames.sum((1, 2))[rows]}
        losses = {}
        if logits is not None:
            smoothing = self.label_smoothing if stage is Stage.TRAIN else 0.0
            losses["attention_loss"] = seq2seq_loss(logits, tokens, n_tokens, smoothing)
        if log_probs is not None:
            losses["ctc_loss"] = ctc_loss(log_probs[rows], lengths[rows], tokens, n_tokens)
        if len(losses) == 1:
            return {"loss": next(iter(losses.values()))}
        weight = self.ctc_weight
        return {"loss": (1 - weight) * losses["attention_loss"] + weight * losses["ctc_loss"], **losses}

    def _time(self, predictions: Predictions, found: Sequence[Hypothesis]) -> list[dict[str, Any]]:
        heard, tokenizer = (predictions.log_probs, predictions.lengths), ready_tokenizer(self.tokenizer)
        return describe_times(
            self.modules, self.sample_rate, heard, [each.tokens for each in found], tokenizer
        )
