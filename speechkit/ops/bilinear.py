"""Products of numbers by fewer products of reals, forward and backward with little memory.

`combine ((left w) * (right x))` of `algebra.Bilinear`: sums of the inputs' parts, one real product for each
sum, and sums of those. The sums are as large as the input and must not cost what the products save, so a
linear layer takes a block of rows through all of it at a time, while it is in the cache, and sums are made
again for the gradient.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechkit.ops.algebra import Bilinear

# N rows, n parts, R rank, G groups, O outputs and I inputs of a group in numbers
ROWS_AT_A_TIME = 512
Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # stride, padding, dilation


def multiply_rows(x: Tensor, weight: Tensor, bilinear: Bilinear) -> Tensor:
    """(N, n I) to (N, n O), with `weight` (R, O, I) as `left` makes it of numbers."""
    return _Rows.apply(x, weight, bilinear)


def convolve_numbers(x: Tensor, weight: Tensor, bilinear: Bilinear, groups: int, window: Window) -> Tensor:
    """(B, n G I, ...) to (B, n G O, ...), with `weight` (R G O, I, ...) as `left` makes it of numbers.

    `window` is as torch's convolutions take it.
    """
    return _Convolution.apply(x, weight, bilinear, groups, window)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bilinear: Bilinear) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bilinear = bilinear
        n = bilinear.right.shape[1]
        y = x.new_empty(len(x), n * weight.shape[1])
        sums, products = _buffers(x, weight)
        for rows, outputs in zip(*(_blocks(each) for each in (x, y)), strict=True):
            s, p = sums[:, : len(rows)], products[:, : len(rows)]
            _add(s, _parts(rows, n), bilinear.right)
            _multiply(s, weight.mT, p)
            _add(_parts(outputs, n), p, bilinear.combine)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        bilinear, n = ctx.bilinear, ctx.bilinear.right.shape[1]
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        sums, products = _buffers(x, weight)
        for first, (rows, above) in enumerate(zip(_blocks(x), _blocks(upstream), strict=True)):
            s, p = sums[:, : len(rows)], products[:, : len(rows)]
            _add(p, _parts(above, n), bilinear.combine.T)
            if of_weight is not None:
                _add(s, _parts(rows, n), bilinear.right)
                _multiply(p.mT, s, of_weight, keep=1)
            if of_x is not None:
                _multiply(p, weight, s)
                _add(_parts(_blocks(of_x)[first], n), s, bilinear.right.T)
        return of_x, of_weight, None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bilinear: Bilinear, groups: int, window: Window
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bilinear, ctx.groups, ctx.window = bilinear, bilinear.rank * groups, window
        sums = _combined(x, bilinear.right)
        stride, padding, dilation = window
        zeros = (0,) * len(stride)
        products = torch.convolution(sums, weight, None, stride, padding, dilation, False, zeros, ctx.groups)
        del sums
        return _combined(products, bilinear.combine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        above = _combined(upstream, ctx.bilinear.combine.T)
        sums = _combined(x, ctx.bilinear.right)
        wanted, zeros = (*ctx.needs_input_grad[:2], False), (0,) * len(ctx.window[0])
        of_sums, of_weight, _ = torch.ops.aten.convolution_backward(
            above, sums, weight, None, *ctx.window, False, zeros, ctx.groups, wanted
        )
        del above, sums
        of_x = _combined(of_sums, ctx.bilinear.right.T) if of_sums is not None else None
        return of_x, of_weight, None, None, None


def _multiply(a: Tensor, b: Tensor, out: Tensor, keep: int = 0) -> None:
    """`out` = a b + keep out, matrix by matrix of the first axis.

    A batched product gives each thread whole matrices: three of them keep two threads busy for four thirds of
    the time. So few are multiplied one after another, each by all threads.
    """
    if a.device.type != "cpu" or len(a) % torch.get_num_threads() == 0:
        torch.baddbmm(out, a, b, beta=keep, out=out)
        return
    for each in range(len(a)):
        torch.addmm(out[each], a[each], b[each], beta=keep, out=out[each])


def _buffers(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Room for a block's sums (R, rows, I) and products (R, rows, O)."""
    rank, n_out, n_in = weight.shape
    n_rows = min(len(x), _block_size(x))
    return x.new_empty(rank, n_rows, n_in), x.new_empty(rank, n_rows, n_out)


def _block_size(x: Tensor) -> int:
    return ROWS_AT_A_TIME if x.device.type == "cpu" else max(len(x), 1)


def _blocks(x: Tensor) -> Sequence[Tensor]:
    return x.split(_block_size(x))


def _parts(rows: Tensor, n_parts: int) -> Tensor:
    """(N, n F, ...) to (n, N, F, ...)."""
    return rows.unflatten(1, (n_parts, -1)).transpose(0, 1)


def _combined(x: Tensor, matrix: Tensor) -> Tensor:
    """(B, m C, ...) to (B, k C, ...), whose parts are what a matrix (k, m) makes of x's."""
    n_new, n_old = matrix.shape
    layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
    x = x.contiguous(memory_format=layout)
    shape = (x.shape[0], x.shape[1] // n_old * n_new, *x.shape[2:])
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
    _add(_parts(y, n_new), _parts(x, n_old), matrix)
    return y


def _add(sums: Tensor, parts: Tensor, matrix: Tensor) -> None:
    """sums[i] = sum_j matrix[i, j] parts[j], for a matrix of few numbers that are not zero."""
    for out, row in zip(sums, matrix.tolist(), strict=True):
        # a part taken as it is comes first
        terms = sorted(((parts[j], c) for j, c in enumerate(row) if c), key=lambda term: term[1] != 1)
        (first, factor), *others = terms
        if factor == 1 and others:
            torch.add(first, others[0][0], alpha=others[0][1], out=out)
        else:
            torch.mul(first, factor, out=out)
        for part, c in others[factor == 1 :]:
            out.add_(part, alpha=c)
