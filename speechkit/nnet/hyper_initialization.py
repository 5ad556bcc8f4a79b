"""First values of hypercomplex weights, by the variance that they must have."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from speechkit.errors import UserError, suggest
from speechkit.ops.algebra import Algebra

# n parts, O outputs, I inputs, counted in numbers
CRITERIA = ("glorot", "he")
KINDS = ("complex", "quaternion", "unitary")


def hyper_init(
    shape: Sequence[int], init_criterion: str = "glorot", weight_init: str | None = None
) -> Tensor:
    """Weights (n, O, I, *kernel) drawn from torch's generator; I is that of one group.

    The mean of |w|^2 is 2 / (fan_in + fan_out) by `glorot` and 2 / fan_in by `he`, where a fan counts numbers
    (times taps). Directions are uniform in phase: w = |w| (cos p + u sin p), p in (-pi, pi), u a unit vector
    of the imaginary parts. With `weight_init` `complex`, `quaternion` or none |w| has the chi distribution of
    n degrees times sigma, sigma^2 = E|w|^2 / n: Rayleigh's for complex numbers, sigma = 1 / sqrt(fan_in +
    fan_out) (Trabelsi et al., ICLR 2018, section 3.6), and for quaternions sigma = 1 / sqrt(2 (fan_in +
    fan_out)) (Parcollet et al., ICLR 2019, appendix). With `unitary` |w| is the same everywhere.

    >>> w = hyper_init((2, 100, 100))
    >>> bool((w.square().sum(0).mean() * 100 - 1).abs() < 0.1)
    True
    """
    n, n_out, n_in, *kernel = shape
    taps = math.prod(kernel)
    if init_criterion not in CRITERIA:
        found = f"init_criterion {init_criterion!r}{suggest(str(init_criterion), CRITERIA)}"
        raise UserError(found, expected=" or ".join(CRITERIA), key="init_criterion")
    power = 2 / ((n_in + n_out) * taps) if init_criterion == "glorot" else 2 / (n_in * taps)
    if weight_init == "unitary":
        modulus = torch.full((n_out, n_in, *kernel), math.sqrt(power))
    else:
        modulus = math.sqrt(power / n) * torch.linalg.vector_norm(torch.randn(*shape), dim=0)
    return modulus * _directions(shape)


def _directions(shape: Sequence[int]) -> Tensor:
    """Unit numbers of uniform phase, and of uniform axis in the imaginary parts."""
    n, *rest = shape
    if n == 1:
        return torch.randn(1, *rest).sign()
    phase = math.pi * (2 * torch.rand(rest) - 1)
    axis = torch.nn.functional.normalize(torch.randn(n - 1, *rest), dim=0)
    return torch.cat([phase.cos().unsqueeze(0), axis * phase.sin()])


def check_weight_init(algebra: Algebra, weight_init: str | None, layer: str) -> None:
    """`weight_init` is a known word, and that of the algebra."""
    fits = weight_init in (None, "unitary", algebra.name)
    if fits and (weight_init is None or weight_init in KINDS):
        return
    own = [kind for kind in KINDS if kind in (algebra.name, "unitary")]
    found = f"{layer}: weight_init {weight_init!r}{suggest(str(weight_init), own)}"
    raise UserError(found, expected=f"{' or '.join(own)}, or none", key="weight_init")
