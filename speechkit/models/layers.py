"""The layers of each algebra, so that a model is written once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from speechkit import nnet
from speechkit.errors import UserError, suggest
from speechkit.ops.algebra import find_algebra

Factory = Callable[..., nn.Module]
REAL_CELLS: dict[str, Factory] = {"rnn": nnet.RNN, "lstm": nnet.LSTM, "gru": nnet.GRU, "ligru": nnet.LiGRU}
HYPER_CELLS: dict[str, Factory] = {
    "rnn": nnet.HyperRNN,
    "lstm": nnet.HyperLSTM,
    "gru": nnet.HyperGRU,
    "ligru": nnet.HyperLiGRU,
}


@dataclass(frozen=True)
class Layers:
    """Factories of one algebra's layers; sizes count its numbers, of `n_parts` real ones."""

    n_parts: int
    linear: Factory
    conv1d: Factory
    conv2d: Factory
    batch_norm: Factory
    layer_norm: Factory
    pool1d: Factory
    dropout: Factory
    cells: Mapping[str, Factory]

    def count_numbers(self, width: int, key: str) -> int:
        """Numbers in `width` real values.

        >>> layers_over("quaternion").count_numbers(128, "channels")
        32
        """
        if width < 1 or width % self.n_parts:
            found = f"{key} has a width of {width}"
            raise UserError(found, expected=f"a multiple of {self.n_parts}, the parts of a number", key=key)
        return width // self.n_parts

    def find_cell(self, name: str, key: str) -> Factory:
        """The recurrent layer of a name: rnn, lstm, gru or ligru."""
        if name not in self.cells:
            found = f"{key} is {name!r}{suggest(str(name), self.cells)}"
            raise UserError(found, expected=", ".join(self.cells), key=key)
        return self.cells[name]


def layers_over(algebra: str) -> Layers:
    """The layers of an algebra: the real ones for real numbers, else those that take any algebra.

    >>> layers_over("real").linear.__name__, layers_over("complex").n_parts
    ('Linear', 2)
    """
    n_parts = find_algebra(algebra).n_parts
    if n_parts == 1:
        return Layers(
            1,
            nnet.Linear,
            nnet.Conv1d,
            nnet.Conv2d,
            nnet.BatchNorm,
            nnet.LayerNorm,
            nnet.Pooling1d,
            nnet.Dropout,
            REAL_CELLS,
        )
    return Layers(
        n_parts,
        partial(nnet.HyperLinear, algebra=algebra),
        partial(nnet.HyperConv1d, algebra=algebra),
        partial(nnet.HyperConv2d, algebra=algebra),
        partial(nnet.HyperBatchNorm, algebra=algebra),
        # One variance for all parts: a matrix root of each frame would take longer than all else.
        partial(nnet.HyperLayerNorm, whiten="shared", algebra=algebra),
        partial(nnet.HyperPooling1d, algebra=algebra),
        partial(nnet.HyperDropout, algebra=algebra),
        {name: partial(cell, algebra=algebra) for name, cell in HYPER_CELLS.items()},
    )
