"""How a kernel walks over time, or over time and frequency: zeros, lengths and axes for any convolution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.sizes import check_positive, pair_of
from speechkit.ops.lengths import Lengths, conv_output_lengths, mask_padding, padding_amounts

# B batch, T frames, F bands, C channels
Convolve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Window:
    """Steps of a kernel along one axis.

    >>> Window(4, padding="same").zeros, Window(3, stride=2, padding="valid").count(7)
    ((1, 2), 3)
    """

    size: int
    stride: int = 1
    dilation: int = 1
    padding: str = "same"

    @property
    def zeros(self) -> tuple[int, int]:
        """Zeros before and after the signal."""
        return padding_amounts(self.size, self.dilation, self.padding)

    @property
    def is_even(self) -> bool:
        """Whether as many zeros stand before as after, so that a convolution can add them itself."""
        return self.zeros[0] == self.zeros[1]

    def count(self, lengths: Lengths) -> Lengths:
        """Frames made of so many."""
        return conv_output_lengths(lengths, self.size, self.stride, self.dilation, self.padding)


def time_window(layer: str, kernel_size: int, stride: int, dilation: int, padding: str) -> Window:
    """The checked window of a layer over time."""
    check_positive(layer, kernel_size=kernel_size, stride=stride, dilation=dilation)
    window = Window(kernel_size, stride, dilation, padding)
    padding_amounts(1, 1, padding)  # raises for another word
    return window


def time_and_frequency_windows(
    layer: str,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    dilation: int | Sequence[int],
    padding: str | Sequence[str],
) -> tuple[Window, Window]:
    """The checked windows of a layer over time and frequency; `causal` is `same` in frequency."""
    sizes = zip(
        pair_of(kernel_size, layer, "kernel_size"),
        pair_of(stride, layer, "stride"),
        pair_of(dilation, layer, "dilation"),
        _padding_pair(layer, padding),
        strict=True,
    )
    time, frequency = (time_window(layer, *each) for each in sizes)
    return time, frequency


def _padding_pair(layer: str, padding: str | Sequence[str]) -> tuple[str, str]:
    if isinstance(padding, str):
        return padding, "same" if padding == "causal" else padding
    if len(padding) != 2:
        expected = "one word, or two: [time, frequency]"
        raise UserError(f"{layer}: padding is {padding!r}", expected=expected, key="padding")
    return padding[0], padding[1]


def own_zeros(time: Window, frequency: Window) -> tuple[int, int]:
    """The `padding` of a torch convolution that adds the zeros itself; 0 where it cannot."""
    return (time.zeros[0], frequency.zeros[0]) if time.is_even and frequency.is_even else (0, 0)


def convolve_over_time(x: Tensor, lengths: Tensor | None, window: Window, convolve: Convolve) -> Tensor:
    """(B, T, C) through `convolve`, which maps (B, C, T) and adds no zeros; padding counts as zeros."""
    _check_frames(x, window)
    x = mask_padding(x, lengths).transpose(1, 2)
    if any(window.zeros):
        x = F.pad(x, window.zeros)
    return convolve(x).transpose(1, 2)


def convolve_channels_apart(x: Tensor, lengths: Tensor | None, window: Window, conv: nn.Conv1d) -> Tensor:
    """(B, T, C) through a convolution of each channel by itself, without stride; padding counts as zeros.

    Frames that the kernel sees together lie side by side along an axis of their own, (B, C, T / D, D) for
    a dilation D: no copies to another format, and torch's kernels of two axes, five to ten times faster.
    """
    _check_frames(x, window)
    n_frames, (before, after) = window.count(x.shape[1]), window.zeros
    after += -(x.shape[1] + before + after) % window.dilation
    x = F.pad(mask_padding(x, lengths), (0, 0, before, after))
    planes = x.unflatten(1, (-1, window.dilation)).permute(0, 3, 1, 2)  # torch sees "channels last"
    y = F.conv2d(planes, conv.weight.unsqueeze(3), conv.bias, groups=conv.groups)
    return y.permute(0, 2, 3, 1).flatten(1, 2)[:, :n_frames]


def convolve_over_time_and_frequency(
    x: Tensor, lengths: Tensor | None, windows: tuple[Window, Window], convolve: Convolve
) -> Tensor:
    """(B, T, F, C) through `convolve`, which maps (B, C, T, F) and adds `own_zeros`; padding is zeros."""
    time, frequency = windows
    _check_frames(x, time)
    x = mask_padding(x, lengths).permute(0, 3, 1, 2)  # a view; torch sees the format "channels last"
    if not (time.is_even and frequency.is_even):
        x = F.pad(x, (*frequency.zeros, *time.zeros))  # the axes backwards, as torch wants them
    return convolve(x).permute(0, 2, 3, 1)


def check_groups(layer: str, groups: int, input_size: int, out_channels: int) -> None:
    """`groups` divides both."""
    check_positive(layer, groups=groups, out_channels=out_channels)
    if input_size % groups or out_channels % groups:
        raise UserError(
            f"{layer}: groups is {groups} with {input_size} input and {out_channels} output channels",
            expected="a divisor of both",
        )


def _check_frames(x: Tensor, window: Window) -> None:
    if window.count(x.shape[1]) < 1:
        raise UserError(
            f"{x.shape[1]} frames are fewer than the kernel spans", do="use longer input or padding: same"
        )
