"""Light gated recurrent layers over an algebra, both directions in one loop over the frames."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.hyper_normalization import HyperBatchNorm, HyperLayerNorm
from speechkit.nnet.hyper_recurrent import GateWeight
from speechkit.nnet.hyper_weight import numbers_of
from speechkit.nnet.normalization import BatchNorm, LayerNorm
from speechkit.nnet.recurrent import check_recurrent, join_directions, stack_layers
from speechkit.nnet.sizes import check_width
from speechkit.ops.algebra import Algebra
from speechkit.ops.lengths import check_lengths, reverse_padded
from speechkit.ops.ligru import ligru_states

# B batch, T frames, n parts, H hidden numbers, L layers, D directions
NORMALIZATIONS = ("batchnorm", "layernorm")


class HyperLiGRU(nn.Module):
    """Light gated recurrent unit (Ravanelli et al., 2018) of numbers: (B, T, n I) to (B, T, n D H).

    z = sigmoid(N(W_z x) + U_z h), c = relu(N(W_c x) + U_c h), h' = z h + (1 - z) c, gates part by part. N is
    `normalization`: `batchnorm` over true frames or `layernorm` within a frame, of numbers (the hyper norms);
    null for none, then with a bias if `bias`. `dropout` draws once for all frames which candidates are zero,
    all parts of a number together.
    Sizes count numbers, and both directions' numbers stand together: `[r_f, r_b, i_f, i_b]`. Weights as in
    `HyperLinear`; over the reals U starts orthogonal.

    >>> layer = HyperLiGRU(12, input_shape=(2, 16, 40), bidirectional=True, algebra="octonion")
    >>> layer(torch.zeros(2, 16, 40)).shape
    torch.Size([2, 16, 192])
    """

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
        normalization: str | None = "batchnorm",
        init_criterion: str = "glorot",
        weight_init: str | None = None,
        return_hidden: bool = False,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        name, init = type(self).__name__, (init_criterion, weight_init)
        check_recurrent(name, hidden_size, num_layers, dropout)
        kind, n_numbers = numbers_of(self, algebra, (input_shape, input_size), init)
        if normalization not in (None, *NORMALIZATIONS):
            raise UserError(
                f"{name}: normalization is {normalization!r}",
                expected="batchnorm, layernorm or null",
                key="normalization",
            )
        self.input_size, self.n_parts = n_numbers * kind.n_parts, kind.n_parts
        self.dropout, self.return_hidden = dropout, return_hidden
        self.layers = stack_layers(
            lambda width: _LiGRUCell(kind, (width, hidden_size), normalization, bias, init),
            (n_numbers, hidden_size),
            num_layers,
            bidirectional,
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """(B, T, n I), true lengths (B,) in frames, to (B, T, n D H), and the state with `return_hidden`.

        The state after each item's last true frame is (L D, B, n H), forward before backward; zeros of an
        item without frames.
        """
        check_width(x, self.input_size, type(self).__name__)
        check_lengths(lengths, x.shape[1])
        states = []
        for layer in self.layers:
            cells = cast("list[_LiGRUCell]", list(layer.children()))
            directions = [x, reverse_padded(x, lengths)][: len(cells)]
            inputs = [cell.project(each, lengths) for cell, each in zip(cells, directions, strict=True)]
            with torch.autocast(x.device.type, enabled=False):
                weight = torch.stack([cell.recurrent.matrix() for cell in cells])
            y = ligru_states(inputs, weight, self._mask(x, weight), self.n_parts)
            states += [_last_true(direction, lengths) for direction in y] if self.return_hidden else []
            x = join_directions([y[0], *(reverse_padded(each, lengths) for each in y[1:])], self.n_parts)
        return (x, torch.stack(states)) if self.return_hidden else x

    def _mask(self, x: Tensor, weight: Tensor) -> Tensor | None:
        """What the candidates of a layer are multiplied by, the same in every frame: (D, B, n H)."""
        if not self.training or not self.dropout:
            return None
        n_numbers = weight.shape[2] // self.n_parts
        drawn = F.dropout(weight.new_ones(len(weight), len(x), n_numbers), self.dropout)
        return drawn.repeat(1, 1, self.n_parts)


class LiGRU(HyperLiGRU):
    """`HyperLiGRU` of real numbers.

    >>> LiGRU(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 24])
    """

    own_algebra = "real"


class CLiGRU(HyperLiGRU):
    """`HyperLiGRU` of complex numbers.

    >>> CLiGRU(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 48])
    """

    own_algebra = "complex"


class QLiGRU(HyperLiGRU):
    """`HyperLiGRU` of quaternions.

    >>> QLiGRU(hidden_size=12, input_shape=(10, 16, 40), bidirectional=True)(torch.zeros(10, 16, 40)).shape
    torch.Size([10, 16, 96])
    """

    own_algebra = "quaternion"


class _LiGRUCell(nn.Module):
    """The weights of one layer and direction, and what they make of all frames before the recurrence."""

    def __init__(
        self,
        algebra: Algebra,
        sizes: tuple[int, int],
        normalization: str | None,
        bias: bool,
        init: tuple[str, str | None],
    ) -> None:
        super().__init__()
        n_inputs, n_hidden = sizes
        self.input = GateWeight(algebra, 2, (n_hidden, n_inputs), init, by_gate=False)
        self.recurrent = GateWeight(algebra, 2, (n_hidden, n_hidden), init, by_gate=False)
        if algebra.n_parts == 1:
            with torch.no_grad():
                for gate in self.recurrent.parts[0].chunk(2):
                    nn.init.orthogonal_(gate)
        self.norm = _make_norm(normalization, algebra, 2 * n_hidden)
        self.bias = (
            nn.Parameter(torch.zeros(2 * algebra.n_parts * n_hidden)) if bias and not self.norm else None
        )

    def project(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, n I) to what the frames add to the gates, (B, T, n 2 H): part by part, then gate by gate."""
        numbers = F.linear(x, self.input.matrix(), self.bias)
        if self.norm is None:
            return numbers
        is_batch = isinstance(self.norm, BatchNorm | HyperBatchNorm)
        return self.norm(numbers, lengths) if is_batch else self.norm(numbers)


def _make_norm(normalization: str | None, algebra: Algebra, n_numbers: int) -> nn.Module | None:
    if normalization is None:
        return None
    if algebra.n_parts == 1:
        real = BatchNorm if normalization == "batchnorm" else LayerNorm
        return real(input_size=n_numbers)
    hyper = HyperBatchNorm if normalization == "batchnorm" else HyperLayerNorm
    return hyper(input_size=n_numbers, algebra=algebra.name)


def _last_true(y: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, T, F) to the last true frame of each item, (B, F); zeros for an item without one."""
    n_frames = y.shape[1]
    if n_frames == 0:
        return y.new_zeros(len(y), y.shape[2])
    if lengths is None:
        return y[:, -1]
    last = (lengths.to(y.device) - 1).view(-1, 1, 1).expand(-1, 1, y.shape[2])
    true = y.gather(1, last.clamp(0, n_frames - 1)).squeeze(1)
    return torch.where(last[:, 0] < 0, y.new_zeros(()), true)
