"""Broadcasted residual network for keyword spotting."""

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import BatchNorm2d, Conv2d, Dropout2d, GlobalAveragePool, Sequential, SubSpectralNorm

# B batch, T frames, F bands, C channels, V classes
# Stages of the paper's table 1: blocks, channels at width 1, stride in frequency, dilation in time.
STAGES = ((2, 8, 1, 1), (2, 12, 2, 2), (4, 16, 2, 4), (4, 20, 1, 8))
HEAD_CHANNELS = 32


class BCResNet(nn.Module):
    """BC-ResNet: Kim et al., Broadcasted Residual Learning for Efficient Keyword Spotting, Interspeech 2021.

    Log-mel features (B, T, n_mels), true lengths (B,) to logits (B, n_classes). `width` is the paper's tau.
    `n_mels` must be a multiple of 8 `n_subbands`: 40 or 80 with the paper's 5 sub-bands.
    Batch norms and the mean over time count true frames only.

    >>> import torch
    >>> BCResNet(n_mels=40, n_classes=10)(torch.randn(2, 30, 40), torch.tensor([30, 17])).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, n_mels: int, n_classes: int, width: float = 1.0, dropout: float = 0.1, n_subbands: int = 5
    ) -> None:
        super().__init__()
        if n_mels % (8 * n_subbands):
            raise UserError(f"n_mels is {n_mels}", expected=f"a multiple of {8 * n_subbands} (8 n_subbands)")
        self.n_mels = n_mels
        channels = 2 * _scaled(STAGES[0][1], width)
        stem = Conv2d(channels, 5, input_size=1, stride=(1, 2), bias=False)
        self.stem = Sequential((None, None, n_mels, 1), conv=stem, norm=BatchNorm2d, activation=nn.ReLU)
        shape = self.stem.output_shape
        self.blocks = nn.ModuleList()
        for n_blocks, base, stride, dilation in STAGES:
            for position in range(n_blocks):
                block = BroadcastedBlock(
                    shape, _scaled(base, width), 1 if position else stride, dilation, dropout, n_subbands
                )
                self.blocks.append(block)
                shape = (None, None, shape[2] // block.stride, _scaled(base, width))  # type: ignore[operator]
        self.head = _head(shape, _scaled(HEAD_CHANNELS, width), n_classes)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n_mels), true lengths (B,) in frames, to logits (B, V)."""
        if features.dim() != 3 or features.shape[-1] != self.n_mels:
            raise UserError(
                f"BCResNet got features of shape {tuple(features.shape)}",
                expected=f"(batch, frames, {self.n_mels})",
            )
        x = self.stem(features, lengths)
        for block in self.blocks:
            x = block(x, lengths)
        return self.head(x, lengths)


class BroadcastedBlock(nn.Module):
    """y = x + f2(x) + BC(f1(mean over bands of f2(x))): the paper's equation 4; no x where sizes change.

    f2 works along frequency, f1 along time on the mean over bands; BC repeats over the bands.
    (B, T, F, C) to (B, T, F / stride, out_channels).
    """

    def __init__(
        self,
        input_shape: tuple[int | None, ...],
        out_channels: int,
        stride: int = 1,
        dilation: int = 1,
        dropout: float = 0.1,
        n_subbands: int = 5,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.has_identity = input_shape[-1] == out_channels and stride == 1
        parts: dict[str, nn.Module] = {}
        if not self.has_identity:
            parts["conv"] = Conv2d(out_channels, 1, input_shape, bias=False)
            parts["norm"] = BatchNorm2d(input_size=out_channels)
            parts["activation"] = nn.ReLU()
        parts["depthwise"] = Conv2d(
            out_channels, (1, 3), input_size=out_channels, stride=(1, stride), groups=out_channels, bias=False
        )
        n_bands = -(-input_shape[-2] // stride)  # type: ignore[operator]
        parts["subspectral_norm"] = SubSpectralNorm(n_subbands, (None, None, n_bands, out_channels))
        self.along_frequency = Sequential(input_shape, **parts)
        self.along_time = Sequential(
            (None, None, 1, out_channels),
            depthwise=Conv2d(
                out_channels,
                (3, 1),
                input_size=out_channels,
                dilation=(dilation, 1),
                groups=out_channels,
                bias=False,
            ),
            norm=BatchNorm2d,
            activation=nn.SiLU,
            conv=Conv2d(out_channels, 1, input_size=out_channels, bias=False),
            dropout=Dropout2d(dropout),
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C), true lengths (B,) in frames, to (B, T, F', C')."""
        y = self.along_frequency(x, lengths)
        y = y + self.along_time(y.mean(2, keepdim=True), lengths)
        return F.relu(x + y if self.has_identity else y)


def _head(shape: tuple[int | None, ...], n_hidden: int, n_classes: int) -> Sequential:
    n_bands, channels = shape[2], shape[3]
    assert n_bands is not None
    assert channels is not None
    spread = Conv2d(
        channels, (5, n_bands), input_size=channels, padding=("same", "valid"), groups=channels, bias=False
    )
    return Sequential(
        shape,
        depthwise=spread,
        conv=Conv2d(n_hidden, 1, input_size=channels, bias=False),
        norm=BatchNorm2d(input_size=n_hidden),
        activation=nn.ReLU(),
        pool=GlobalAveragePool(),
        output=nn.Linear(n_hidden, n_classes),
    )


def _scaled(channels: int, width: float) -> int:
    if width <= 0:
        raise UserError(f"width is {width}", expected="a number above 0", key="width")
    return max(1, round(channels * width))
