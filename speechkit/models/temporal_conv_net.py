"""Masks by dilated convolutions over time: Conv-TasNet."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import Conv1d, GlobalLayerNorm, Linear, PReLU, Sequential
from speechkit.nnet.sizes import check_positive
from speechkit.ops.mirroring import mirror_ends

# B batch, S sources, T frames, F filters, W width, H hidden channels
Layer = Callable[..., nn.Module]  # given its input_shape


class TemporalConvNet(nn.Module):
    """Masks (B, S, T, F) for frames (B, T, F) of S sources, in [0, infinity).

    Luo and Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation",
    2019, figure 1: a norm within each frame, then `n_repeats` times blocks of dilation 1, 2, 4, ...,
    2^(n_blocks - 1), each added to what it got. The masks are made of the sum of what all blocks give beside,
    by a ReLU, as in SpeechBrain's, where the paper has a sigmoid: a mask may be above 1.

    width: between blocks (their B). hidden_size: within blocks (H). skip_width: of what blocks give beside
    (Sc); without it masks are made of what the last block gives. kernel_size: frames (P). padding: `same`,
    `causal` (then give `norm: !name:speechkit.nnet.LayerNorm`, which sees no other frames), or `reflect`: the
    frames mirrored at the ends in place of zeros, with an odd kernel_size, as in SpeechBrain's Conv-TasNet.
    norm: the layer within blocks.

    >>> import torch
    >>> masker = TemporalConvNet(16, n_sources=2, width=8, hidden_size=12, n_blocks=3, n_repeats=2)
    >>> masker(torch.randn(2, 21, 16), torch.tensor([21, 13])).shape
    torch.Size([2, 2, 21, 16])
    """

    def __init__(
        self,
        n_filters: int,
        n_sources: int,
        width: int = 128,
        hidden_size: int = 512,
        skip_width: int | None = 128,
        kernel_size: int = 3,
        n_blocks: int = 8,
        n_repeats: int = 3,
        padding: str = "same",
        norm: Layer = GlobalLayerNorm,
    ) -> None:
        super().__init__()
        check_positive("TemporalConvNet", n_sources=n_sources, n_blocks=n_blocks, n_repeats=n_repeats)
        self.n_sources = n_sources
        self.norm, self.begin = nn.LayerNorm(n_filters, 1e-8), nn.Linear(n_filters, width, bias=False)
        conv = partial(_Depthwise, hidden_size, kernel_size, padding)
        dilations = [2**block for _ in range(n_repeats) for block in range(n_blocks)]
        widths = [width] * len(dilations)
        if skip_width:
            widths[-1] = 0  # nobody comes after the last block
        self.blocks = nn.ModuleList(
            _Block((width, hidden_size, after, skip_width), partial(conv, dilation), norm)
            for dilation, after in zip(dilations, widths, strict=True)
        )
        self.activation = PReLU() if skip_width else None
        self.end = nn.Linear(skip_width or width, n_filters * n_sources, bias=False)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F), true lengths (B,) in frames, to (B, S, T, F)."""
        if not frames.shape[1]:
            return frames.unsqueeze(1).expand(-1, self.n_sources, -1, -1)
        x, beside = self.begin(self.norm(frames)), None
        for block in self.blocks:
            x, skip = block(x, lengths)
            beside = skip if beside is None else beside + skip
        if self.activation is not None:
            x = self.activation(beside)
        return F.relu(self.end(x)).unflatten(2, (self.n_sources, -1)).transpose(1, 2)


class _Depthwise(nn.Module):
    """A kernel for each channel, over time; the ends of the signal as `padding` tells."""

    def __init__(self, n_channels: int, kernel_size: int, padding: str, dilation: int) -> None:
        super().__init__()
        if padding == "reflect" and kernel_size % 2 == 0:
            found = f"padding 'reflect' with a kernel of {kernel_size} frames"
            raise UserError(found, expected="an odd kernel_size", key="kernel_size")
        self.mirrored = dilation * (kernel_size - 1) // 2 if padding == "reflect" else 0
        self.conv = Conv1d(
            n_channels,
            kernel_size,
            input_size=n_channels,
            dilation=dilation,
            padding="valid" if padding == "reflect" else padding,
            groups=n_channels,
            bias=False,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, H), true lengths (B,), to the same shape."""
        if not self.mirrored:
            return self.conv(x, lengths)
        return self.conv(mirror_ends(x, self.mirrored, lengths))


class _Block(nn.Module):
    """1x1 convolution, PReLU, norm, depthwise convolution, PReLU, norm; of that, 1x1 convolutions.

    sizes: of what comes in, within, of what is added to what came in (or 0), of what stands beside (or None).
    """

    def __init__(self, sizes: tuple[int, int, int, int | None], conv: Layer, norm: Layer) -> None:
        super().__init__()
        width, hidden_size, end_width, skip_width = sizes
        self.layers = Sequential(
            (None, None, width),
            begin=partial(Linear, hidden_size, bias=False),
            begin_activation=PReLU,
            begin_norm=norm,
            conv=conv,
            conv_activation=PReLU,
            conv_norm=norm,
        )
        self.end = nn.Linear(hidden_size, end_width, bias=False) if end_width else None
        self.skip = nn.Linear(hidden_size, skip_width, bias=False) if skip_width else None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, T, W), true lengths (B,), to the same shape, and what stands beside, (B, T, `skip_width`)."""
        y = self.layers(x, lengths)
        return (x if self.end is None else x + self.end(y)), (None if self.skip is None else self.skip(y))
