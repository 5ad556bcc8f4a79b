"""Recurrent layers whose state is given and taken, for nets that write token by token."""

from typing import cast

import torch
from torch import Tensor, nn

from speechkit.errors import UserError, suggest
from speechkit.nnet import Dropout
from speechkit.nnet.hyper_recurrent import KERNELS, HyperKernel
from speechkit.nnet.recurrent import State as KernelState
from speechkit.ops.algebra import find_algebra

# N rows, T steps, n parts, I inputs and H hidden units in numbers
LayerState = tuple[Tensor, ...]  # (N, n H) each: hidden, and the cell of an LSTM


class RecurrentCells(nn.Module):
    """Layers of one cell (rnn, lstm, gru) over an algebra, in one direction; `sizes` are (I, H) numbers."""

    def __init__(
        self, cell: str, algebra: str, sizes: tuple[int, int], num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        if cell not in KERNELS:
            found = f"recurrent is {cell!r}{suggest(str(cell), KERNELS)}"
            raise UserError(found, expected=", ".join(KERNELS), key="recurrent")
        kind, (n_in, n_hidden) = find_algebra(algebra), sizes
        widths = [n_in] + [n_hidden] * (num_layers - 1)
        init = ("glorot", None)
        self.kernels = nn.ModuleList(HyperKernel(cell, kind, (n, n_hidden), True, init) for n in widths)
        self.dropout = Dropout(dropout)

    def weights(self) -> list[list[Tensor]]:
        """Each layer's real matrices, built once for any number of calls."""
        return [kernel.weights() for kernel in self._layers()]

    def empty(self, rows: Tensor) -> list[LayerState]:
        """The state before the first step, for as many rows as in `rows` (N, ...)."""
        return [_rows_first(kernel.zeros(rows, len(rows))) for kernel in self._layers()]

    def forward(
        self, x: Tensor, state: list[LayerState], weights: list[list[Tensor]]
    ) -> tuple[Tensor, list[LayerState]]:
        """(N, T, n I) from a state on, to (N, T, n H) and the state after the last step."""
        after = []
        for kernel, before, matrices in zip(self._layers(), state, weights, strict=True):
            first = [each.to(x.dtype).unsqueeze(0) for each in before]
            x, last = kernel.run(
                self.dropout(x), matrices, (first[0], first[1]) if len(first) > 1 else first[0]
            )
            after.append(_rows_first(last))
        return x, after

    def _layers(self) -> list[HyperKernel]:
        return cast(list[HyperKernel], list(self.kernels))


def _rows_first(state: KernelState) -> LayerState:
    """A kernel's state (1, N, n H) to (N, n H)."""
    return tuple(each.squeeze(0) for each in ((state,) if isinstance(state, torch.Tensor) else state))
