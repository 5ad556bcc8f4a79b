"""Convolution over time, and over time and frequency, channels last; padding never reaches true frames."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.sizes import check_positive, check_width, input_size_of, pair_of
from speechkit.ops.lengths import conv_output_lengths, mask_padding, padding_amounts

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
        check_positive(
            "Conv1d", out_channels=out_channels, kernel_size=kernel_size, stride=stride, dilation=dilation
        )
        self.input_size = input_size_of(input_shape, input_size, layer="Conv1d")
        _check_groups("Conv1d", groups, self.input_size, out_channels)
        self.kernel_size, self.stride, self.dilation, self.padding = kernel_size, stride, dilation, padding
        self._zeros = padding_amounts(kernel_size, dilation, padding)
        self.conv = nn.Conv1d(
            self.input_size, out_channels, kernel_size, stride, dilation=dilation, groups=groups, bias=bias
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, C), true lengths (B,) in frames, to (B, T', out_channels)."""
        check_width(x, self.input_size, "Conv1d")
        _check_frames("Conv1d", x.shape[1], self.output_frames(x.shape[1]))
        x = mask_padding(x, lengths).transpose(1, 2)
        if any(self._zeros):
            x = F.pad(x, self._zeros)
        return self.conv(x).transpose(1, 2)

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return conv_output_lengths(n_frames, self.kernel_size, self.stride, self.dilation, self.padding)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return conv_output_lengths(lengths, self.kernel_size, self.stride, self.dilation, self.padding)


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
        check_positive("Conv2d", out_channels=out_channels)
        has_channels = input_shape is None or len(input_shape) > 3
        self.input_size = input_size_of(
            input_shape, input_size if has_channels or input_size else 1, layer="Conv2d"
        )
        _check_groups("Conv2d", groups, self.input_size, out_channels)
        self.kernel_size = pair_of(kernel_size, "Conv2d", "kernel_size")
        self.stride = pair_of(stride, "Conv2d", "stride")
        self.dilation = pair_of(dilation, "Conv2d", "dilation")
        self.padding, in_frequency = _padding_pair(padding)
        time = padding_amounts(self.kernel_size[0], self.dilation[0], self.padding)
        frequency = padding_amounts(self.kernel_size[1], self.dilation[1], in_frequency)
        is_even = time[0] == time[1] and frequency[0] == frequency[1]
        self._zeros = None if is_even else (*frequency, *time)  # the axes backwards, as torch wants them
        self.conv = nn.Conv2d(
            self.input_size,
            out_channels,
            self.kernel_size,
            self.stride,
            padding=(time[0], frequency[0]) if is_even else 0,
            dilation=self.dilation,
            groups=groups,
            bias=bias,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C) or (B, T, F), true lengths (B,) in frames, to (B, T', F', out_channels)."""
        if x.dim() == 3:
            x = x.unsqueeze(-1)
        check_width(x, self.input_size, "Conv2d")
        _check_frames("Conv2d", x.shape[1], self.output_frames(x.shape[1]))
        x = mask_padding(x, lengths).permute(0, 3, 1, 2)  # a view; torch sees the format "channels last"
        if self._zeros:
            x = F.pad(x, self._zeros)
        return self.conv(x).permute(0, 2, 3, 1)

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return conv_output_lengths(
            n_frames, self.kernel_size[0], self.stride[0], self.dilation[0], self.padding
        )

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return conv_output_lengths(
            lengths, self.kernel_size[0], self.stride[0], self.dilation[0], self.padding
        )


def _padding_pair(padding: str | Sequence[str]) -> tuple[str, str]:
    if isinstance(padding, str):
        return padding, "same" if padding == "causal" else padding
    if len(padding) != 2:
        raise UserError(f"Conv2d: padding is {padding!r}", expected="one word, or two: [time, frequency]")
    return padding[0], padding[1]


def _check_groups(layer: str, groups: int, input_size: int, out_channels: int) -> None:
    check_positive(layer, groups=groups)
    if input_size % groups or out_channels % groups:
        raise UserError(
            f"{layer}: groups is {groups} with {input_size} input and {out_channels} output channels",
            expected="a divisor of both",
        )


def _check_frames(layer: str, n_frames: int, n_output: int) -> None:
    if n_output < 1:
        raise UserError(
            f"{layer} got {n_frames} frames, fewer than its kernel spans",
            do="use longer input or padding: same",
        )
