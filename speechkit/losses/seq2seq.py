"""The loss of a text of which each token is told from those before it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.ops.lengths import length_mask, mask_padding

BOUNDARY = 0

# B batch, U tokens of a target, V tokens there are


def seq2seq_loss(
    logits: Tensor, targets: Tensor, target_lengths: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross entropy in nats of each utterance, (B,): the sum over its tokens and the boundary that ends it.

    logits: (B, U + 1, V), as attention decoders and language models give them; token 0 is the boundary.
    targets: (B, U) tokens from 1 to V - 1, padded with anything. target_lengths: (B,) tokens, 0 for an empty
        text, whose loss is that of the boundary.
    label_smoothing: the share of the target's probability that goes to all V tokens alike (Szegedy et al.,
        2016), from 0 to 1.

    >>> losses = seq2seq_loss(torch.zeros(2, 3, 4), torch.tensor([[3, 1], [2, -1]]), torch.tensor([2, 1]))
    >>> (losses / torch.tensor(4.0).log()).tolist()  # log 4 a token, and for the boundary
    [3.0, 2.0]
    """
    lengths = target_lengths.to(logits.device)
    expected = F.pad(mask_padding(targets.to(logits.device), lengths, value=BOUNDARY), (0, 1), value=BOUNDARY)
    dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
    losses = F.cross_entropy(
        logits.transpose(1, 2).to(dtype), expected, reduction="none", label_smoothing=label_smoothing
    )
    return losses.where(length_mask(lengths + 1, logits.shape[1]), 0).sum(1)
