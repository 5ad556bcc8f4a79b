"""Connectionist temporal classification: the loss of a text of which nobody said when its symbols are spoken.

Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.

`ctc_loss` is torch's kernel; `ctc_forward_backward` is the same in the open, to read and to change.

A path names a token or the blank at each frame; merging its repeats, then dropping its blanks, gives a text.
The probability of a path is the product over frames, that of a text the sum over its paths. There are far too
many to list, but they share their beginnings: `forward_scores` sums over all at once, frame by frame. For the
gradient we ask how often a path of this text is in state s at frame t:

    occupancy(t, s) = p(beginnings that reach s at t) p(ends that leave s at t) / p(text)

and what comes after is what comes before, read backwards: the ends are the beginnings of the reversed text
over the reversed frames. d log p(text) / d log p(token v at t) is the occupancy of the states that say v.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechkit.ops.alignment import BLANK, interleave_blanks
from speechkit.ops.lengths import length_mask, mask_padding, reverse_padded

# B batch, T frames, V tokens with the blank, U tokens of a target, S = 2 U + 1 states


def ctc_loss(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, zero_infinity: bool = False
) -> Tensor:
    """-log p(target | frames) in nats of each utterance, (B,): summed over all ways to place the target.

    log_probs: (B, T, V), normalised over V (`log_softmax`): the gradient is right only through it, as torch's
        kernel leaves out what normalisation cancels. Token 0 is the blank.
    lengths: (B,) true frames; what lies behind does not matter.
    targets: (B, U) tokens from 1 to V - 1, padded with anything.
    target_lengths: (B,) tokens, 0 for an empty text.

    A target that needs more than its frames (`ctc_min_frames`) has an infinite loss and no gradient to use:
    leave it out before the sum, or ask for `zero_infinity`: a loss and a gradient of 0.

    >>> import torch
    >>> log_probs = torch.full((1, 2, 3), 1 / 3).log()  # blank, a, b: "a" is aa, a-, -a of nine paths
    >>> ctc_loss(log_probs, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1])).exp()
    tensor([3.])
    """
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        targets,
        lengths,
        target_lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=zero_infinity,
    )


def ctc_forward_backward(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, zero_infinity: bool = False
) -> Tensor:
    """What `ctc_loss` gives, (B,), computed in the open.

    The arguments are the same, but `log_probs` need not be normalised: the gradient is the derivative by
    them. An impossible target has an infinite loss and NaN for its gradient, as torch's, or 0 and 0.

    >>> log_probs = torch.full((1, 2, 3), 1 / 3).log()
    >>> ctc_forward_backward(log_probs, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1])).exp()
    tensor([3.])
    """
    device = log_probs.device
    lengths, targets, target_lengths = (each.to(device) for each in (lengths, targets, target_lengths))
    log_probs = log_probs.float() if log_probs.dtype.itemsize < 4 else log_probs
    losses: Tensor = _ForwardBackward.apply(log_probs, lengths, targets, target_lengths)
    return losses.where(~losses.isposinf(), 0) if zero_infinity else losses


class _ForwardBackward(torch.autograd.Function):
    """The sum over paths, and its gradient from the sums over their beginnings and their ends."""

    @staticmethod
    def forward(
        ctx: Any, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> Tensor:
        log_probs = mask_padding(log_probs, lengths)
        states, can_skip = interleave_blanks(targets, target_lengths)
        if not ctx.needs_input_grad[0]:
            emissions = emission_scores(log_probs, states, target_lengths)
            reached = forward_scores(emissions, can_skip)
            return -log_total(reached + emissions, lengths, target_lengths)
        occupancy, reached = _occupy(log_probs, lengths, targets, target_lengths)
        ctx.save_for_backward(_sum_by_token(occupancy, states, lengths, log_probs.shape))
        return -log_total(reached, lengths, target_lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor, None, None, None]:
        (occupancy,) = ctx.saved_tensors
        by_loss = by_loss[:, None, None]
        # Where the loss does not count (zero_infinity) neither does the NaN of an impossible target.
        return torch.where(by_loss == 0, 0, -occupancy * by_loss), None, None, None


@torch.no_grad()
def ctc_occupancy(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """How probable it is that a path which says the target is in its u-th token at frame t, (B, T, U).

    The arguments are those of `ctc_loss`; what a frame lacks to 1 is the blanks'. 0 behind the last frame and
    the last token; NaN for an impossible target.

    >>> log_probs = torch.full((1, 3, 3), 1 / 3).log()  # of "a": aaa, aa-, -aa, a--, -a-, --a
    >>> ctc_occupancy(log_probs, torch.tensor([3]), torch.tensor([[1]]), torch.tensor([1])).mul(6).round()
    tensor([[[3.],
             [4.],
             [3.]]])
    """
    device = log_probs.device
    lengths, targets, target_lengths = (each.to(device) for each in (lengths, targets, target_lengths))
    occupancy, _ = _occupy(mask_padding(log_probs, lengths), lengths, targets, target_lengths)
    is_token = length_mask(target_lengths, targets.shape[1]).unsqueeze(1)
    is_true = length_mask(lengths, log_probs.shape[1]).unsqueeze(2) & is_token
    return occupancy.transpose(0, 1)[..., 1::2].where(is_true, 0)


def _occupy(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Each state's occupancy at each frame, and the scores that reach it with the frame's own, (T, B, S)."""
    states, can_skip = interleave_blanks(targets, target_lengths)
    emissions = emission_scores(log_probs, states, target_lengths)
    backwards = reverse_padded(log_probs, lengths)
    states_backwards, can_skip_backwards = interleave_blanks(
        reverse_padded(targets, target_lengths), target_lengths
    )
    # Both ways in one loop: the same steps over twice the rows.
    both = forward_scores(
        torch.cat([emissions, emission_scores(backwards, states_backwards, target_lengths)], 1),
        torch.cat([can_skip, can_skip_backwards]),
    )
    reached, left_backwards = both.chunk(2, 1)
    reached = reached + emissions
    left = _reverse(left_backwards, lengths, target_lengths)
    # A path is in one state at a frame, so occupancies sum to one: a softmax needs no log p(text), whose
    # rounding error in float32 would be that of a number of hundreds.
    return (reached + left).softmax(2), reached


