"""Plain convolutional network over a spectrogram, magnitude or complex."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout2d,
    GlobalAveragePool,
    Linear,
    NormPool2d,
    Sequential,
)
from speechkit.ops.lengths import mask_padding

# B batch, T frames, F bands, C channels, V classes


class ConvNet(nn.Module):
    """Convolutions of 3x3 without padding, max pools between them, and a classifier of two layers.

    Features (B, T, F) or (B, T, F, C), true lengths (B,) to logits (B, n_classes). For each of `channels`:
    convolution, batch norm, ReLU, dropout of whole channels with `dropout`, max pool of 2x2; the last has the
    mean over all that is left in place of the pool. Then linear to `n_hidden`, batch norm, ReLU, dropout with
    `hidden_dropout`, linear to the classes.

    `input_shape` is that of the features, (batch, frames, bands) or (..., bands, channels). An utterance too
    short for all windows (`n_frames_needed`) counts as followed by zeros.

    >>> import torch
    >>> model = ConvNet((None, None, 257, 2), n_classes=10)
    >>> model(torch.randn(2, 101, 257, 2), torch.tensor([101, 84])).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        n_classes: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        n_hidden: int = 512,
        dropout: float = 0.2,
        hidden_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if not channels:
            raise UserError("no channels", expected="a list, one number for each block", key="channels")
        if len(input_shape) not in (3, 4):
            expected = "(batch, frames, bands) or (batch, frames, bands, channels)"
            raise UserError(f"input_shape {tuple(input_shape)}", expected=expected, key="input_shape")
        n_bands, n_channels = (*input_shape, 1)[2:4]
        self.n_frames_needed = _n_needed(len(channels))
        if n_bands is None or n_channels is None or n_bands < self.n_frames_needed:
            expected = f"{self.n_frames_needed} or more bands for {len(channels)} blocks"
            raise UserError(f"input_shape {tuple(input_shape)}", expected=expected, key="input_shape")
        self.feature_shape = (n_bands, n_channels)
        layers = _blocks(n_channels, channels, dropout)
        layers |= _classifier(channels[-1], n_hidden, n_classes, hidden_dropout)
        self.layers = Sequential((None, self.n_frames_needed, *self.feature_shape), **layers)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, C), true lengths (B,) in frames, to logits (B, V)."""
        x = features.unsqueeze(-1) if features.dim() == 3 else features
        if x.dim() != 4 or tuple(x.shape[2:]) != self.feature_shape:
            expected = f"(batch, frames, {', '.join(map(str, self.feature_shape))})"
            raise UserError(f"ConvNet got features of shape {tuple(features.shape)}", expected=expected)
        if lengths is not None:
            x, lengths = mask_padding(x, lengths), lengths.clamp_min(self.n_frames_needed)
        n_missing = max(0, self.n_frames_needed - x.shape[1])
        return self.layers(F.pad(x, (0, 0, 0, 0, 0, n_missing)) if n_missing else x, lengths)


def _blocks(width: int, channels: Sequence[int], dropout: float) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {}
    for number, out_channels in enumerate(channels, start=1):
        # The batch norm takes the mean away, and with it any bias.
        conv = Conv2d(out_channels, 3, input_size=width, padding="valid", bias=False)
        layers[f"conv{number}"] = conv
        # The largest of a window stays so after ReLU and dropout of its channel: on a quarter of the numbers
        # they give what they would give before the pool.
        if number < len(channels):
            layers[f"norm_pool{number}"] = NormPool2d(2, input_size=out_channels)
        else:
            layers[f"norm{number}"], layers["activation"] = BatchNorm2d(input_size=out_channels), nn.ReLU()
        layers[f"dropout{number}"] = Dropout2d(dropout)
        width = out_channels
    return layers | {"mean": GlobalAveragePool()}


def _classifier(width: int, n_hidden: int, n_classes: int, dropout: float) -> dict[str, nn.Module]:
    return {
        "hidden": Linear(n_hidden, input_size=width),
        "hidden_norm": BatchNorm1d(input_size=n_hidden),
        "hidden_activation": nn.ReLU(),
        "hidden_dropout": nn.Dropout(dropout),
        "output": Linear(n_classes, input_size=n_hidden),
    }


def _n_needed(n_blocks: int) -> int:
    """Frames, or bands, that give one after all convolutions and pools.

    >>> _n_needed(1), _n_needed(5)
    (3, 78)
    """
    n = 3
    for _ in range(n_blocks - 1):
        n = 2 * n + 2
    return n
