"""Recurrent layers, exact for any true lengths, in both directions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from speechkit.nnet.dropout import drop_numbers
from speechkit.nnet.sizes import check_positive, check_probability, check_width, input_size_of
from speechkit.ops.graphs import is_exporting
from speechkit.ops.lengths import check_lengths, is_padded, mask_padding, reverse_padded
from speechkit.ops.scanned import scan_kernel

# B batch, T frames, H hidden units, L layers, D directions
State = Tensor | tuple[Tensor, Tensor]


class _Recurrent(nn.Module):
    """Layers of one torch kernel (`_kernel`), one module for each layer and direction.

    torch's packed sequences are four to ten times slower on the CPU than whole batches. A padded batch is run
    whole instead, and reversed within its true lengths for the backward direction.
    """

    _kernel: Callable[..., nn.RNNBase]

    def __init__(
        self,
        hidden_size: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        return_hidden: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_recurrent(name, hidden_size, num_layers, dropout)
        self.input_size = input_size_of(input_shape, input_size, layer=name)
        self.dropout, self.return_hidden = dropout, return_hidden
        self.layers = stack_layers(
            lambda width: self._kernel(width, hidden_size, bias=bias, batch_first=True),
            (self.input_size, hidden_size),
            num_layers,
            bidirectional,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, State]:
        """(B, T, F), true lengths (B,) in frames, to (B, T, D H), and the state with `return_hidden`.

        The state after each item's last true frame is (L D, B, H), forward before backward; for an LSTM two.
        It is zeros of an item without frames. Lengths that are fractions, or beyond T, are a UserError.
        """
        check_width(x, self.input_size, type(self).__name__)
        dropout = self.dropout if self.training else 0.0
        y, state = run_layers(self.layers, x, lengths, dropout, self.return_hidden)
        return (y, state) if state is not None else y


class RNN(_Recurrent):
    """Elman network with tanh: (B, T, F) to (B, T, H), or (B, T, 2 H) in both directions.

    >>> RNN(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 24])
    """

    _kernel = nn.RNN


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): (B, T, F) to (B, T, H) or (B, T, 2 H).

    >>> LSTM(hidden_size=12, input_shape=(10, 16, 40))(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 12])
    """

    _kernel = nn.LSTM


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al., 2014): (B, T, F) to (B, T, H), or (B, T, 2 H) in both directions.

    >>> GRU(hidden_size=12, input_shape=(10, 16, 40), num_layers=2)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 12])
    """

    _kernel = nn.GRU


def check_recurrent(layer: str, hidden_size: int, num_layers: int, dropout: float) -> None:
    """What every recurrent layer asks of its arguments."""
    check_positive(layer, hidden_size=hidden_size, num_layers=num_layers)
    check_probability(layer, dropout=dropout)


def stack_layers(
    make: Callable[[int], nn.Module], sizes: tuple[int, int], num_layers: int, bidirectional: bool
) -> nn.ModuleList:
    """A module for each layer and direction, made by `make(width of its input)`; sizes (input, hidden)."""
    n_inputs, hidden_size = sizes
    n_directions = 2 if bidirectional else 1
    widths = [n_inputs] + [hidden_size * n_directions] * (num_layers - 1)
    return nn.ModuleList(nn.ModuleList(make(width) for _ in range(n_directions)) for width in widths)


def run_layers(
    layers: nn.ModuleList,
    x: Tensor,
    lengths: Tensor | None,
    dropout: float,
    with_state: bool,
    n_parts: int = 1,
) -> tuple[Tensor, State | None]:
    """(B, T, F) through layers of one kernel a direction, with `dropout` before all but the first.

    `n_parts` is that of the outputs' numbers, whose parts `join_directions` keeps side by side.
    """
    check_lengths(lengths, x.shape[1])
    states: list[State] = []
    for depth, directions in enumerate(layers):
        if depth and dropout:
            x = drop_numbers(x, dropout, n_parts)
        outputs: list[Tensor] = []
        for direction, kernel in enumerate(directions.children()):
            frames = reverse_padded(x, lengths) if direction else x
            y, state = _run_kernel(kernel, frames)
            if with_state:
                states.append(_state_at_end(kernel, frames, lengths, state))
            outputs.append(reverse_padded(y, lengths) if direction else y)
        x = join_directions(outputs, n_parts)
    return x, _stack(states) if with_state else None


def _run_kernel(kernel: nn.Module, x: Tensor) -> tuple[Tensor, State]:
    if is_exporting() and isinstance(kernel, nn.RNNBase):
        return scan_kernel(kernel.mode.lower().removesuffix("_tanh"), x, list(kernel.parameters()))
    if x.shape[1] == 0 and isinstance(kernel, nn.RNNBase):  # torch's kernels want a frame
        zeros = x.new_zeros(1, len(x), kernel.hidden_size)
        return x.new_zeros(len(x), 0, kernel.hidden_size), (zeros, zeros) if kernel.mode == "LSTM" else zeros
    return kernel(x)


def join_directions(outputs: Sequence[Tensor], n_parts: int) -> Tensor:
    """(B, T, n H) of each direction to (B, T, n D H), all numbers' parts side by side.

    >>> forward, backward = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    >>> join_directions([forward, backward], n_parts=2).tolist()
    [1.0, 10.0, 2.0, 20.0]
    """
    if len(outputs) == 1:
        return outputs[0]
    return torch.cat([y.unflatten(-1, (n_parts, -1)) for y in outputs], -1).flatten(-2)


def _state_at_end(kernel: nn.Module, x: Tensor, lengths: Tensor | None, state: State) -> State:
    """The state after the last true frame; an LSTM's cell is no output, so padding costs a packed run."""
    n_frames = x.shape[1]
    if lengths is None or n_frames == 0 or not is_padded(lengths, n_frames):
        return state
    # torch packs no item without frames: it gets one, which is then forgotten
    counts = lengths.clamp(1, n_frames).cpu()
    packed = pack_padded_sequence(mask_padding(x, lengths), counts, batch_first=True, enforce_sorted=False)
    has_frames = (lengths > 0).to(x.device).view(1, -1, 1)
    after = kernel(packed)[1]
    if isinstance(after, Tensor):
        return torch.where(has_frames, after, after.new_zeros(()))
    hidden, cell = (torch.where(has_frames, each, each.new_zeros(())) for each in after)
    return hidden, cell


def _stack(states: list[State]) -> State:
    if isinstance(states[0], Tensor):
        return torch.cat(states)  # type: ignore[arg-type]
    return torch.cat([state[0] for state in states]), torch.cat([state[1] for state in states])
