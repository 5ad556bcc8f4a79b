"""From features to what a search needs: frames, CTC's log-probabilities, a decoder at its start."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from speechkit.decoding import Heard, Hypothesis, Scorer, Search
from speechkit.errors import UserError
from speechkit.nnet import keep_matrices
from speechkit.tasks.targets import Tokenizer

# B batch, T frames, W width, V tokens with the blank


def encode(modules: nn.ModuleDict, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Features to encoded frames (B, T, W) and true lengths (B,); no frames of audio that is too short."""
    if not _leaves_frames(modules["encoder"], features.shape[1]):
        return features.new_zeros(len(features), 0, 1), torch.zeros_like(lengths)
    frames = modules["encoder"](features, lengths)
    lengths = output_lengths(modules["encoder"], lengths)
    if not isinstance(frames, Tensor) or frames.dim() != 3 or lengths is None:
        shape = tuple(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
        expected = "(batch, frames, width), with lengths"
        raise UserError(f"the encoder gives {shape}", expected=expected, key="modules.encoder")
    return frames, lengths


def compute_log_probs(modules: nn.ModuleDict, frames: Tensor, n_tokens: int) -> Tensor | None:
    """CTC's log-probabilities (B, T, V), in float32 at least; None without CTC."""
    if "ctc" not in modules:
        return None
    if not frames.shape[1]:
        return frames.new_zeros(len(frames), 0, n_tokens)
    logits = modules["ctc"](frames)
    if logits.shape != (*frames.shape[:2], n_tokens):
        found = f"the layer gives {logits.shape[-1]} outputs, in a tensor of shape {tuple(logits.shape)}"
        expected = f"{n_tokens}, one a token of the tokenizer with the blank"
        raise UserError(found, expected=expected, key="modules.ctc")
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def find_texts(
    modules: nn.ModuleDict, frames: Tensor, lengths: Tensor, log_probs: Tensor | None, search: Search
) -> list[list[Hypothesis]]:
    """The results of a search in each utterance, best first; of no frames the empty text."""
    results = [[Hypothesis([], None, 0.0)] for _ in lengths]
    rows = lengths.nonzero()[:, 0]
    if not len(rows):
        return results
    if len(rows) < len(lengths):
        frames, lengths = frames[rows], lengths[rows]
        log_probs = None if log_probs is None else log_probs[rows]
    with keep_matrices():
        decoder = cast(Any, modules["decoder"]) if "decoder" in modules else None
        attention = None if decoder is None else Scorer(decoder.step, decoder.start(frames, lengths))
        found = search(Heard(log_probs, lengths, attention))
    for row, each in zip(rows.tolist(), found, strict=True):
        results[row] = each
    return results


def list_results(results: Sequence[Sequence[Hypothesis]], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """What records say of several results of an utterance: `n_best`, their texts and scores, best first.

    Of one result nothing. Results are told apart by their tokens, which may write one text in two ways.
    """
    return [
        {"n_best": [{"hypothesis": _write(each, tokenizer), "score": each.score} for each in found]}
        if len(found) > 1
        else {}
        for found in results
    ]


def _write(found: Hypothesis, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(found.tokens) if found.tokens else ""


def output_lengths(module: nn.Module, lengths: Tensor) -> Tensor:
    """What a module makes of lengths."""
    return cast(Any, module).output_lengths(lengths)


def _leaves_frames(encoder: nn.Module, n_frames: int) -> bool:
    after = output_lengths(encoder, torch.tensor([n_frames]))
    return after is None or bool(after > 0)
