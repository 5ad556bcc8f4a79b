"""Matrices that make parts of numbers uncorrelated, each of variance 1."""

import torch
from torch import Tensor

from speechkit.ops.graphs import is_exporting

# n parts


def whitening_matrix(covariance: Tensor, eps: float = 1e-5) -> Tensor:
    """W with W (V + eps I) W^T = I, for V (..., n, n): what `x - mean` is multiplied by from the left.

    For two parts the symmetric root in closed form (Trabelsi et al., ICLR 2018, section 3.5), for more the
    inverse of Cholesky's factor (Gaudet and Maida, IJCNN 2018). In float64 inside, and with the rounding of
    V's own type added to its diagonal: parts may be nearly equal.

    >>> whitening_matrix(4 * torch.eye(3), eps=0.0).diagonal().sum().round(decimals=4).item()
    1.5
    """
    n = covariance.shape[-1]
    identity = torch.eye(n, dtype=torch.float64, device=covariance.device)
    rounding = 8 * torch.finfo(covariance.dtype).eps * covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    v = covariance.double() + (eps + rounding.double())[..., None, None] * identity
    if n == 1:
        matrix = v.rsqrt()
    elif n == 2:
        matrix = _inverse_root(v)
    elif is_exporting():
        matrix = _inverse_factor(v)
    else:
        factor, _ = torch.linalg.cholesky_ex(v)  # does not wait for an accelerator to tell of success
        matrix = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return matrix.to(covariance.dtype)


def shared_scaling_matrix(covariance: Tensor, eps: float = 1e-5) -> Tensor:
    """The identity over the root of the parts' mean variance: one scale, so no number turns.

    >>> shared_scaling_matrix(torch.tensor([[1.0, 5.0], [5.0, 7.0]]), eps=0.0).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return (variance + eps).rsqrt()[..., None, None] * identity


def _inverse_root(v: Tensor) -> Tensor:
    """V^(-1/2) of symmetric (..., 2, 2): (trace + root) I - V, scaled, with root^2 = det V."""
    a, b, d = v[..., 0, 0], v[..., 0, 1], v[..., 1, 1]
    root = (a * d - b * b).sqrt()
    scale = 1 / (root * (a + d + 2 * root).sqrt())
    rows = [torch.stack([d + root, -b], -1), torch.stack([-b, a + root], -1)]
    return torch.stack(rows, -2) * scale[..., None, None]


def _inverse_factor(v: Tensor) -> Tensor:
    """The inverse of Cholesky's factor entry by entry: ONNX knows no factorisation."""
    n = v.shape[-1]
    factor: dict[tuple[int, int], Tensor] = {}
    inverse: dict[tuple[int, int], Tensor] = {}
    for i in range(n):
        for j in range(i + 1):
            rest = v[..., i, j] - sum(factor[i, k] * factor[j, k] for k in range(j))
            factor[i, j] = rest.sqrt() if i == j else rest / factor[j, j]
        inverse[i, i] = 1 / factor[i, i]
        for j in range(i):
            inverse[i, j] = -inverse[i, i] * sum(factor[i, k] * inverse[k, j] for k in range(j, i))
    zero = torch.zeros_like(v[..., 0, 0])
    rows = [torch.stack([inverse.get((i, j), zero) for j in range(n)], -1) for i in range(n)]
    return torch.stack(rows, -2)
