"""Frames that are blanks: behind the end of an utterance, and between its symbols."""

import math

import torch
from torch import Tensor

from speechkit.ops.lengths import length_mask

BLANK = 0

# B utterances, T frames, V tokens with the blank


def clear_padding(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Log-probabilities (B, T, V) with certain blanks behind the true frames (B,): they add to no text.

    >>> clear_padding(torch.tensor([[[0.5, 0.5], [9.0, 9.0]]]).log(), torch.tensor([1])).exp().tolist()
    [[[0.5, 0.5], [1.0, 0.0]]]
    """
    is_true = length_mask(lengths, log_probs.shape[1]).unsqueeze(2)
    return torch.where(is_true, log_probs, certain_blank(log_probs))


def certain_blank(log_probs: Tensor) -> Tensor:
    """Log-probabilities (V,) of a frame that can be nothing else."""
    blank = log_probs.new_full(log_probs.shape[2:], -torch.inf)
    blank[BLANK] = 0
    return blank


def merge_blanks(log_probs: Tensor, threshold: float) -> Tensor:
    """Fewer frames: each run of those with a blank of probability `threshold` or more becomes one, all blank.

    Its blank has the run's summed log-probability. So paths keep their probability if they are blanks where
    a blank is that probable, and the others are left out. (B, T, V) to (B, T', V); what is left over at the
    end of an utterance is certain blanks. A threshold of 1 merges none.

    >>> frames = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]]).log()
    >>> merge_blanks(frames, 0.8).exp()
    tensor([[[0.5000, 0.5000],
             [0.8100, 0.0000],
             [0.2000, 0.8000]]])
    """
    if threshold >= 1:
        return log_probs  # a blank of 1 may be one that rounding made certain
    blank = log_probs[..., BLANK]
    is_blank = blank >= math.log(threshold)
    is_kept = ~is_blank
    is_kept[:, 1:] |= ~is_blank[:, :-1]  # the first of a run stands for it
    is_kept[:, :1] = True
    n_kept = is_kept.sum(1, keepdim=True)
    n_frames = int(n_kept.max()) if n_kept.numel() else 0
    runs = is_kept.cumsum(1) - 1
    of_run = torch.zeros_like(blank).scatter_add_(1, runs, blank.where(is_blank, 0))[:, :n_frames]
    order = (~is_kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :n_frames]
    frames = log_probs.gather(1, order.unsqueeze(2).expand(-1, -1, log_probs.shape[2]))
    is_left_over = torch.arange(n_frames, device=order.device) >= n_kept
    only_blank = (is_blank.gather(1, order) | is_left_over).unsqueeze(2)
    sums = of_run.where(~is_left_over, 0).unsqueeze(2)
    return torch.where(only_blank, certain_blank(log_probs) + sums, frames)
