"""Activations of whole numbers. A real one, such as torch's ReLU, acts on each part: a split activation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.dropout import drop_numbers
from speechkit.nnet.hyper_weight import count_numbers
from speechkit.nnet.sizes import check_probability
from speechkit.ops.algebra import find_algebra, join_parts, split_parts

# n parts, F numbers; every layer maps (..., n F) to the same shape
NEAR_ZERO = 1e-4  # a number shorter than this has no phase that is worth a slope


class ModReLU(nn.Module):
    """relu(|z| + b) z / |z| with a learned b for each number (Arjovsky et al., ICML 2016); the phase is kept.

    With b above 0 that jumps at z = 0: its slope grows as b / |z|. So below |z| = 1e-4 (`NEAR_ZERO`) it is
    relu(1 + b / 1e-4) z, and no slope exceeds 1 + |b| / 1e-4. At exactly 0, where padding and the zeros of a
    ReLU are, its value is 0 and its slope at most 1.

    >>> ModReLU("complex", input_shape=(1, 1, 2))(torch.tensor([[[3.0, -4.0]]])).tolist()
    [[[3.0, -4.0]]]
    """

    def __init__(
        self,
        algebra: str,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
    ) -> None:
        super().__init__()
        self.algebra = find_algebra(algebra)
        self.bias = nn.Parameter(
            torch.zeros(count_numbers(self.algebra, input_shape, input_size, layer="ModReLU"))
        )

    def forward(self, x: Tensor) -> Tensor:
        numbers = split_parts(x, self.algebra)
        modulus = torch.linalg.vector_norm(numbers, dim=-2, keepdim=True)
        growth = self.bias / modulus.clamp_min(NEAR_ZERO)
        growth = torch.where(modulus > 0, growth, growth.clamp_max(0))
        return join_parts(numbers * F.relu(1 + growth))


class ZReLU(nn.Module):
    """z where all its parts are above 0, else 0 (complex: Guberman, 2016, arXiv:1602.09046).

    >>> ZReLU("complex")(torch.tensor([1.0, 3.0, 2.0, -4.0])).tolist()
    [1.0, 0.0, 2.0, -0.0]
    """

    def __init__(self, algebra: str = "complex") -> None:
        super().__init__()
        self.algebra = find_algebra(algebra)

    def forward(self, x: Tensor) -> Tensor:
        numbers = split_parts(x, self.algebra)
        return join_parts(numbers * (numbers > 0).all(-2, keepdim=True))


class Cardioid(nn.Module):
    """(1 + cos p) z / 2 with p the phase of z, cos p = real part / |z| (complex: Virtue et al., ICIP 2017).

    On real numbers it is ReLU.

    >>> Cardioid("quaternion")(torch.tensor([-2.0, 0.0, 0.0, 0.0])).abs().sum().item()
    0.0
    """

    def __init__(self, algebra: str = "complex") -> None:
        super().__init__()
        self.algebra = find_algebra(algebra)

    def forward(self, x: Tensor) -> Tensor:
        numbers = split_parts(x, self.algebra)
        cosine = F.normalize(numbers, dim=-2, eps=_tiny(x))[..., :1, :]
        return join_parts(numbers * (1 + cosine) / 2)


class PhaseTanh(nn.Module):
    """tanh(|z|) z / |z|: the amplitude is squashed and the phase kept (Hirose, 1992), for any algebra.

    >>> PhaseTanh("quaternion")(torch.tensor([0.0, 0.0, -99.0, 0.0])).tolist()
    [0.0, 0.0, -1.0, 0.0]
    """

    def __init__(self, algebra: str = "complex") -> None:
        super().__init__()
        self.algebra = find_algebra(algebra)

    def forward(self, x: Tensor) -> Tensor:
        numbers = split_parts(x, self.algebra)
        modulus = torch.linalg.vector_norm(numbers, dim=-2, keepdim=True)
        return join_parts(F.normalize(numbers, dim=-2, eps=_tiny(x)) * torch.tanh(modulus))


class HyperDropout(nn.Module):
    """Dropout of whole numbers, all parts of one together, in training.

    >>> HyperDropout(0.5, "complex")(torch.ones(2, 7, 6)).shape
    torch.Size([2, 7, 6])
    """

    def __init__(self, p: float = 0.5, algebra: str = "complex") -> None:
        super().__init__()
        check_probability("HyperDropout", p=p)
        self.p, self.algebra = p, find_algebra(algebra)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return drop_numbers(x, self.p, self.algebra.n_parts)


def _tiny(x: Tensor) -> float:
    """The shortest number to divide by: of shorter ones the squares, and so the length, are lost."""
    return max(1e-19, torch.finfo(x.dtype).tiny)
