"""Pooling of whole numbers: the longest number of a window, or their mean."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.hyper_weight import algebra_of
from speechkit.nnet.pooling import Pooling2d, windowed_frames
from speechkit.ops.algebra import norm, split_parts
from speechkit.ops.lengths import mask_padding, padding_amounts

# B batch, T frames, F bands, n parts, C numbers


class HyperPooling2d(nn.Module):
    """Windows over time and frequency: (B, T, F, n C) to (B, T', F', n C).

    `max` takes the number with the greatest length, all its parts; `avg` the mean. The rest as in
    `Pooling2d`.

    >>> x = torch.tensor([[[[3.0, 3.0]], [[1.0, -5.0]]]])
    >>> HyperPooling2d("max", [2, 1], algebra="complex")(x).tolist()
    [[[[1.0, -5.0]]]]
    """

    own_algebra: str | None = None

    def __init__(
        self,
        pool_type: str,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: str = "valid",
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        self.algebra = algebra_of(self, algebra)
        self.pool = Pooling2d(pool_type, kernel_size, stride, padding)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, n C), true lengths (B,) in frames, to (B, T', F', n C)."""
        if self.pool.pool_type == "avg":
            return self.pool(x, lengths)  # the mean of numbers is that of their parts
        n = self.algebra.n_parts
        split_parts(x[:1, :1], self.algebra)  # tells of a width that holds no whole numbers
        x, lengths_of = mask_padding(x, lengths), norm(x, self.algebra)
        if self.pool.padding == "same":
            size = self.pool.kernel_size
            zeros = (0, 0, *padding_amounts(size[1]), *padding_amounts(size[0]))
            lengths_of = F.pad(mask_padding(lengths_of, lengths, value=-torch.inf), zeros, value=-torch.inf)
            x = F.pad(x, zeros)
        size, stride = self.pool.kernel_size, self.pool.stride
        lengths_of = windowed_frames(lengths_of, size[0], stride[0]).permute(0, 3, 1, 2)
        _, at = F.max_pool2d(lengths_of, size, stride, return_indices=True)
        numbers = x.unflatten(-1, (n, -1)).permute(0, 3, 4, 1, 2).flatten(3)  # (B, n, C, T F)
        index = at.flatten(2).unsqueeze(1).expand(-1, n, -1, -1)
        y = numbers.gather(3, index).unflatten(3, at.shape[2:]).permute(0, 3, 4, 1, 2).flatten(3)
        if lengths is None or self.pool.padding == "valid":
            return y
        return mask_padding(y, self.output_lengths(lengths))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.pool.output_lengths(lengths)


class HyperPooling1d(nn.Module):
    """`HyperPooling2d` over time alone: (B, T, n C) to (B, T', n C).

    >>> HyperPooling1d("avg", 2, algebra="quaternion")(torch.zeros(2, 9, 8)).shape
    torch.Size([2, 4, 8])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        pool_type: str,
        kernel_size: int,
        stride: int | None = None,
        padding: str = "valid",
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        kind = algebra_of(self, algebra)
        self.pool = HyperPooling2d(pool_type, (kernel_size, 1), (stride, 1), padding, kind.name)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n C), true lengths (B,) in frames, to (B, T', n C)."""
        return self.pool(x.unsqueeze(-2), lengths).squeeze(-2)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.pool.output_lengths(lengths)


class QPooling2d(HyperPooling2d):
    """`HyperPooling2d` of quaternions.

    >>> QPooling2d("max", 2)(torch.zeros(3, 16, 30, 40)).shape
    torch.Size([3, 8, 15, 40])
    """

    own_algebra = "quaternion"
