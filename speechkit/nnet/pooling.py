"""Pooling over windows, and over all true frames."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.sizes import check_positive, pair_of
from speechkit.ops.graphs import is_exporting
from speechkit.ops.lengths import conv_output_lengths, mask_padding, padding_amounts

# B batch, T frames, F bands, C channels


class Pooling1d(nn.Module):
    """Largest or mean value in windows over time: (B, T, C) to (B, T', C).

    `pool_type` is `max` or `avg`; `stride` is the window unless given. `valid` drops an incomplete last
    window, `same` gives ceil(T / stride) frames. Only true frames count, in the mean's divisor too.

    >>> Pooling1d("max", 2)(torch.tensor([[[1.0], [3.0], [2.0]]])).tolist()
    [[[3.0]]]
    """

    def __init__(
        self, pool_type: str, kernel_size: int, stride: int | None = None, padding: str = "valid"
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        check_positive("Pooling1d", kernel_size=kernel_size, stride=stride)
        self.pool = Pooling2d(pool_type, (kernel_size, 1), (stride, 1), padding)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, C), true lengths (B,) in frames, to (B, T', C)."""
        return self.pool(x.unsqueeze(-2), lengths).squeeze(-2)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.pool.output_lengths(lengths)


class Pooling2d(nn.Module):
    """Largest or mean value in windows over time and frequency: (B, T, F, C) to (B, T', F', C).

    As `Pooling1d`; sizes are one number for both axes or [time, frequency].

    >>> Pooling2d("avg", [1, 2])(torch.ones(2, 5, 6, 3)).shape
    torch.Size([2, 5, 3, 3])
    """

    def __init__(
        self,
        pool_type: str,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: str = "valid",
    ) -> None:
        super().__init__()
        if pool_type not in ("max", "avg"):
            raise UserError(f"pool_type is {pool_type!r}", expected="max or avg", key="pool_type")
        if padding not in ("valid", "same"):
            raise UserError(f"padding {padding!r}", expected="valid or same", key="padding")
        self.pool_type, self.padding = pool_type, padding
        self.kernel_size = pair_of(kernel_size, "Pooling2d", "kernel_size")
        self.stride = pair_of(self.kernel_size if stride is None else stride, "Pooling2d", "stride")

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C), true lengths (B,) in frames, to (B, T', F', C)."""
        if conv_output_lengths(x.shape[1], self.kernel_size[0], self.stride[0], 1, self.padding) < 1:
            raise UserError(f"Pooling got {x.shape[1]} frames, fewer than its window", do="use longer input")
        if self.padding == "valid":  # no window of a true output frame reaches padding
            return self._pool(x)
        time = padding_amounts(self.kernel_size[0])
        zeros = (0, 0, *padding_amounts(self.kernel_size[1]), *time)
        if self.pool_type == "max":
            largest = self._pool(F.pad(mask_padding(x, lengths, value=-torch.inf), zeros, value=-torch.inf))
            return largest if lengths is None else mask_padding(largest, self.output_lengths(lengths))
        is_true = F.pad(mask_padding(torch.ones_like(x[..., :1]), lengths), zeros)
        part = self._pool(is_true).clamp_min(1 / (self.kernel_size[0] * self.kernel_size[1]))
        return self._pool(F.pad(mask_padding(x, lengths), zeros)) / part

    def _pool(self, x: Tensor) -> Tensor:
        x = windowed_frames(x, self.kernel_size[0], self.stride[0])
        pool = F.max_pool2d if self.pool_type == "max" else F.avg_pool2d
        return pool(x.permute(0, 3, 1, 2), self.kernel_size, self.stride).permute(0, 2, 3, 1)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return conv_output_lengths(lengths, self.kernel_size[0], self.stride[0], 1, self.padding)


class GlobalAveragePool(nn.Module):
    """Mean over true frames, and over bands: (B, T, C) or (B, T, F, C) to (B, C); zeros for no frames.

    >>> GlobalAveragePool()(torch.tensor([[[1.0], [5.0]]]), torch.tensor([1])).tolist()
    [[1.0]]
    """

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, ..., C), true lengths (B,) in frames, to (B, C)."""
        frames = mask_padding(x, lengths).sum(1) / _n_frames(x, lengths)
        return frames.mean(1) if frames.dim() == 3 else frames

    def output_lengths(self, lengths: Tensor) -> None:
        """No frames are left."""


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over true frames (Snyder et al., 2018): (B, T, C) to (B, 2 C).

    The deviation is that of the population, with `eps` under the root.

    >>> StatisticsPooling()(torch.tensor([[[1.0], [3.0]]])).tolist()
    [[2.0, 1.0]]
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, C), true lengths (B,) in frames, to (B, 2 C)."""
        n_frames = _n_frames(x, lengths)
        mean = mask_padding(x, lengths).sum(1) / n_frames
        squares = mask_padding(x - mean.unsqueeze(1), lengths).square().sum(1) / n_frames
        return torch.cat([mean, (squares + self.eps).sqrt()], -1)

    def output_lengths(self, lengths: Tensor) -> None:
        """No frames are left."""


def windowed_frames(x: Tensor, size: int, stride: int) -> Tensor:
    """(B, T, ...) for pooling by `valid` windows. An exported graph gets no frames but those in some window.

    Else torch would hold it to lengths with the same remainder as the one it was written with.
    """
    if not is_exporting():
        return x
    n_frames = (x.shape[1] - size) // stride * stride + size
    return x.index_select(1, torch.arange(n_frames, device=x.device))  # a view's strides would say as much


def _n_frames(x: Tensor, lengths: Tensor | None) -> Tensor | int:
    if lengths is None:
        return x.shape[1]
    n_frames = lengths.clamp(1, x.shape[1]).to(x.device, x.dtype)
    return n_frames.view(-1, *[1] * (x.dim() - 2))
