"""Convolutional, recurrent and dense layers in a row, over any algebra: an encoder."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models.layers import Layers, layers_over
from speechkit.nnet import JoinBands, Sequential

# B batch, T frames, F bands, n parts, W width
Layer = nn.Module | Callable[..., nn.Module]


class CRDNN(nn.Module):
    """Convolutions over time, recurrent layers in both directions, dense layers (after Sainath et al., 2015).

    Features (B, T, F) or (B, T, F, n), true lengths (B,) to (B, T', W). All bands enter the first
    convolution side by side. Each of `channels` is a block: convolution of `kernel_size` frames, batch norm,
    ReLU, max pool over the block's number of frames in `pools`, dropout. Then `num_layers` of `recurrent`
    (rnn, lstm, gru, ligru) with `hidden_size` a direction, and a dense layer with batch norm and ReLU for
    each width of `dense`.

    Widths count real values, whatever the `algebra`, and must be multiples of its parts: 128 are 64 complex
    numbers or 32 quaternions, with a half and a quarter of the weights. `front` makes a layer that comes
    first, of the features as they are, and gives numbers of the algebra.

    >>> import torch
    >>> encoder = CRDNN((None, None, 40, 4), algebra="quaternion", channels=[32], hidden_size=16, dense=[24])
    >>> encoder(torch.randn(2, 30, 40, 4), torch.tensor([30, 17])).shape
    torch.Size([2, 15, 24])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        algebra: str = "real",
        front: Callable[..., nn.Module] | None = None,
        channels: Sequence[int] = (128, 128),
        kernel_size: int = 5,
        pools: Sequence[int] | int = 2,
        recurrent: str = "ligru",
        hidden_size: int = 128,
        num_layers: int = 1,
        dense: Sequence[int] = (),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        kind = layers_over(algebra)
        pools = [pools] * len(channels) if isinstance(pools, int) else list(pools)
        if len(pools) != len(channels):
            raise UserError(f"{len(pools)} pools", expected=f"{len(channels)}, one a block", key="pools")
        layers: dict[str, Layer] = {} if front is None else {"front": front}
        layers["join"] = JoinBands(algebra)
        for number, (width, pool) in enumerate(zip(channels, pools, strict=True), start=1):
            layers |= _conv_block(kind, number, (width, kernel_size, pool), dropout)
        if num_layers:
            cell, size = (
                kind.find_cell(recurrent, "recurrent"),
                kind.count_numbers(hidden_size, "hidden_size"),
            )
            layers["recurrent"] = partial(
                cell, hidden_size=size, num_layers=num_layers, bidirectional=True, dropout=dropout
            )
            layers["recurrent_dropout"] = kind.dropout(dropout)
        for number, width in enumerate(dense, start=1):
            layers |= _dense_block(kind, number, width, dropout)
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


def _conv_block(kind: Layers, number: int, sizes: tuple[int, int, int], dropout: float) -> dict[str, Layer]:
    width, kernel_size, pool = sizes
    block: dict[str, Layer] = {
        # The batch norm takes the mean away, and with it any bias.
        f"conv{number}": partial(
            kind.conv1d,
            out_channels=kind.count_numbers(width, "channels"),
            kernel_size=kernel_size,
            bias=False,
        ),
        f"norm{number}": kind.batch_norm,
        f"activation{number}": nn.ReLU(),
    }
    if pool > 1:
        block[f"pool{number}"] = kind.pool1d("max", pool, padding="same")
    return block | {f"dropout{number}": kind.dropout(dropout)}


def _dense_block(kind: Layers, number: int, width: int, dropout: float) -> dict[str, Layer]:
    return {
        f"dense{number}": partial(kind.linear, n_neurons=kind.count_numbers(width, "dense"), bias=False),
        f"dense_norm{number}": kind.batch_norm,
        f"dense_activation{number}": nn.ReLU(),
        f"dense_dropout{number}": kind.dropout(dropout),
    }