def emission_scores(log_probs: Tensor, states: Tensor, target_lengths: Tensor) -> Tensor:
    """The score of each state's token at each frame, (T, B, S): log_probs (B, T, V) at states (B, S).

    Minus infinity in states behind the target's last: no path goes there.
    """
    at = states.unsqueeze(1).expand(-1, log_probs.shape[1], -1)
    is_true = length_mask(2 * target_lengths + 1, states.shape[1]).unsqueeze(1)
    return log_probs.gather(2, at).where(is_true, -torch.inf).transpose(0, 1).contiguous()


def forward_scores(emissions: Tensor, can_skip: Tensor) -> Tensor:
    """log of the summed probability of all beginnings that reach state s at frame t, (T, B, S).

    The frame's own emission is not in it yet: so forward and backward sums meet without counting it twice.

    emissions: (T, B, S) log-probabilities of the states' tokens.
    can_skip: (B, S), whether a path may come from two states before.
    """
    barrier = torch.zeros_like(can_skip, dtype=emissions.dtype).masked_fill(~can_skip, -torch.inf)
    reached = torch.empty_like(emissions)
    # A text begins left of its first state: two states there make the first frame one like any other.
    before = F.pad(torch.full_like(barrier, -torch.inf), (2, 0), value=-torch.inf)
    before[:, 1] = 0
    for frame, emission in enumerate(emissions):
        stay, step, skip = before[:, 2:], before[:, 1:-1], before[:, :-2] + barrier
        torch.logaddexp(torch.logaddexp(stay, step), skip, out=reached[frame])
        before = F.pad(reached[frame] + emission, (2, 0), value=-torch.inf)
    return reached


def log_total(reached: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """log p(text), (B,): a path ends in its last token or in the blank behind it; `reached` (T, B, S)."""
    is_empty = target_lengths == 0
    if not len(reached):
        return reached.new_zeros(len(lengths)).masked_fill(~is_empty, -torch.inf)
    at_end = reached[(lengths - 1).clamp_min(0), torch.arange(len(lengths), device=lengths.device)]  # B, S
    last = at_end.gather(1, torch.stack([2 * target_lengths, (2 * target_lengths - 1).clamp_min(0)], 1))
    both = torch.logaddexp(last[:, 0], last[:, 1].masked_fill(is_empty, -torch.inf))
    return torch.where(lengths > 0, both, torch.zeros_like(both).masked_fill(~is_empty, -torch.inf))


def _reverse(scores: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """(T, B, S) with frames and states of each utterance in reverse order."""
    by_frame = reverse_padded(scores.transpose(0, 1), lengths)  # B, T, S
    return reverse_padded(by_frame.transpose(1, 2), 2 * target_lengths + 1).permute(2, 0, 1)


def _sum_by_token(occupancy: Tensor, states: Tensor, lengths: Tensor, shape: torch.Size) -> Tensor:
    """Occupancies (T, B, S) of the states that say a token, summed, (B, T, V); 0 behind the last frame."""
    is_true = length_mask(lengths, shape[1]).unsqueeze(2)
    at = states.unsqueeze(1).expand(-1, shape[1], -1)
    summed = occupancy.new_zeros(shape).scatter_add_(2, at, occupancy.transpose(0, 1))
    return summed.where(is_true, 0)


def ctc_min_frames(target: Sequence[int]) -> int:
    """Frames that a target needs: one a token, and one for the blank between equal neighbours.

    >>> ctc_min_frames([1, 2, 2]), ctc_min_frames([])
    (4, 0)
    """
    return len(target) + sum(a == b for a, b in pairwise(target))
