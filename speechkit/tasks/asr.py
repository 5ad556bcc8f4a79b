"""Speech recognition: a text for each utterance, by CTC."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechkit.data import Batch, Skipped
from speechkit.decoding import greedy_ctc
from speechkit.errors import UserError
from speechkit.losses import ctc_loss, ctc_min_frames
from speechkit.metrics import align, count_operations, edit_distance, error_rate
from speechkit.tasks.inputs import blamed, compute_features, describe_utterance, hear, noise_batch
from speechkit.training import Brain, Loss, Stage

# B batch, N samples, T frames, V tokens with the blank
MAX_NAMED = 10  # utterances left out that are named to the user; all are counted


class Tokenizer(Protocol):
    """Texts to numbers from 1 to n_tokens - 1, and back; 0 is CTC's blank."""

    @property
    def n_tokens(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class UnfitTarget(UserError):
    """A text that cannot be learned; `reason` is a word or two to count by."""

    def __init__(self, reason: str, found: str, **told: Any) -> None:
        super().__init__(found, **told)
        self.reason = reason


class ASR(Brain):
    """A Brain for speech recognition by CTC, decoded greedily.

    modules: `features` (waveforms (B, N), lengths) -> (features, frame lengths), `encoder` (features, frame
        lengths) -> (B, T, W), both with `output_lengths(lengths)`, and `ctc` (B, T, W) -> logits (B, T, V).
    tokenizer: texts to tokens and back; its `n_tokens` is V, and token 0 the blank.
    sample_rate: Hz, of the waveforms that `features` gets.
    augmentation: `(features, lengths) -> features`, in training only.
    unit: what stands between the blanks of a text: "word" gives the figures wer and cer, "phone" gives per.
    unfit_targets: of a training utterance whose text has a symbol that the tokenizer lacks, or more tokens
        than CTC can place on its frames, or of which the encoder leaves no frame: "skip" leaves it out,
        counts it and names the first ten; "stop" ends with an error. In validation and test all utterances
        count; such a one only has no loss.
    """

    required_modules = ("features", "encoder", "ctc")
    inference_keys = ("modules", "tokenizer", "sample_rate")
    task = "asr"

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        sample_rate: int,
        augmentation: Callable[[Tensor, Tensor], Tensor] | None = None,
        unit: Literal["word", "phone"] = "word",
        unfit_targets: Literal["skip", "stop"] = "skip",
        **kwargs: Any,
    ) -> None:
        if unit not in ("word", "phone"):
            raise UserError(f"unit: {unit!r}", expected="word or phone", key="unit")
        if unfit_targets not in ("skip", "stop"):
            raise UserError(f"unfit_targets: {unfit_targets!r}", expected="skip or stop", key="unfit_targets")
        self.criterion = ("wer" if unit == "word" else "per", "min")
        super().__init__(**kwargs)
        for name in ("features", "encoder"):
            if not callable(getattr(self.modules[name], "output_lengths", None)):
                found = f"{type(self.modules[name]).__name__} has no output_lengths"
                expected = "lengths (B,) to those of its output"
                raise UserError(found, expected=expected, key=f"modules.{name}")
        self.tokenizer, self.sample_rate, self.augmentation = tokenizer, sample_rate, augmentation
        self.unit, self.unfit_targets = unit, unfit_targets
        self._named: set[str] = set()

    def screen(self, batch: Batch) -> Batch:
        """The batch without utterances whose text cannot be learned."""
        left_out = {}
        n_frames = output_lengths(self.modules["features"], batch.lengths)
        for row, n in enumerate(output_lengths(self.modules["encoder"], n_frames).tolist()):
            try:
                self._encode(batch.texts[row], n)
            except UnfitTarget as error:
                error.found = f"utterance {batch.ids[row]}: {error.found}"
                if self.unfit_targets == "stop":
                    error.do = f"{error.do}, or set unfit_targets: skip"
                    raise
                left_out[row] = Skipped(batch.ids[row], error.reason, str(error))
        return batch.without(left_out, self._name(list(left_out.values()))) if left_out else batch

    def compute_forward(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T, V) and true lengths in frames (B,)."""
        features, lengths = compute_features(self.modules, batch.waveforms, batch.lengths)
        if stage is Stage.TRAIN and self.augmentation is not None:
            with blamed("augmentation"):
                features = self.augmentation(features, lengths)
        return compute_log_probs(self.modules, features, lengths, self.tokenizer.n_tokens)

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Batch, stage: Stage) -> Loss:
        losses = self._losses(predictions, batch, stage)
        return Loss(losses.sum(), len(losses))

    def compute_records(
        self, predictions: tuple[Tensor, Tensor], batch: Batch, stage: Stage
    ) -> list[dict[str, Any]]:
        fits = self._fits(predictions[1], batch)
        losses = dict(zip(fits, self._losses(predictions, batch, stage).tolist(), strict=True))
        records = []
        for row, hypothesis in enumerate(greedy_ctc(*predictions)):
            text = self.tokenizer.decode(hypothesis.tokens)
            alignment = align(batch.texts[row].split(), text.split())
            records.append(
                {
                    **describe_utterance(batch, row),
                    "hypothesis": text,
                    "alignment": alignment,
                    "counts": self._count(alignment, batch.texts[row], text),
                    "scores": {"loss": losses.get(row)},
                    "skipped": None,
                }
            )
        return records

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        if self.unit == "phone":
            return {"per": error_rate(records, "phones")}
        return {"wer": error_rate(records), "cer": error_rate(records, "characters", ["character_errors"])}

    def on_stage_end(self, stage: Stage, metrics: dict[str, float], epoch: int) -> None:
        if stage is Stage.TRAIN and not metrics:
            found = f"no step was taken in epoch {epoch}: nothing can be learned from any utterance"
            raise UserError(found, do="look at what was left out, and why", key="train_data")

    def fake_batch(self, n_utterances: int = 2) -> Batch:
        """Noise in the form of data, at most 1 s, of different lengths: for the dry run."""
        texts = [self.tokenizer.decode([token]) for token in (1, self.tokenizer.n_tokens - 1)]
        return noise_batch(self.sample_rate, texts[:n_utterances])

    def _encode(self, text: str, n_frames: int) -> list[int]:
        """The tokens of a text, which CTC can place on n_frames."""
        try:
            target = self.tokenizer.encode(text)
        except UserError as error:
            raise UnfitTarget("unknown symbol", error.found, do=error.do, key="tokenizer") from None
        if not n_frames:
            raise UnfitTarget("no frame", "the encoder leaves no frame of it", do="take longer audio")
        if (needed := ctc_min_frames(target)) > n_frames:
            found, do = (
                f"CTC needs {needed} frames for {len(target)} tokens",
                "let the encoder keep more frames",
            )
            raise UnfitTarget("text too long", found, expected=f"at most the {n_frames} there are", do=do)
        return target

    def _name(self, left_out: Sequence[Skipped]) -> list[str]:
        """What to tell of utterances that are left out: each once, ten at most."""
        new = [each for each in left_out if each.id not in self._named][: MAX_NAMED + 1 - len(self._named)]
        self._named |= {each.id for each in new}
        notices = [f"left out: {each.detail}" for each in new]
        if new and len(self._named) > MAX_NAMED:
            notices[-1] = "more utterances are left out for their texts; they are only counted"
        return notices

    def _fits(self, lengths: Tensor, batch: Batch) -> dict[int, list[int]]:
        """The targets that have a loss, by row."""
        targets = {}
        for row, n_frames in enumerate(lengths.tolist()):
            with suppress(UnfitTarget):
                targets[row] = self._encode(batch.texts[row], n_frames)
        return targets

    def _losses(self, predictions: tuple[Tensor, Tensor], batch: Batch, stage: Stage) -> Tensor:
        """Of each utterance that has one, in the order of the rows."""
        log_probs, lengths = predictions
        fits = self._fits(lengths, batch)
        rows, targets = list(fits), [torch.tensor(target, dtype=torch.int64) for target in fits.values()]
        if not rows:
            return log_probs.sum((1, 2))[rows]
        target_lengths = torch.tensor([len(target) for target in targets], device=lengths.device)
        padded = pad_sequence(targets, batch_first=True).to(log_probs.device)
        return ctc_loss(log_probs[rows], lengths[rows], padded, target_lengths)

    def _count(self, alignment: Sequence[Any], reference: str, hypothesis: str) -> dict[str, int]:
        counts = count_operations(alignment)
        if self.unit == "phone":
            return counts | {"phones": len(reference.split())}
        # Characters with one space between words, as no ear hears two.
        reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
        characters = {"characters": len(reference), "character_errors": edit_distance(reference, hypothesis)}
        return counts | {"words": len(reference.split())} | characters


class Transcription(NamedTuple):
    """A text, and the natural log of the probability of the path that it was read off."""

    text: str
    log_probability: float


class Recognizer:
    """A trained recogniser, as `speechkit.load` gives it."""

    def __init__(self, modules: nn.ModuleDict, tokenizer: Tokenizer, sample_rate: int) -> None:
        self.modules, self.tokenizer, self.sample_rate = modules.eval(), tokenizer, sample_rate

    @torch.inference_mode()
    def predict(self, waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int) -> Transcription:
        """Transcribe one waveform.

        waveform: (N,) within [-1, 1], or (C, N), of which the mean over channels is taken.
        sample_rate: Hz; another rate than the model's is resampled.

        As with data, a waveform beyond [-1, 1] is scaled down to its peak.
        """
        wave = hear(waveform, sample_rate, self.sample_rate)
        device = next(self.modules.parameters()).device
        waveforms, lengths = wave[None].to(device), torch.tensor([len(wave)], device=device)
        features, lengths = compute_features(self.modules, waveforms, lengths)
        log_probs, lengths = compute_log_probs(self.modules, features, lengths, self.tokenizer.n_tokens)
        (hypothesis,) = greedy_ctc(log_probs, lengths)
        return Transcription(self.tokenizer.decode(hypothesis.tokens), hypothesis.score)


def compute_log_probs(
    modules: nn.ModuleDict, features: Tensor, lengths: Tensor, n_tokens: int
) -> tuple[Tensor, Tensor]:
    """Features to log-probabilities (B, T, V) of the tokens and true lengths (B,), in float32 at least."""
    if not _leaves_frames(modules["encoder"], features.shape[1]):
        empty = features.new_zeros(len(features), 0, n_tokens)
        return empty, torch.zeros_like(lengths)  # layers refuse what is shorter than their windows
    encoded = modules["encoder"](features, lengths)
    lengths = output_lengths(modules["encoder"], lengths)
    if not isinstance(encoded, Tensor) or encoded.dim() != 3 or lengths is None:
        shape = tuple(encoded.shape) if isinstance(encoded, Tensor) else type(encoded).__name__
        expected = "(batch, frames, width), with lengths"
        raise UserError(f"the encoder gives {shape}", expected=expected, key="modules.encoder")
    logits = modules["ctc"](encoded)
    if logits.shape != (*encoded.shape[:2], n_tokens):
        found = f"the layer gives {logits.shape[-1]} outputs, in a tensor of shape {tuple(logits.shape)}"
        expected = f"{n_tokens}, one a token of the tokenizer with the blank"
        raise UserError(found, expected=expected, key="modules.ctc")
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32)), lengths


def output_lengths(module: nn.Module, lengths: Tensor) -> Tensor:
    """What a module makes of lengths."""
    return cast(Any, module).output_lengths(lengths)


def _leaves_frames(encoder: nn.Module, n_frames: int) -> bool:
    after = output_lengths(encoder, torch.tensor([n_frames]))
    return after is None or bool(after > 0)
