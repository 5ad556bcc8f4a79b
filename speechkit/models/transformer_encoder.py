"""Encoders of self-attention, with and without convolution, over any algebra."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models.attention_blocks import BlockParts, ConformerBlock, TransformerBlock
from speechkit.models.layers import layers_over
from speechkit.nnet import ConvSubsampling, JoinBands, Sequential, SinusoidalPositions

# B batch, T frames, F bands, n parts, W width
Layer = nn.Module | Callable[..., nn.Module]
POSITIONS = ("sinusoidal", "rotary", "relative", None)


class TransformerEncoder(nn.Module):
    """Transformer encoder (Vaswani et al., 2017), the norm before each layer (Xiong et al., 2020).

    Features (B, T, F) or (B, T, F, n), true lengths (B,) to (B, ceil(T / 4), W). Two convolutions of
    `channels` and stride 2 come first (0 channels: none, and T frames stay), then `num_layers` blocks of
    self-attention with `n_heads` and a feed-forward net of `hidden_size`. `positions`: sinusoidal, rotary,
    relative, or null.

    Widths count real values, whatever the `algebra`, and must be multiples of its parts. `front` makes a
    layer that comes first, of the features as they are, and gives numbers of the algebra.

    >>> import torch
    >>> encoder = TransformerEncoder((None, None, 40), width=32, n_heads=2, hidden_size=64, num_layers=1)
    >>> encoder(torch.randn(2, 30, 40), torch.tensor([30, 17])).shape
    torch.Size([2, 8, 32])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        algebra: str = "real",
        front: Callable[..., nn.Module] | None = None,
        channels: int = 64,
        width: int = 256,
        num_layers: int = 6,
        n_heads: int = 4,
        hidden_size: int = 1024,
        positions: str | None = "sinusoidal",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        parts = BlockParts(algebra, width, n_heads, hidden_size, dropout)
        layers = first_layers(parts, front, channels, check_positions(positions))
        for number in range(1, num_layers + 1):
            layers[f"block{number}"] = partial(TransformerBlock, parts, positions)
        self.layers = Sequential(tuple(input_shape), **layers, norm=parts.norm())

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output, (batch, frames, W)."""
        return self.layers.output_shape

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, n), true lengths (B,) in frames, to (B, T', W)."""
        return self.layers(features, lengths)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        after = self.layers.output_lengths(lengths)
        assert after is not None  # no layer of it pools over all frames
        return after


class ConformerEncoder(nn.Module):
    """Conformer encoder (Gulati et al., 2020): self-attention and convolution between two half-steps.

    As `TransformerEncoder`, with convolutions of `kernel_size` frames in each block, whose norm is
    `normalization`: batchnorm (statistics of true frames only) or layernorm.

    >>> import torch
    >>> sizes = {"channels": 8, "width": 16, "n_heads": 2, "hidden_size": 32, "num_layers": 1}
    >>> encoder = ConformerEncoder((None, None, 40, 4), algebra="quaternion", **sizes)
    >>> encoder(torch.randn(2, 30, 40, 4), torch.tensor([30, 17])).shape
    torch.Size([2, 8, 16])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        algebra: str = "real",
        front: Callable[..., nn.Module] | None = None,
        channels: int = 64,
        width: int = 256,
        num_layers: int = 6,
        n_heads: int = 4,
        hidden_size: int = 1024,
        kernel_size: int = 31,
        normalization: str = "batchnorm",
        positions: str | None = "relative",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        parts = BlockParts(algebra, width, n_heads, hidden_size, dropout)
        layers = first_layers(parts, front, channels, check_positions(positions))
        for number in range(1, num_layers + 1):
            layers[f"block{number}"] = partial(ConformerBlock, parts, positions, kernel_size, normalization)
        self.layers = Sequential(tuple(input_shape), **layers)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output, (batch, frames, W)."""
        return self.layers.output_shape

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, n), true lengths (B,) in frames, to (B, T', W)."""
        return self.layers(features, lengths)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        after = self.layers.output_lengths(lengths)
        assert after is not None  # no layer of it pools over all frames
        return after


def first_layers(
    parts: BlockParts, front: Callable[..., nn.Module] | None, channels: int, positions: str | None
) -> dict[str, Layer]:
    """From features to frames of the blocks' width, with their positions where these are added."""
    kind, n_numbers = layers_over(parts.algebra), parts.numbers("width")
    layers: dict[str, Layer] = {} if front is None else {"front": front}
    if channels:
        n_channels = kind.count_numbers(channels, "channels")
        layers["subsampling"] = partial(ConvSubsampling, n_numbers, n_channels, algebra=parts.algebra)
    else:
        layers["join"] = JoinBands(parts.algebra)
        layers["linear"] = partial(kind.linear, n_neurons=n_numbers)
    if positions == "sinusoidal":
        layers["positions"] = SinusoidalPositions
    return layers | {"dropout": kind.dropout(parts.dropout)}


def check_positions(positions: str | None) -> str | None:
    """A known way to tell positions."""
    if positions not in POSITIONS:
        raise UserError(
            f"positions is {positions!r}", expected="sinusoidal, rotary, relative or null", key="positions"
        )
    return positions
