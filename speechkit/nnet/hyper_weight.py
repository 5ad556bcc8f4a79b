"""The weights of a layer over an algebra, and the two ways to multiply by them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.hyper_initialization import check_weight_init, hyper_init
from speechkit.nnet.sizes import input_size_of
from speechkit.ops.algebra import Algebra, block_matrix, find_algebra, rotation_matrix
from speechkit.ops.bilinear import Window, convolve_numbers, multiply_rows

# n parts, O outputs, I inputs, G groups, R rank; sizes count numbers
# From this real width on, fewer and smaller products pay for the sums around them: by
# `tools/bench/layers.py routes`. Three convolutions in place of four gain nothing on two threads.
BILINEAR_WIDTH = {
    "linear": {"complex": 512, "quaternion": 512},
    "convolution": {"quaternion": 512},
}

# The matrices kept by `keep_matrices`, innermost last.
_kept: list[dict[nn.Module, Tensor]] = []


@contextmanager
def keep_matrices() -> Iterator[None]:
    """Inside, without gradients, a layer builds its real matrix once: for many small steps, as in a search.

    Weights must not change inside.

    >>> layer = HyperWeight(find_algebra("complex"), (3, 2))
    >>> with keep_matrices(), torch.no_grad():
    ...     layer.matrix() is layer.matrix()
    True
    """
    _kept.append({})
    try:
        yield
    finally:
        _kept.pop()


class HyperWeight(nn.Module):
    """Numbers (n, O, I / G, *kernel) and the real matrix they stand for.

    Over `phm:n` the product table is a parameter too. `init` is (init_criterion, weight_init), `rotates`
    (spinor, vector_scale): v' = q v q* in place of q v, with q divided by its length, and with a learned
    length for each rotation, at first that of `init_criterion`.
    """

    def __init__(
        self,
        algebra: Algebra,
        shape: Sequence[int],
        groups: int = 1,
        init: tuple[str, str | None] = ("glorot", None),
        rotates: tuple[bool, bool] = (False, False),
    ) -> None:
        super().__init__()
        self.algebra, self.groups = algebra, groups
        self.parts = nn.Parameter(hyper_init((algebra.n_parts, *shape), *init))
        self.is_spinor, is_scaled = rotates
        self.scale: nn.Parameter | None = None
        if self.is_spinor and is_scaled:
            self.scale = nn.Parameter(hyper_init((1, *shape), init[0], "unitary")[0].abs())
        self._keep_tables()

    def _keep_tables(self) -> None:
        """Constants as buffers follow the layer to its device, and stay out of its state dict."""
        self.table: Tensor
        if self.algebra.is_learned:
            self.table = nn.Parameter(self.algebra.table.to(self.parts))
        else:
            self.register_buffer("table", self.algebra.table.to(self.parts), persistent=False)
        self.left: Tensor
        if self.algebra.bilinear is not None:
            self.register_buffer("left", self.algebra.bilinear.left.to(self.parts), persistent=False)

    def prefers_bilinear(self, x: Tensor) -> bool:
        """Whether the layer is large enough for the bilinear route to be faster.

        Not for a graph, which has one product where it can, nor under autocast: sums of few digits lose them.
        """
        kind = "linear" if self.parts.dim() == 3 else "convolution"
        width = BILINEAR_WIDTH[kind].get(self.algebra.name)
        n, n_out, n_in = self.parts.shape[:3]
        is_large = width is not None and n * min(n_out // self.groups, n_in) >= width
        is_plain = not torch.compiler.is_compiling() and not torch.is_autocast_enabled(x.device.type)
        return is_large and is_plain and not self.is_spinor

    def combined(self) -> Tensor:
        """What the bilinear route multiplies by, (R, O, I / G, *kernel)."""
        return torch.einsum("rn,n...->r...", self.left, self.parts)

    def matrix(self) -> Tensor:
        """The real matrix (n O, n I / G, *kernel), the outputs of a group side by side.

        Made in the weights' own precision also under autocast: a rotation of few digits changes lengths.
        """
        if self.algebra.name == "real":
            return self.parts[0]
        if not _kept or torch.is_grad_enabled():
            return self._build_matrix()
        if self not in _kept[-1]:
            _kept[-1][self] = self._build_matrix()
        return _kept[-1][self]

    def _build_matrix(self) -> Tensor:
        device = self.parts.device.type
        if torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._build_matrix()
        if self.is_spinor:
            matrix = rotation_matrix(self.parts, self.algebra)
            if self.scale is not None:
                n = self.algebra.n_parts
                matrix = matrix * self.scale.repeat(n, n, *[1] * (self.scale.dim() - 2))
        else:
            matrix = block_matrix(self.parts, self.table)
        return to_groups(matrix, 0, (self.algebra.n_parts, self.groups))


def convolve(x: Tensor, weight: HyperWeight, convolution: Callable[..., Tensor], window: Window) -> Tensor:
    """(B, n I, ...) to (B, n O, ...) by the faster route; `convolution` is torch's."""
    n, groups, bilinear = weight.algebra.n_parts, weight.groups, weight.algebra.bilinear
    if bilinear is not None and weight.prefers_bilinear(x):
        return convolve_numbers(x, weight.combined().flatten(0, 1), bilinear, groups, window)
    y = convolution(to_groups(x, 1, (n, groups)), weight.matrix(), None, *window, groups)
    return to_groups(y, 1, (groups, n))


