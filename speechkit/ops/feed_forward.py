"""Two matrix products with a rectifier between them, a cacheful of rows at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# R rows, W width, H hidden
N_VALUES = 1 << 19  # of the hidden layer at a time: 2 MB of float32


def feed_forward(x: Tensor, hidden: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> Tensor:
    """W_2 max(0, W_1 x + b_1) + b_2 of each row: (..., W) to the same shape, on the CPU.

    hidden: W_1 (H, W) and b_1 (H,). output: W_2 (W, H) and b_2 (W,).

    The hidden layer is many times as large as its input. As a whole it goes to memory and back between the
    products, and is given new memory each time, whose pages cost half as much as the products do.

    >>> w, b = torch.eye(2), torch.zeros(2)
    >>> feed_forward(torch.tensor([[3.0, -1.0]]), (w, b), (2 * w, b + 1)).tolist()
    [[7.0, 1.0]]
    """
    rows = x.reshape(-1, x.shape[-1])
    return _FeedForward.apply(rows, *hidden, *output, torch.is_grad_enabled()).view(x.shape)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_1: Tensor, b_1: Tensor, w_2: Tensor, b_2: Tensor, is_learning: bool
    ) -> Tensor:
        y, kept = torch.empty_like(x), []
        for rows, each in _in_blocks(len(w_1), x, y):
            hidden = torch.addmm(b_1, rows, w_1.T).relu_()
            torch.addmm(b_2, hidden, w_2.T, out=each)
            if is_learning:
                kept.append(hidden)
        ctx.save_for_backward(x, w_1, w_2, *kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w_1, w_2, *kept = ctx.saved_tensors
        of_x = torch.empty_like(x)
        of_w_1, of_b_1, of_w_2 = torch.zeros_like(w_1), w_1.new_zeros(len(w_1)), torch.zeros_like(w_2)
        blocks = _in_blocks(len(w_1), x, gradient.contiguous(), of_x)
        for hidden, (rows, given, each) in zip(kept, blocks, strict=True):
            of_w_2.addmm_(given.T, hidden)
            of_hidden = torch.ops.aten.threshold_backward(given @ w_2, hidden, 0)
            of_w_1.addmm_(of_hidden.T, rows)
            of_b_1 += of_hidden.sum(0)
            torch.mm(of_hidden, w_1, out=each)
        return of_x, of_w_1, of_b_1, of_w_2, gradient.sum(0), None


def _in_blocks(n_hidden: int, *tensors: Tensor) -> zip:
    size = max(1, N_VALUES // n_hidden)
    return zip(*(tensor.split(size) for tensor in tensors), strict=True)
