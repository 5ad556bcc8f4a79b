"""Algebras of hypercomplex numbers: product tables, and what one does with numbers.

Tensors stay real. The last axis holds the parts of the numbers side by side, `[r..., i...]` for complex
numbers, `[r..., i..., j..., k...]` for quaternions: n F values are F numbers of n parts.

One algebra is its table of structure constants: e_a e_b = sum_c t[a, b, c] e_c. A matrix of numbers W
multiplies from the left, y_o = sum_i W[o, i] x_i, in every layer.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from speechkit.errors import UserError, suggest

# n parts of a number, F numbers in the last axis, R rank of a decomposition


@dataclass(frozen=True, eq=False)
class Bilinear:
    """Fewer products than the table asks for: x y = combine ((left x) * (right y)), * by element.

    left (R, n), right (R, n), combine (n, R). Complex numbers need 3 products in place of 4 (Gauss),
    quaternions 8 in place of 16 (Howell and Lafon, 1975).
    """

    left: Tensor
    right: Tensor
    combine: Tensor

    @property
    def rank(self) -> int:
        """The number of products."""
        return len(self.left)


@dataclass(frozen=True, eq=False)
class Algebra:
    """A kind of number: `table[a, b, c]` is how much of e_c is in e_a e_b, in float64.

    `is_learned` is true of `phm:n` (Zhang et al., ICLR 2021): the table, that of the cyclic group of n
    elements, is then where a layer starts from.
    """

    name: str
    n_parts: int
    table: Tensor
    bilinear: Bilinear | None = None
    is_learned: bool = False

    @property
    def signs(self) -> Tensor:
        """What each part is multiplied by in the conjugate: 1, -1, -1, ..."""
        return torch.tensor([1.0] + [-1.0] * (self.n_parts - 1), dtype=torch.float64)


def find_algebra(algebra: str | Algebra) -> Algebra:
    """The algebra of a name: real, complex, quaternion, octonion, split-complex, dual, or phm:n.

    >>> find_algebra("quaternion").n_parts, find_algebra("phm:3").is_learned
    (4, True)
    """
    if isinstance(algebra, Algebra):
        return algebra
    if algebra in NAMES:
        return _named(algebra)
    kind, _, size = str(algebra).partition(":")
    if kind == "phm" and size.isdecimal() and int(size) > 0:
        return Algebra(f"phm:{int(size)}", int(size), _cyclic(int(size)), is_learned=True)
    raise UserError(
        f"algebra {algebra!r}{suggest(str(algebra), NAMES)}",
        expected=f"{', '.join(NAMES)} or phm:n",
        key="algebra",
    )


def block_matrix(parts: Tensor, table: Tensor) -> Tensor:
    """The real matrix that multiplies by a matrix of numbers from the left: (n, O, I) to (n O, n I).

    With W the numbers of `parts`, `x @ block_matrix(parts, table).T` holds the parts of W x for an `x` with
    n I values in the last axis. Axes after I (a kernel's) are kept: (n, O, I, ...) to (n O, n I, ...).

    >>> i = torch.tensor([[[0.0]], [[1.0]]])
    >>> block_matrix(i, find_algebra("complex").table).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    n, n_out, n_in, *kernel = parts.shape
    blocks = torch.einsum("abc,aoik->cobik", table.to(parts), parts.reshape(n, n_out, n_in, -1))
    return blocks.reshape(n * n_out, n * n_in, *kernel)


def rotation_matrix(parts: Tensor, algebra: str | Algebra) -> Tensor:
    """The real matrix of v' = q v q*, each q divided by its length: (n, O, I, ...) to (n O, n I, ...).

    For quaternions it keeps a number's real part, and rotates its vector part about q's by twice q's phase.

    >>> half_turn = torch.tensor([0.0, 0.0, 0.0, 2.0]).view(4, 1, 1)  # about the third axis
    >>> rotation_matrix(half_turn, "quaternion").diagonal().tolist()
    [1.0, -1.0, -1.0, 1.0]
    """
    algebra = find_algebra(algebra)
    table = algebra.table.to(parts)
    # e_a e_b e_f* = sum_c two[a, f, b, c] e_c
    two = torch.einsum("abd,dfc,f->afbc", table, table, algebra.signs.to(parts))
    n, n_out, n_in, *kernel = parts.shape
    q = torch.nn.functional.normalize(parts.reshape(n, n_out, n_in, -1), dim=0)
    pairs = torch.einsum("aoik,foik->afoik", q, q)
    return torch.einsum("afbc,afoik->cobik", two, pairs).reshape(n * n_out, n * n_in, *kernel)


def split_parts(x: Tensor, algebra: str | Algebra) -> Tensor:
    """(..., n F) to (..., n, F).

    >>> split_parts(torch.tensor([1.0, 2.0, 3.0, 4.0]), "complex").tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    n = find_algebra(algebra).n_parts
    if x.shape[-1] % n:
        raise UserError(
            f"{x.shape[-1]} values in the last axis", expected=f"a multiple of {n}, the parts side by side"
        )
    return x.unflatten(-1, (n, x.shape[-1] // n))


def join_parts(x: Tensor) -> Tensor:
    """(..., n, F) to (..., n F)."""
    return x.flatten(-2)


def parts(x: Tensor, algebra: str | Algebra) -> tuple[Tensor, ...]:
    """The n parts of (..., n F), each (..., F)."""
    return split_parts(x, algebra).unbind(-2)


def real_part(x: Tensor, algebra: str | Algebra = "complex") -> Tensor:
    """The first part: (..., n F) to (..., F)."""
    return split_parts(x, algebra)[..., 0, :]


def imag_part(x: Tensor, algebra: str | Algebra = "complex") -> Tensor:
    """All parts but the first, side by side: (..., n F) to (..., (n - 1) F)."""
    return join_parts(split_parts(x, algebra)[..., 1:, :])


def multiply(x: Tensor, y: Tensor, algebra: str | Algebra) -> Tensor:
    """The products x y of numbers, (..., n F) each.

    >>> i, j = torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.0, 0, 1, 0])
    >>> multiply(i, j, "quaternion").tolist(), multiply(j, i, "quaternion").tolist()
    ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, -1.0])
    """
    of_x, of_y = parts(x, algebra), parts(y, algebra)
    sums: dict[int, Tensor] = {}
    # Part by part: one einsum of the table and both takes 20 times longer.
    for a, b, c in find_algebra(algebra).table.nonzero().tolist():
        weight = find_algebra(algebra).table[a, b, c].item()
        product = of_x[a] * of_y[b] if weight == 1 else of_x[a] * of_y[b] * weight
        sums[c] = sums[c] + product if c in sums else product
    return torch.cat([sums[c] for c in sorted(sums)], -1)


def conjugate(x: Tensor, algebra: str | Algebra) -> Tensor:
    """All parts but the first with the other sign.

    >>> conjugate(torch.tensor([1.0, 2.0]), "complex").tolist()
    [1.0, -2.0]
    """
    signs = find_algebra(algebra).signs.to(x).unsqueeze(-1)
    return join_parts(split_parts(x, algebra) * signs)


def norm(x: Tensor, algebra: str | Algebra) -> Tensor:
    """The length of each number, the root of the sum of its parts' squares: (..., n F) to (..., F).

    |x y| = |x| |y| for real, complex, quaternion and octonion, and no other.
    """
    return torch.linalg.vector_norm(split_parts(x, algebra), dim=-2)


def normalize(x: Tensor, algebra: str | Algebra, eps: float = 1e-12) -> Tensor:
    """Each number divided by its length, or by `eps` if that is greater.

    >>> normalize(torch.tensor([3.0, 4.0]), "complex").tolist() == torch.tensor([0.6, 0.8]).tolist()
    True
    """
    return join_parts(torch.nn.functional.normalize(split_parts(x, algebra), dim=-2, eps=eps))


def to_complex(x: Tensor) -> Tensor:
    """(..., 2 F) to a complex tensor (..., F).

    >>> to_complex(torch.tensor([1.0, 2.0])).tolist()
    [(1+2j)]
    """
    real, imaginary = parts(x, "complex")
    return torch.complex(real, imaginary)


def from_complex(z: Tensor) -> Tensor:
    """A complex tensor (..., F) to its parts side by side, (..., 2 F)."""
    return torch.cat([z.real, z.imag], -1)


NAMES = ("real", "complex", "quaternion", "octonion", "split-complex", "dual")


@lru_cache
def _named(name: str) -> Algebra:
    table = {
        "real": _doubled(0),
        "complex": _doubled(1),
        "quaternion": _doubled(2),
        "octonion": _doubled(3),
        "split-complex": _with_square(1.0),
        "dual": _with_square(0.0),
    }[name]
    rows = BILINEAR.get(name)
    bilinear = Bilinear(*[torch.tensor(each, dtype=torch.float64) for each in rows]) if rows else None
    return Algebra(name, len(table), table, bilinear)


def _doubled(times: int) -> Tensor:
    """The table after `times` Cayley-Dickson doublings: (a, b)(c, d) = (a c - d* b, d a + b c*)."""
    table = torch.ones(1, 1, 1, dtype=torch.float64)
    for _ in range(times):
        n = len(table)
        signs = torch.tensor([1.0] + [-1.0] * (n - 1), dtype=torch.float64)
        swapped = table.transpose(0, 1)
        double = torch.zeros(2 * n, 2 * n, 2 * n, dtype=torch.float64)
        double[:n, :n, :n] = table
        double[n:, n:, :n] = -swapped * signs.view(1, n, 1)
        double[:n, n:, n:] = swapped
        double[n:, :n, n:] = table * signs.view(1, n, 1)
        table = double
    return table


def _with_square(square: float) -> Tensor:
    """Numbers a + b e with e e = `square`."""
    table = torch.zeros(2, 2, 2, dtype=torch.float64)
    table[0, 0, 0] = table[0, 1, 1] = table[1, 0, 1] = 1
    table[1, 1, 0] = square
    return table


def _cyclic(n: int) -> Tensor:
    """The cyclic group of n elements: e_a e_b = e_(a + b mod n)."""
    table = torch.zeros(n, n, n, dtype=torch.float64)
    a = torch.arange(n)
    table[a[:, None], a, (a[:, None] + a) % n] = 1
    return table


HALF = 0.5
# left, right, combine of `Bilinear`
BILINEAR = {
    "real": ([[1.0]], [[1.0]], [[1.0]]),
    # (a + b i)(c + d i) with (a + b) c, a (d - c), b (c + d)
    "complex": (
        [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [-1.0, 1.0], [1.0, 1.0]],
        [[1.0, 0.0, -1.0], [1.0, 1.0, 0.0]],
    ),
    "quaternion": (
        [
            [1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, -1.0, 1.0],
            [1.0, -1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 1.0],
            [0.0, 1.0, 0.0, 1.0],
            [0.0, 1.0, 0.0, -1.0],
            [1.0, 0.0, 1.0, 0.0],
            [1.0, 0.0, -1.0, 0.0],
        ],
        [
            [1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, -1.0],
            [0.0, 0.0, 1.0, 1.0],
            [1.0, -1.0, 0.0, 0.0],
            [0.0, 1.0, 1.0, 0.0],
            [0.0, 1.0, -1.0, 0.0],
            [1.0, 0.0, 0.0, -1.0],
            [1.0, 0.0, 0.0, 1.0],
        ],
        [
            [0.0, 1.0, 0.0, 0.0, -HALF, -HALF, HALF, HALF],
            [1.0, 0.0, 0.0, 0.0, -HALF, -HALF, -HALF, -HALF],
            [0.0, 0.0, 1.0, 0.0, HALF, -HALF, HALF, -HALF],
            [0.0, 0.0, 0.0, 1.0, HALF, -HALF, -HALF, HALF],
        ],
    ),
    # the numbers a + b and a - b multiply by themselves
    "split-complex": ([[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0], [1.0, -1.0]], [[HALF, HALF], [HALF, -HALF]]),
}
