"""Running statistics of batch norm when a group's batches are spread over processes.

Each process sees some batches of a group, and a batch moves the statistics by
r <- (1 - momentum) r + momentum x. So x times momentum is what a forward pass leaves in buffers that were
zero; gathered from all processes, these enter the true buffers in the order of the batches.
"""

from typing import Any

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training.processes import Processes


class RunningStatistics:
    """Those of all modules with `running_mean`, `running_var` and `momentum`; nothing to do when alone."""

    def __init__(self, modules: nn.Module, processes: Processes) -> None:
        self._processes = processes
        self._all: list[Any] = (
            [each for each in modules.modules() if _has_statistics(each)] if processes.n_ranks > 1 else []
        )
        for module in self._all:
            if module.momentum is None:
                found = f"{type(module).__name__} averages its statistics over all batches"
                raise UserError(found, expected="a momentum, with several processes", key="modules")
        self._modules: list[Any] = []
        self._before: list[Tensor] = []
        self._moves: list[Tensor] = []  # one flat row a batch, the last number of it 1 or 0: it counts or not

    def begin_batch(self) -> None:
        """Before a forward pass in training. A module in eval mode uses its statistics, and keeps them."""
        self._modules = [each for each in self._all if each.training]
        self._before = [buffer.clone() for buffer in self._counters() + self._buffers()]
        for buffer in self._buffers():
            buffer.zero_()

    def end_batch(self, *, counts: bool) -> None:
        """After it: the buffers are what they were; a batch that `counts` will move them."""
        if not self._modules:
            return
        parts = [buffer.double().flatten() for buffer in self._buffers()]
        self._moves.append(torch.cat([*parts, parts[0].new_tensor([float(counts)])]))
        for buffer, before in zip(self._counters() + self._buffers(), self._before, strict=True):
            buffer.copy_(before)

    def end_group(self, *, taken: bool) -> None:
        """Let the batches of all processes move the buffers, in their order; called by all together."""
        moves, self._moves = self._moves, []
        if not taken or not moves:
            return
        rows = self._processes.gather_tensors(torch.stack(moves))  # (ranks, turns, numbers)
        for row in rows.transpose(0, 1).flatten(0, 1):
            if row[-1]:
                self._move(row[:-1])

    def _move(self, row: Tensor) -> None:
        buffers = self._buffers()
        keep = [1 - each.momentum for each in self._modules for _ in range(2)]
        parts = row.split([buffer.numel() for buffer in buffers])
        for buffer, share, part in zip(buffers, keep, parts, strict=True):
            buffer.mul_(share).add_(part.to(buffer).view_as(buffer))
        for counter in self._counters():
            counter.add_(1)

    def _buffers(self) -> list[Tensor]:
        return [buffer for each in self._modules for buffer in (each.running_mean, each.running_var)]

    def _counters(self) -> list[Tensor]:
        counters = [getattr(each, "num_batches_tracked", None) for each in self._modules]
        return [each for each in counters if each is not None]


def _has_statistics(module: nn.Module) -> bool:
    return all(isinstance(getattr(module, name, None), Tensor) for name in ("running_mean", "running_var"))
