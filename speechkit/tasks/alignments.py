"""Where in time the tokens of recognised texts lie, for the pictures and the TextGrids of a report."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speechkit.losses import ctc_occupancy
from speechkit.report import pack_alignment
from speechkit.tasks.inputs import compute_features
from speechkit.tasks.listening import compute_log_probs, encode
from speechkit.tasks.targets import Tokenizer
from speechkit.tasks.timing import DECIMALS, find_frame_seconds, time_texts

# T frames, U tokens of a text, V tokens with the blank

Clip = tuple[str, np.ndarray, int]  # id, samples (N,), sample rate
END = "(end)"  # the name of an attention decoder's last step


@torch.inference_mode()
def align_clips(
    modules: nn.ModuleDict, tokenizer: Tokenizer, clips: Iterable[Clip], texts: Mapping[str, list[int]]
) -> list[dict[str, Any]]:
    """Lines of `alignments/<subset>.jsonl` for clips with a recognised text: of CTC, of attention, or both.

    A text of no tokens, one that has no CTC path, and a decoder without `align` have no line.
    """
    lines = []
    for name, samples, sample_rate in clips:
        if tokens := texts.get(name):
            frame_seconds = find_frame_seconds(modules, sample_rate)
            lines += [
                {"id": name, **line} for line in _align(modules, tokenizer, samples, tokens, frame_seconds)
            ]
    return lines


def _align(
    modules: nn.ModuleDict, tokenizer: Tokenizer, samples: np.ndarray, tokens: list[int], frame_seconds: float
) -> list[dict[str, Any]]:
    device = next(modules.parameters()).device
    waveforms = torch.from_numpy(np.asarray(samples, dtype=np.float32)).to(device)[None]
    lengths = torch.tensor([len(samples)], device=device)
    frames, lengths = encode(modules, *compute_features(modules, waveforms, lengths))
    log_probs = compute_log_probs(modules, frames, tokenizer.n_tokens)
    if not int(lengths):
        return []
    target, n_tokens = torch.tensor([tokens], device=device), torch.tensor([len(tokens)], device=device)
    names, lines = [tokenizer.symbols[token - 1] for token in tokens], []
    if log_probs is not None:
        (timed,) = time_texts(log_probs, lengths, [tokens], tokenizer, frame_seconds)
        if timed is not None:
            weights = ctc_occupancy(log_probs, lengths, target, n_tokens).mT
            spans = [[round(span.start, DECIMALS), round(span.end, DECIMALS)] for span in timed.tokens]
            lines.append({**_pack("ctc", names, weights, frame_seconds), "spans": spans})
    if "decoder" in modules and hasattr(modules["decoder"], "align"):
        decoder: Any = modules["decoder"]
        weights = decoder.align(target, n_tokens, frames, lengths)
        lines.append(_pack("attention", [*names, END], weights, frame_seconds))
    return lines


def _pack(kind: str, names: list[str], weights: Tensor, frame_seconds: float) -> dict[str, Any]:
    return {"kind": kind, "tokens": names, **pack_alignment(weights[0].float().cpu().numpy(), frame_seconds)}
