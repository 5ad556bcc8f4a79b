"""Texts as the input of a net that tells the next token: teacher forcing and single steps alike."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.ops.lengths import mask_padding

BOUNDARY = 0  # begins a text, and ends it

# B batch, U tokens of a text, V tokens there are, W width


class TokenEmbedding(nn.Module):
    """A vector of W real values for each of V tokens, of variance 1 at first."""

    def __init__(self, n_tokens: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, width)
        self.scale = width**0.5  # so that the embedding moves as fast as other weights (Vaswani et al., 3.4)
        nn.init.normal_(self.embedding.weight, std=1 / self.scale)

    @property
    def like(self) -> Tensor:
        """A tensor of the type and device that the embedding makes."""
        return self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) to (..., W)."""
        return self.scale * self.embedding(tokens)


def to_log_probs(logits: Tensor) -> Tensor:
    """Logits (..., V) to log-probabilities, at least in single precision: a search adds up many of them.

    >>> import torch
    >>> to_log_probs(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def begin_with_boundary(tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """Texts (B, U), padded with anything, to the boundary and the texts (B, U + 1), padded with boundaries.

    >>> import torch
    >>> begin_with_boundary(torch.tensor([[5, 6], [7, -1]]), torch.tensor([2, 1])).tolist()
    [[0, 5, 6], [0, 7, 0]]
    """
    return F.pad(mask_padding(tokens, token_lengths, value=BOUNDARY), (1, 0), value=BOUNDARY)
