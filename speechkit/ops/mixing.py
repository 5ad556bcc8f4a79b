"""Products of each number's parts with a small matrix of its own, and the parts' second moments.

Batched products of such small matrices are slow, and want the numbers last to first; here whole planes of
parts are multiplied and added.
"""

from typing import Any

import torch
from torch import Tensor

# N rows, n parts, F numbers in a row


def mix_parts(matrices: Tensor, rows: Tensor) -> Tensor:
    """Matrices (F, n, n) times the parts of each number, (..., n, F) to the same shape.

    >>> quarter_turn = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    >>> mix_parts(quarter_turn, torch.tensor([[1.0], [0.0]])).tolist()
    [[0.0], [1.0]]
    """
    if torch.compiler.is_compiling():  # one operation, for graphs
        return torch.einsum("fnm,...mf->...nf", matrices, rows)
    return _Mix.apply(matrices, rows)


def part_moments(x: Tensor, y: Tensor) -> Tensor:
    """The sums of x y^T over the rows (N, n, F) of both, for each number: (F, n, n).

    >>> part_moments(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])).tolist()
    [[[3.0, 4.0], [6.0, 8.0]]]
    """
    if torch.compiler.is_compiling():
        return torch.einsum("tmf,tnf->fmn", x, y)
    return _Moments.apply(x, y)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(matrices, rows)
        planes = matrices.permute(2, 1, 0).contiguous()  # of each part what it adds to all
        y = rows[..., :1, :] * planes[0]
        for part in range(1, len(planes)):
            y.addcmul_(rows[..., part : part + 1, :], planes[part])
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrices, rows = ctx.saved_tensors
        of_matrices = of_rows = None
        if ctx.needs_input_grad[0]:
            of_matrices = part_moments(_in_a_row(gradient), _in_a_row(rows))
        if ctx.needs_input_grad[1]:
            of_rows = mix_parts(matrices.mT, gradient)
        return of_matrices, of_rows


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        products, sums = torch.empty_like(x), []
        for part in range(y.shape[1]):
            sums.append(torch.mul(x, y[:, part : part + 1], out=products).sum(0))
        return torch.stack(sums).permute(2, 1, 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return mix_parts(gradient, y), mix_parts(gradient.mT, x)


def _in_a_row(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[-2:])
