"""When each symbol of a text is spoken: the states that CTC moves through, and the best way through them.

Between, before and after the tokens of a target stand blanks:

    target  a b b    states  - a - b - b -    (2 U + 1 of them)

A path takes a state a frame, from one of the first two to one of the last two. From frame to frame it
stays, steps to the next state, or skips a blank, unless the tokens on both sides of that are equal: without
the blank they would be one.

Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.ops.lengths import length_mask, mask_padding

BLANK = 0

# B batch, T frames, V tokens with the blank, U tokens of a target, S = 2 U + 1 states


class TokenSpan(NamedTuple):
    """A token, its frames from `start` up to, not including, `end`, and their mean log-probability."""

    token: int
    start: int
    end: int
    log_prob: float


def interleave_blanks(targets: Tensor, target_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """States (B, S) of targets (B, U), and where a path may come from two states before, (B, S).

    >>> states, can_skip = interleave_blanks(torch.tensor([[1, 2, 2]]), torch.tensor([3]))
    >>> states.tolist(), can_skip.int().tolist()
    ([[0, 1, 0, 2, 0, 2, 0]], [[0, 1, 0, 1, 0, 0, 0]])
    """
    tokens = targets.where(length_mask(target_lengths, targets.shape[1]), BLANK)
    states = F.pad(torch.stack([torch.full_like(tokens, BLANK), tokens], -1).flatten(1), (0, 1), value=BLANK)
    two_before = F.pad(states, (2, 0), value=BLANK)[:, :-2]
    return states, (states != BLANK) & (states != two_before)


def forced_align(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """The most probable path that says a target: its token (B, T) at each frame, and that one's score (B, T).

    log_probs: (B, T, V); token 0 is the blank. lengths: (B,) true frames; behind them paths and scores are 0.
    targets: (B, U) tokens from 1 to V - 1, padded with anything; target_lengths: (B,).
    Raises UserError for a target that no path can say.

    Of equal paths it takes the one that stays longest. torchaudio has the same for one utterance; this needs
    nothing but torch.

    >>> log_probs = torch.tensor([[[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]]).log()
    >>> path, scores = forced_align(log_probs, *map(torch.tensor, ([4], [[1, 1]], [2])))
    >>> path.tolist(), round(scores.sum().exp().item(), 4)
    ([[1, 0, 1, 1]], 0.3024)
    """
    lengths, target_lengths = lengths.to(log_probs.device), target_lengths.to(log_probs.device)
    targets = targets.to(log_probs.device)
    _refuse_tokens(targets, target_lengths, log_probs.shape[2])
    log_probs = mask_padding(log_probs.detach(), lengths)
    states, can_skip = interleave_blanks(targets, target_lengths)
    best, moves = _best_scores(log_probs, lengths, states, can_skip)
    last = torch.stack([2 * target_lengths - 1, 2 * target_lengths], 1)
    ends = best.gather(1, last.clamp_min(0))
    _refuse_impossible(ends.amax(1), lengths, target_lengths)
    end = last.gather(1, ends.argmax(1, keepdim=True)).clamp_min(0)
    path = _roll(states.gather(1, _trace_back(moves, end)), lengths - log_probs.shape[1])
    is_true = length_mask(lengths, log_probs.shape[1])
    return path.where(is_true, BLANK), log_probs.gather(2, path.unsqueeze(2)).squeeze(2).where(is_true, 0)


def _best_scores(
    log_probs: Tensor, lengths: Tensor, states: Tensor, can_skip: Tensor
) -> tuple[Tensor, Tensor]:
    """Of the best path that ends in each state its score, (B, S), and its move at each frame, (T, B, S).

    Utterances end together at the last frame: before their first frame they wait, left of their first state.
    """
    n_frames = log_probs.shape[1]
    barrier = torch.zeros_like(can_skip, dtype=log_probs.dtype).masked_fill(~can_skip, -torch.inf)
    moves = torch.zeros(n_frames, *states.shape, dtype=torch.uint8, device=states.device)
    begins = n_frames - lengths
    frames = torch.arange(n_frames, device=lengths.device)
    emissions = _roll(log_probs.gather(2, states.unsqueeze(1).expand(-1, n_frames, -1)), begins)
    emissions = emissions.where((frames >= begins.unsqueeze(1)).unsqueeze(2), -torch.inf)
    waiting = emissions.new_zeros(n_frames, len(lengths)).masked_fill(
        frames.unsqueeze(1) > begins, -torch.inf
    )
    # Two states left of the first, of which one is where utterances wait, make all frames alike.
    best = F.pad(torch.full_like(barrier, -torch.inf), (2, 0), value=-torch.inf)
    for emission, wait, move in zip(emissions.unbind(1), waiting, moves, strict=True):
        best[:, 1] = wait
        score, on = torch.stack([best[:, 2:], best[:, 1:-1], best[:, :-2] + barrier]).max(0)
        move.copy_(on)
        torch.add(score, emission, out=best[:, 2:])
    best[:, 2].masked_fill_(lengths == 0, 0)  # no frames say the empty text
    return best[:, 2:], moves


def _roll(x: Tensor, shifts: Tensor) -> Tensor:
    """(B, T, ...) with each item moved this many frames on; what leaves at one end comes in at the other."""
    n_frames = x.shape[1]
    index = (torch.arange(n_frames, device=x.device) - shifts.unsqueeze(1)) % max(n_frames, 1)
    return x.gather(1, index.view(*index.shape, *[1] * (x.dim() - 2)).expand_as(x))


def _trace_back(moves: Tensor, end: Tensor) -> Tensor:
    """The state (B, T) at each frame of the paths that end in the states `end` (B, 1)."""
    path = [end]
    for move in moves[1:].flip(0):
        path.append((path[-1] - move.gather(1, path[-1])).clamp_min(0))  # before its begin it waits
    return torch.cat(path[: len(moves)][::-1], 1) if len(moves) else end[:, :0]


def _refuse_tokens(targets: Tensor, target_lengths: Tensor, n_tokens: int) -> None:
    is_true = length_mask(target_lengths, targets.shape[1])
    wrong = targets[is_true & ((targets <= BLANK) | (targets >= n_tokens))]
    if len(wrong):
        raise UserError(f"token {int(wrong[0])} in a target", expected=f"tokens from 1 to {n_tokens - 1}")


def _refuse_impossible(scores: Tensor, lengths: Tensor, target_lengths: Tensor) -> None:
    impossible = (~(scores > -torch.inf)).nonzero()
    if len(impossible):
        row = int(impossible[0])
        raise UserError(
            f"utterance {row} of the batch: no path through {int(lengths[row])} frames says its "
            f"{int(target_lengths[row])} tokens",
            expected="a frame a token, and one between equal neighbours, with probabilities above 0",
            do="leave it out, or use an encoder that keeps more frames",
        )


def token_spans(path: Tensor, scores: Tensor, lengths: Tensor) -> list[list[TokenSpan]]:
    """The spans of each utterance's tokens, from what `forced_align` gives; blanks belong to none.

    >>> path, scores = torch.tensor([[1, 0, 1, 1]]), torch.tensor([[-1.0, -9.0, -2.0, -3.0]])
    >>> token_spans(path, scores, torch.tensor([4]))[0][1]
    TokenSpan(token=1, start=2, end=4, log_prob=-2.5)
    """
    path = path.where(length_mask(lengths.to(path.device), path.shape[1]), BLANK)
    said = path != BLANK
    begins = said & (path != F.pad(path, (1, 0), value=BLANK)[:, :-1])
    ends = said & (path != F.pad(path, (0, 1), value=BLANK)[:, 1:])
    sums = F.pad(scores.double().where(said, 0).cumsum(1), (1, 0))
    rows, starts = begins.nonzero().unbind(1)
    stops = ends.nonzero()[:, 1] + 1
    means = (sums[rows, stops] - sums[rows, starts]) / (stops - starts)
    spans: list[list[TokenSpan]] = [[] for _ in path]
    fields = (each.tolist() for each in (rows, path[rows, starts], starts, stops, means))
    for row, *span in zip(*fields, strict=True):
        spans[row].append(TokenSpan(*span))
    return spans
