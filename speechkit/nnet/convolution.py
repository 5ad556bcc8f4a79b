"""Convolution over time, and over time and frequency, channels last; padding never reaches true frames."""

from collections.abc import Sequence

from torch import Tensor, nn

from speechkit.nnet.sizes import check_width, input_size_of
from speechkit.nnet.windows import (
    check_groups,
    convolve_channels_apart,
    convolve_over_time,
    convolve_over_time_and_frequency,
    own_zeros,
    time_and_frequency_windows,
    time_window,
)

# B batch, T frames, F bands, C channels


class Conv1d(nn.Module):
    """Convolution over time: (B, T, C) to (B, T', out_channels).

    `padding`: `same` gives ceil(T / stride) frames, `causal` too and looks at no later frame, `valid` uses no
    zeros. Frames past an item's true length count as zeros.

    >>> import torch
    >>> Conv1d(out_channels=12, kernel_size=3, input_shape=(8, 10, 32))(torch.zeros(8, 10, 32)).shape
    torch.Size([8, 10, 12])
    """

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
    ) -> None:
        super().__init__()
        self.window = time_window("Conv1d", kernel_size, stride, dilation, padding)
        self.input_size = input_size_of(input_shape, input_size, layer="Conv1d")
        check_groups("Conv1d", groups, self.input_size, out_channels)
        self.conv = nn.Conv1d(
            self.input_size, out_channels, kernel_size, stride, dilation=dilation, groups=groups, bias=bias
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, C), true lengths (B,) in frames, to (B, T', out_channels)."""
        check_width(x, self.input_size, "Conv1d")
        if self.conv.groups == self.input_size == self.conv.out_channels > 1 and self.window.stride == 1:
            return convolve_channels_apart(x, lengths, self.window, self.conv)
        return convolve_over_time(x, lengths, self.window, self.conv)

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return self.window.count(n_frames)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.window.count(lengths)


class Conv2d(nn.Module):
    """Convolution over time and frequency: (B, T, F, C) to (B, T', F', out_channels).

    Sizes are one number for both axes or [time, frequency]. `padding`: `same` gives ceil(T / stride) frames,
    `causal` too with no look at later frames, and is `same` in frequency, `valid` uses no zeros; or one word
    for each axis. (B, T, F) counts as one channel. Frames past an item's true length count as zeros.

    >>> import torch
    >>> Conv2d(out_channels=12, kernel_size=3, input_shape=(10, 16, 30, 4))(torch.zeros(10, 16, 30, 4)).shape
    torch.Size([10, 16, 30, 12])
    """

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
    ) -> None:
        super().__init__()
        self.windows = time_and_frequency_windows("Conv2d", kernel_size, stride, dilation, padding)
        has_channels = input_shape is None or len(input_shape) > 3
        self.input_size = input_size_of(
            input_shape, input_size if has_channels or input_size else 1, layer="Conv2d"
        )
        check_groups("Conv2d", groups, self.input_size, out_channels)
        time, frequency = self.windows
        self.conv = nn.Conv2d(
            self.input_size,
            out_channels,
            (time.size, frequency.size),
            (time.stride, frequency.stride),
            padding=own_zeros(time, frequency),
            dilation=(time.dilation, frequency.dilation),
            groups=groups,
            bias=bias,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C) or (B, T, F), true lengths (B,) in frames, to (B, T', F', out_channels)."""
        if x.dim() == 3:
            x = x.unsqueeze(-1)
        check_width(x, self.input_size, "Conv2d")
        return convolve_over_time_and_frequency(x, lengths, self.windows, self.conv)

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return self.windows[0].count(n_frames)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.windows[0].count(lengths)
