"""Recurrent layers over an algebra: torch's fused kernels, with the real matrices that numbers stand for."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from speechkit.nnet.hyper_initialization import hyper_init
from speechkit.nnet.hyper_weight import HyperWeight, numbers_of
from speechkit.nnet.recurrent import State, check_recurrent, run_layers, stack_layers
from speechkit.nnet.sizes import check_width
from speechkit.ops.algebra import Algebra
from speechkit.ops.graphs import is_exporting, outside_graphs
from speechkit.ops.scanned import scan_kernel

# B batch, T frames, n parts, I inputs and H hidden units in numbers, L layers, D directions, G gates
KERNELS: dict[str, tuple[Callable, int]] = {
    "rnn": (torch.rnn_tanh, 1),
    "lstm": (torch.lstm, 4),
    "gru": (torch.gru, 3),
}


class GateWeight(HyperWeight):
    """Weights of G gates as one matrix (G n O, n I): gate by gate, and in a gate part by part.

    Or part by part, and in a part gate by gate, with `by_gate` False. Each gate has its own first values, so
    that a fan counts its own outputs.
    """

    def __init__(
        self,
        algebra: Algebra,
        n_gates: int,
        shape: tuple[int, int],
        init: tuple[str, str | None],
        by_gate: bool = True,
    ) -> None:
        n_out, n_in = shape
        super().__init__(algebra, (n_gates * n_out, n_in), groups=n_gates if by_gate else 1, init=init)
        gates = [hyper_init((algebra.n_parts, n_out, n_in), *init) for _ in range(n_gates)]
        with torch.no_grad():
            self.parts.copy_(torch.cat(gates, 1))


class HyperKernel(nn.Module):
    """One layer and direction, called as torch's own: (B, T, n I) or packed, to (B, T, n H) and the state."""

    def __init__(
        self, cell: str, algebra: Algebra, sizes: tuple[int, int], bias: bool, init: tuple[str, str | None]
    ) -> None:
        super().__init__()
        self.cell, n_gates = cell, KERNELS[cell][1]
        n_inputs, n_hidden = sizes
        self.n_hidden = algebra.n_parts * n_hidden
        self.input = GateWeight(algebra, n_gates, (n_hidden, n_inputs), init)
        self.recurrent = GateWeight(algebra, n_gates, (n_hidden, n_hidden), init)
        zeros = torch.zeros(n_gates * self.n_hidden)
        self.input_bias = nn.Parameter(zeros) if bias else None
        self.recurrent_bias = nn.Parameter(zeros.clone()) if bias else None

    def forward(self, x: Tensor | PackedSequence) -> tuple[Tensor, State]:
        """The real matrices are built once a call, whatever the number of frames."""
        weights = self.weights()
        if is_exporting() and isinstance(x, Tensor):
            return scan_kernel(self.cell, x, weights)
        if isinstance(x, Tensor):
            first = self.zeros(x, len(x))
            if x.shape[1] == 0:  # torch's kernels want a frame
                return x.new_zeros(len(x), 0, self.n_hidden), first
            return self.run(x, weights, first)
        y, state = self.run(x.data, weights, self.zeros(x.data, int(x.batch_sizes[0])), x.batch_sizes)
        if x.unsorted_indices is None:
            return y, state
        select = partial(torch.Tensor.index_select, dim=1, index=x.unsorted_indices)
        return y, select(state) if isinstance(state, Tensor) else (select(state[0]), select(state[1]))

    def weights(self) -> list[Tensor]:
        """The real matrices and biases, as torch's kernels want them."""
        with torch.autocast(self.input.parts.device.type, enabled=False):
            weights = [self.input.matrix(), self.recurrent.matrix()]
        if self.input_bias is not None and self.recurrent_bias is not None:
            weights += [self.input_bias, self.recurrent_bias]
        return weights

    def zeros(self, x: Tensor, n_items: int) -> State:
        """The state before the first frame: (1, B, n H), two for an LSTM."""
        zeros = x.new_zeros(1, n_items, self.n_hidden)
        return (zeros, zeros) if self.cell == "lstm" else zeros

    @outside_graphs  # its graphs would lose the gradients of torch's kernels
    def run(
        self, x: Tensor, weights: list[Tensor], state: State, sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(B, T, n I) from a state on, to (B, T, n H) and the last state; rows are packed by `sizes`."""
        # layers, dropout between them, training, both directions
        options = (self.input_bias is not None, 1, 0.0, self.training, False)
        if sizes is None:
            y, *after = KERNELS[self.cell][0](x, state, weights, *options, True)
        else:
            y, *after = KERNELS[self.cell][0](x, sizes, state, weights, *options)
        return y, after[0] if len(after) == 1 else (after[0], after[1])


class _HyperRecurrent(nn.Module):
    """Layers of one cell (`_cell`) over an algebra."""

    _cell: str
    own_algebra: str | None = None

    def __init__(
        self,
        hidden_size: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        init_criterion: str = "glorot",
        weight_init: str | None = None,
        return_hidden: bool = False,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        name, init = type(self).__name__, (init_criterion, weight_init)
        check_recurrent(name, hidden_size, num_layers, dropout)
        kind, n_numbers = numbers_of(self, algebra, (input_shape, input_size), init)
        self.input_size, self.n_parts = n_numbers * kind.n_parts, kind.n_parts
        self.dropout, self.return_hidden = dropout, return_hidden
        self.layers = stack_layers(
            lambda width: HyperKernel(self._cell, kind, (width, hidden_size), bias, init),
            (n_numbers, hidden_size),
            num_layers,
            bidirectional,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, State]:
        """(B, T, n I), true lengths (B,) in frames, to (B, T, n D H), and the state with `return_hidden`.

        Both directions' numbers stand together: `[r_f, r_b, i_f, i_b]`. The state after each item's last true
        frame is (L D, B, n H), forward before backward; for an LSTM two; zeros of an item without frames.
        """
        check_width(x, self.input_size, type(self).__name__)
        dropout = self.dropout if self.training else 0.0
        y, state = run_layers(self.layers, x, lengths, dropout, self.return_hidden, self.n_parts)
        return (y, state) if state is not None else y


class HyperRNN(_HyperRecurrent):
    """Elman network with tanh, of numbers: h' = tanh(W x + U h + b) part by part.

    Sizes count numbers: (B, T, n I) to (B, T, n H), or (B, T, n 2 H) in both directions. Weights as in
    `HyperLinear`, biases start at zero; `dropout` between layers, of whole numbers.

    >>> layer = HyperRNN(12, input_shape=(2, 16, 40), algebra="octonion")
    >>> layer(torch.zeros(2, 16, 40)).shape
    torch.Size([2, 16, 96])
    """

    _cell = "rnn"


class HyperLSTM(_HyperRecurrent):
    """Long short-term memory of numbers: products of the algebra, gates part by part. As `HyperRNN`.

    >>> layer = HyperLSTM(12, input_shape=(2, 16, 42), algebra="phm:3", bidirectional=True)
    >>> layer(torch.zeros(2, 16, 42)).shape
    torch.Size([2, 16, 72])
    """

    _cell = "lstm"


class HyperGRU(_HyperRecurrent):
    """Gated recurrent unit of numbers: products of the algebra, gates part by part. As `HyperRNN`.

    >>> HyperGRU(12, input_shape=(2, 16, 40), algebra="dual", num_layers=2)(torch.zeros(2, 16, 40)).shape
    torch.Size([2, 16, 24])
    """

    _cell = "gru"


class CRNN(HyperRNN):
    """`HyperRNN` of complex numbers.

    >>> CRNN(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 48])
    """

    own_algebra = "complex"


class CLSTM(HyperLSTM):
    """`HyperLSTM` of complex numbers.

    >>> CLSTM(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 48])
    """

    own_algebra = "complex"


class CGRU(HyperGRU):
    """`HyperGRU` of complex numbers.

    >>> CGRU(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 48])
    """

    own_algebra = "complex"


class QRNN(HyperRNN):
    """`HyperRNN` of quaternions.

    >>> QRNN(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 96])
    """

    own_algebra = "quaternion"


class QLSTM(HyperLSTM):
    """`HyperLSTM` of quaternions.

    >>> QLSTM(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 96])
    """

    own_algebra = "quaternion"


class QGRU(HyperGRU):
    """`HyperGRU` of quaternions.

    >>> QGRU(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 96])
    """

    own_algebra = "quaternion"
