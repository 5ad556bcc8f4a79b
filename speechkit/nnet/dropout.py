"""Dropout of values, of whole channels, and of whole numbers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.sizes import check_probability

# B batch, T frames, F bands, C channels
N_LEVELS = 2**16  # of a random number of 16 bits


class Dropout(nn.Module):
    """Values set to zero with probability `p`, others scaled by 1 / (1 - p), in training (Srivastava, 2014).

    torch's, but for the CPU, where `dropout` draws a quarter as many random numbers (docs/benchmarks.md).

    >>> Dropout(0.1)(torch.ones(2, 7, 5)).shape
    torch.Size([2, 7, 5])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_probability("Dropout", p=p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(...) to the same shape."""
        return dropout(x, self.p) if self.training else x


def dropout(x: Tensor, p: float) -> Tensor:
    """(...) with values set to zero with probability `p`, and the others scaled to the same mean.

    On the CPU torch draws 53 bits a value, one after another; here a draw of 64 bits serves four values, so
    `p` is rounded to 16 bits.

    >>> dropout(torch.ones(100_000), 0.25).count_nonzero().item() // 1_000
    7...
    """
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() < N_LEVELS:
        return F.dropout(x, p)
    n_dropped = round(p * N_LEVELS)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    is_kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - N_LEVELS // 2
    return torch.where(is_kept, x, 0) * (N_LEVELS / (N_LEVELS - n_dropped))


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
        return dropout(x, p)
    numbers = x.unflatten(-1, (n_parts, -1))
    return (numbers * F.dropout(x.new_ones(numbers[..., :1, :].shape), p)).flatten(-2)
