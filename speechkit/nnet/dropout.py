"""Dropout of whole channels, and of whole numbers."""

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.sizes import check_probability

# B batch, T frames, F bands, C channels


class Dropout2d(nn.Module):
    """Drop whole channels of an utterance (Tompson et al., 2015): (B, T, F, C) or (B, T, C), in training.

    >>> import torch
    >>> Dropout2d(0.5)(torch.ones(2, 7, 5, 3)).shape
    torch.Size([2, 7, 5, 3])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_probability("Dropout2d", p=p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, ..., C) to the same shape."""
        if not self.training or self.p == 0:
            return x
        return x * F.dropout(x.new_ones(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1]), self.p)


def drop_numbers(x: Tensor, p: float, n_parts: int) -> Tensor:
    """(..., n F) with a share `p` of the numbers zero, all n parts of one together, and the rest scaled.

    >>> import torch
    >>> dropped = drop_numbers(torch.ones(4, 6), 0.5, n_parts=2).unflatten(-1, (2, 3))
    >>> torch.equal(dropped[:, 0], dropped[:, 1])
    True
    """
    if n_parts == 1:
        return F.dropout(x, p)
    numbers = x.unflatten(-1, (n_parts, -1))
    return (numbers * F.dropout(x.new_ones(numbers[..., :1, :].shape), p)).flatten(-2)
