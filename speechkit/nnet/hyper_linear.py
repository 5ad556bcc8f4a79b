"""Fully connected layers over an algebra: complex, quaternion, and any other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.hyper_weight import (
    HyperWeight,
    algebra_of,
    check_init,
    count_numbers,
    multiply_bilinearly,
)
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
        name = type(self).__name__
        check_positive(name, n_neurons=n_neurons)
        kind = algebra_of(self, algebra)
        check_init(kind, (init_criterion, weight_init), (spinor, vector_scale), name)
        n_numbers = count_numbers(kind, input_shape, input_size, layer=name)
        self.input_size = n_numbers * kind.n_parts
        self.weight = HyperWeight(
            kind,
            (n_neurons, n_numbers),
            init=(init_criterion, weight_init),
            rotates=(spinor, vector_scale),
        )
        self.bias = nn.Parameter(torch.zeros(kind.n_parts * n_neurons)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., n I) to (..., n n_neurons)."""
        check_width(x, self.input_size, type(self).__name__)
        if not self.weight.prefers_bilinear():
            return F.linear(x, self.weight.matrix(), self.bias)
        y = multiply_bilinearly(x.reshape(-1, x.shape[-1]), self.weight, products_of_rows)
        y = y.view(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


def products_of_rows(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """(N, G I) times G matrices (G O, I), to (N, G O): one batched product."""
    rows = x.unflatten(1, (groups, -1)).transpose(0, 1)
    return torch.bmm(rows, weight.unflatten(0, (groups, -1)).transpose(1, 2)).transpose(0, 1).flatten(1)


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
