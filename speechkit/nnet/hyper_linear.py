"""Fully connected layers over an algebra: complex, quaternion, and any other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.nnet.hyper_weight import HyperWeight, multiply, numbers_of
from speechkit.nnet.sizes import check_positive, check_width


class HyperLinear(nn.Module):
    """y = W x + b over the last axis, of numbers: (..., n I) to (..., n `n_neurons`), parts side by side.

    Sizes count numbers: `n_neurons`, and `input_size` if it is given in place of `input_shape`. `algebra` is
    real, complex, quaternion, octonion, split-complex, dual or phm:n. W multiplies from the left. Weights
    start with the variance that `hyper_init` tells, b at zero. `spinor` sums rotations q x q* of quaternions
    in place of products (with |q| = 1, so that lengths survive); `vector_scale` gives each a learned length.

    >>> HyperLinear(12, input_shape=(8, 10, 32), algebra="octonion")(torch.zeros(8, 10, 32)).shape
    torch.Size([8, 10, 96])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        n_neurons: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        bias: bool = True,
        init_criterion: str = "glorot",
        weight_init: str | None = None,
        spinor: bool = False,
        vector_scale: bool = False,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, n_neurons=n_neurons)
        init, rotates = (init_criterion, weight_init), (spinor, vector_scale)
        kind, n_numbers = numbers_of(self, algebra, (input_shape, input_size), init, rotates)
        self.input_size = n_numbers * kind.n_parts
        self.weight = HyperWeight(kind, (n_neurons, n_numbers), init=init, rotates=rotates)
        self.bias = nn.Parameter(torch.zeros(kind.n_parts * n_neurons)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., n I) to (..., n n_neurons)."""
        check_width(x, self.input_size, type(self).__name__)
        return multiply(x, self.weight, self.bias)


class CLinear(HyperLinear):
    """`HyperLinear` of complex numbers: torch's complex product, W z + b.

    A class of its own, so that a YAML's arguments are checked by name; only the algebra is bound.

    >>> CLinear(12, input_shape=(8, 10, 32))(torch.zeros(8, 10, 32)).shape
    torch.Size([8, 10, 24])
    """

    own_algebra = "complex"


class QLinear(HyperLinear):
    """`HyperLinear` of quaternions: the Hamilton product W q + b.

    >>> QLinear(12, input_shape=(8, 10, 40))(torch.zeros(8, 10, 40)).shape
    torch.Size([8, 10, 48])
    """

    own_algebra = "quaternion"
