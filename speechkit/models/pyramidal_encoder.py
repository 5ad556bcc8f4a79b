"""The listener of Listen, Attend and Spell, over any algebra."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from speechkit.models.layers import layers_over
from speechkit.nnet import JoinBands, JoinFrames, Sequential

# B batch, T frames, F bands, n parts, W width
Layer = nn.Module | Callable[..., nn.Module]


class PyramidalEncoder(nn.Module):
    """Recurrent layers in both directions, of half as many frames each time (Chan et al., 2016, equation 5).

    Features (B, T, F) or (B, T, F, n), true lengths (B,) to (B, ceil(T / 2 ** num_pairings), W) with W twice
    `hidden_size`. A layer of `recurrent` (rnn, lstm, gru, ligru) with `hidden_size` a direction comes first;
    each of `num_pairings` puts two neighbouring frames side by side for one more. Widths count real values,
    multiples of the algebra's parts; `front` as in `CRDNN`.

    >>> import torch
    >>> encoder = PyramidalEncoder((None, None, 40), hidden_size=16, num_pairings=2)
    >>> encoder(torch.randn(2, 30, 40), torch.tensor([30, 17])).shape
    torch.Size([2, 8, 32])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        algebra: str = "real",
        front: Callable[..., nn.Module] | None = None,
        recurrent: str = "lstm",
        hidden_size: int = 256,
        num_pairings: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        kind = layers_over(algebra)
        size = kind.count_numbers(hidden_size, "hidden_size")
        cell = partial(kind.find_cell(recurrent, "recurrent"), hidden_size=size, bidirectional=True)
        layers: dict[str, Layer] = {} if front is None else {"front": front}
        layers |= {"join": JoinBands(algebra), "recurrent0": cell}
        for number in range(1, num_pairings + 1):
            layers[f"dropout{number}"] = kind.dropout(dropout)
            layers[f"pairs{number}"] = JoinFrames(2, algebra)
            layers[f"recurrent{number}"] = cell
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
