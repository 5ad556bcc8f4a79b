"""Losses of one label an utterance."""

from torch import Tensor
from torch.nn import functional as F

# B batch, V classes


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy in nats, summed over the batch.

    `logits` (B, V); `targets` (B,) class indices, or (B, V) probabilities (as mixup makes).

    >>> import torch
    >>> round(cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3])).item(), 4)  # 2 log 4
    2.7726
    """
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)
