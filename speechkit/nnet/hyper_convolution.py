"""Convolutions over an algebra: complex, quaternion, and any other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.hyper_weight import HyperWeight, convolve, numbers_of
from speechkit.nnet.sizes import check_width
from speechkit.nnet.windows import (
    check_groups,
    convolve_over_time,
    convolve_over_time_and_frequency,
    own_zeros,
    time_and_frequency_windows,
    time_window,
)

# B batch, T frames, F bands, n parts, C channels of the input in numbers


class HyperConv1d(nn.Module):
    """Convolution of numbers over time: (B, T, n C) to (B, T', n `out_channels`), parts side by side.

    `padding`, `stride`, `dilation` and lengths as in `Conv1d`. Sizes count numbers: with `groups` G an output
    hears all parts of C / G numbers, and of no other. Algebra, first values, `spinor` and `vector_scale` as
    in `HyperLinear`.

    >>> HyperConv1d(12, 3, input_shape=(8, 10, 36), algebra="phm:3")(torch.zeros(8, 10, 36)).shape
    torch.Size([8, 10, 36])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        out_channels: int,
        kernel_size: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        groups: int = 1,
        bias: bool = True,
        init_criterion: str = "glorot",
        weight_init: str | None = None,
        spinor: bool = False,
        vector_scale: bool = False,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        name, init, rotates = type(self).__name__, (init_criterion, weight_init), (spinor, vector_scale)
        kind, n_numbers = numbers_of(self, algebra, (input_shape, input_size), init, rotates)
        self.window = time_window(name, kernel_size, stride, dilation, padding)
        check_groups(name, groups, n_numbers, out_channels)
        self.input_size = n_numbers * kind.n_parts
        shape = (out_channels, n_numbers // groups, kernel_size)
        self.weight = HyperWeight(kind, shape, groups, init, rotates)
        self.bias = nn.Parameter(torch.zeros(kind.n_parts * out_channels)) if bias else None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n C), true lengths (B,) in frames, to (B, T', n out_channels)."""
        check_width(x, self.input_size, type(self).__name__)
        y = convolve_over_time(x, lengths, self.window, self._convolve)
        return y if self.bias is None else y + self.bias

    def _convolve(self, x: Tensor) -> Tensor:
        window = self.window
        return convolve(x, self.weight, F.conv1d, ((window.stride,), (0,), (window.dilation,)))

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return self.window.count(n_frames)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.window.count(lengths)


class HyperConv2d(nn.Module):
    """Convolution of numbers over time and frequency: (B, T, F, n C) to (B, T', F', n `out_channels`).

    As `HyperConv1d`; sizes are one number for both axes or [time, frequency], as in `Conv2d`.

    >>> HyperConv2d(12, 3, input_shape=(2, 16, 30, 8), algebra="dual")(torch.zeros(2, 16, 30, 8)).shape
    torch.Size([2, 16, 30, 24])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Sequence[int],
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | Sequence[str] = "same",
        groups: int = 1,
        bias: bool = True,
        init_criterion: str = "glorot",
        weight_init: str | None = None,
        spinor: bool = False,
        vector_scale: bool = False,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        name, init, rotates = type(self).__name__, (init_criterion, weight_init), (spinor, vector_scale)
        kind, n_numbers = numbers_of(self, algebra, (input_shape, input_size), init, rotates)
        self.windows = time_and_frequency_windows(name, kernel_size, stride, dilation, padding)
        check_groups(name, groups, n_numbers, out_channels)
        self.input_size = n_numbers * kind.n_parts
        shape = (out_channels, n_numbers // groups, *(window.size for window in self.windows))
        self.weight = HyperWeight(kind, shape, groups, init, rotates)
        self.bias = nn.Parameter(torch.zeros(kind.n_parts * out_channels)) if bias else None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, n C), true lengths (B,) in frames, to (B, T', F', n out_channels)."""
        check_width(x, self.input_size, type(self).__name__)
        y = convolve_over_time_and_frequency(x, lengths, self.windows, self._convolve)
        return y if self.bias is None else y + self.bias

    def _convolve(self, x: Tensor) -> Tensor:
        time, frequency = self.windows
        stride, dilation = (time.stride, frequency.stride), (time.dilation, frequency.dilation)
        return convolve(x, self.weight, F.conv2d, (stride, own_zeros(time, frequency), dilation))

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return self.windows[0].count(n_frames)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.windows[0].count(lengths)


class CConv1d(HyperConv1d):
    """`HyperConv1d` of complex numbers.

    >>> CConv1d(input_shape=(8, 10, 32), out_channels=12, kernel_size=3)(torch.zeros(8, 10, 32)).shape
    torch.Size([8, 10, 24])
    """

    own_algebra = "complex"


class CConv2d(HyperConv2d):
    """`HyperConv2d` of complex numbers.

    >>> CConv2d(input_shape=(2, 16, 30, 30), out_channels=12, kernel_size=3)(torch.zeros(2, 16, 30, 30)).shape
    torch.Size([2, 16, 30, 24])
    """

    own_algebra = "complex"


class QConv1d(HyperConv1d):
    """`HyperConv1d` of quaternions.

    >>> QConv1d(input_shape=(8, 10, 40), out_channels=12, kernel_size=3)(torch.zeros(8, 10, 40)).shape
    torch.Size([8, 10, 48])
    """

    own_algebra = "quaternion"


class QConv2d(HyperConv2d):
    """`HyperConv2d` of quaternions.

    >>> QConv2d(input_shape=(2, 16, 30, 40), out_channels=12, kernel_size=3)(torch.zeros(2, 16, 30, 40)).shape
    torch.Size([2, 16, 30, 48])
    """

    own_algebra = "quaternion"