def multiply(x: Tensor, weight: HyperWeight, bias: Tensor | None) -> Tensor:
    """(..., n I) to (..., n O) by the faster route."""
    bilinear = weight.algebra.bilinear
    if bilinear is None or not weight.prefers_bilinear(x):
        return F.linear(x, weight.matrix(), bias)
    y = multiply_rows(x.reshape(-1, x.shape[-1]), weight.combined(), bilinear)
    if bias is not None:
        y += bias
    return y.view(*x.shape[:-1], -1)


def to_groups(x: Tensor, axis: int, sizes: tuple[int, int]) -> Tensor:
    """Values along `axis` ordered by (sizes[0], sizes[1], rest) to the order (sizes[1], sizes[0], rest).

    >>> to_groups(torch.arange(4), 0, (2, 2)).tolist()
    [0, 2, 1, 3]
    """
    if 1 in sizes:
        return x
    return x.unflatten(axis, (*sizes, -1)).transpose(axis, axis + 1).flatten(axis, axis + 2)


def algebra_of(layer: nn.Module, algebra: str | None) -> Algebra:
    """The algebra of a layer: that of its class (`CLinear`), or the one given."""
    name = type(layer).__name__
    own: str | None = getattr(layer, "own_algebra", None)
    asked = algebra or own
    if asked is None:
        raise UserError(f"{name} without algebra", expected="real, complex, quaternion, ...", key="algebra")
    found = find_algebra(asked)
    if own is not None and found.name != own:
        raise UserError(f"{name} over {found.name}", expected=own, do=f"use Hyper{name[1:]}", key="algebra")
    return found


def count_numbers(
    algebra: Algebra, input_shape: Sequence[int | None] | None, input_size: int | None, *, layer: str
) -> int:
    """How many numbers the input holds: the last of a tensor's shape over n, or `input_size` as given.

    >>> count_numbers(find_algebra("complex"), (8, 10, 32), None, layer="CLinear")
    16
    """
    if input_size is not None:
        return input_size_of(None, input_size, layer=layer)
    width = input_size_of(input_shape, None, layer=layer)
    if width % algebra.n_parts:
        raise UserError(
            f"{layer}: {width} input features",
            expected=f"a multiple of {algebra.n_parts}, the parts side by side",
        )
    return width // algebra.n_parts


def numbers_of(
    layer: nn.Module,
    algebra: str | None,
    sizes: tuple[Sequence[int | None] | None, int | None],
    init: tuple[str, str | None],
    rotates: tuple[bool, bool] = (False, False),
) -> tuple[Algebra, int]:
    """The algebra of a layer with weights, and how many numbers its input holds.

    `sizes` are its input_shape and input_size; the words for first values are checked too.
    """
    name, kind = type(layer).__name__, algebra_of(layer, algebra)
    check_init(kind, init, rotates, name)
    return kind, count_numbers(kind, *sizes, layer=name)


def check_init(
    algebra: Algebra, init: tuple[str, str | None], rotates: tuple[bool, bool], layer: str
) -> None:
    """The words for first values are known, and only quaternions rotate."""
    check_weight_init(algebra, init[1], layer)
    if rotates[0] and algebra.name != "quaternion":
        raise UserError(f"{layer}: spinor over {algebra.name}", expected="quaternion", key="spinor")
    if rotates[1] and not rotates[0]:
        raise UserError(f"{layer}: vector_scale without spinor", do="set spinor: True", key="vector_scale")
