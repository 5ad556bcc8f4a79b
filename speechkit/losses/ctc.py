"""Connectionist temporal classification: the loss of a text of which nobody said when its symbols are spoken.

Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

BLANK = 0

# B batch, T frames, V tokens with the blank, U tokens of a target


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """-log p(target | frames) in nats of each utterance, (B,): summed over all ways to place the target.

    log_probs: (B, T, V), normalised over V (`log_softmax`): the gradient is right only through it, as torch's
        kernel leaves out what normalisation cancels. Token 0 is the blank.
    lengths: (B,) true frames; what lies behind does not matter.
    targets: (B, U) tokens from 1 to V - 1, padded with anything.
    target_lengths: (B,) tokens, 0 for an empty text.

    A target that needs more than its frames (`ctc_min_frames`) has an infinite loss and no gradient to use:
    leave it out before the sum.

    >>> import torch
    >>> log_probs = torch.full((1, 2, 3), 1 / 3).log()  # blank, a, b: "a" is aa, a-, -a of nine paths
    >>> ctc_loss(log_probs, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1])).exp()
    tensor([3.])
    """
    return F.ctc_loss(
        log_probs.transpose(0, 1), targets, lengths, target_lengths, blank=BLANK, reduction="none"
    )


def ctc_min_frames(target: Sequence[int]) -> int:
    """Frames that a target needs: one a token, and one for the blank between equal neighbours.

    >>> ctc_min_frames([1, 2, 2]), ctc_min_frames([])
    (4, 0)
    """
    return len(target) + sum(a == b for a, b in pairwise(target))
