"""Statistics that batches leave in buffers, when a group's batches are spread over processes.

Each process sees some batches of a group. A batch moves the running statistics of a batch norm by
r <- (1 - momentum) r + momentum x: x times momentum is what a forward pass leaves in buffers that were zero.
Cumulative statistics, those that a module names in `cumulative_buffers`, it moves by s <- s + x: x is the
difference that a forward pass makes. Gathered from all processes, both enter the true buffers in the order
of the batches. In one process, too, a batch sees no cumulative statistics of others of its group.
"""

from typing import Any

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training.processes import Processes


class RunningStatistics:
    """Those of all modules with `running_mean`, `running_var` and `momentum`, or with `cumulative_buffers`.

    Running statistics need nothing when alone. Modules with cumulative ones have `end_epoch(epoch)`, too.
    """

    def __init__(self, modules: nn.Module, processes: Processes) -> None:
        self._processes = processes
        self._all: list[Any] = [
            each
            for each in modules.modules()
            if _is_cumulative(each) or (processes.n_ranks > 1 and _has_statistics(each))
        ]
        for module in self._all:
            if not _is_cumulative(module) and module.momentum is None:
                found = f"{type(module).__name__} averages its statistics over all batches"
                raise UserError(found, expected="a momentum, with several processes", key="modules")
            module.register_forward_hook(self._count_call)
        self._modules: list[Any] = []
        self._calls: dict[nn.Module, int] = {}  # of the batch under way: a net may use a layer twice, or not
        self._before: list[Tensor] = []
        self._begins: list[Tensor] = []  # what the buffers held as the batch began
        self._moves: list[Tensor] = []  # one flat row a batch: how often each module was called, what it saw

    def begin_batch(self) -> None:
        """Before a forward pass in training. A module in eval mode uses its statistics, and keeps them."""
        self._modules = [each for each in self._all if each.training]
        self._calls = dict.fromkeys(self._modules, 0)
        if self._modules:
            self._before = [buffer.clone() for buffer in self._counters() + self._buffers()]
            running = [
                buffer for each in self._modules if not _is_cumulative(each) for buffer in _buffers(each)
            ]
            if running:
                torch._foreach_zero_(running)
            self._begins = [buffer.clone() for buffer in self._buffers()]

    def end_batch(self, *, counts: bool) -> None:
        """After it: the buffers are what they were; a batch that `counts` will move them."""
        if not self._modules:
            return
        pairs = zip(self._buffers(), self._begins, strict=True)
        saw = torch.cat([(buffer.double() - begin.double()).flatten() for buffer, begin in pairs])
        calls = saw.new_tensor([float(self._calls[each]) for each in self._modules])
        self._moves.append(torch.cat([calls, saw]) * float(counts))
        torch._foreach_copy_(self._counters() + self._buffers(), self._before)

    @torch.no_grad()
    def end_group(self, *, taken: bool) -> None:
        """Let the batches of all processes move the buffers, in their order; called by all together."""
        moves, self._moves = self._moves, []
        if not taken or not moves:
            return
        rows = self._processes.gather_tensors(torch.stack(moves))  # (ranks, turns, numbers)
        calls, saw = rows.transpose(0, 1).flatten(0, 1).tensor_split([len(self._modules)], dim=1)
        buffers = self._buffers()
        sizes = torch.tensor([sum(buffer.numel() for buffer in _buffers(each)) for each in self._modules])
        kept = calls.new_tensor(
            [1.0 if _is_cumulative(each) else 1 - each.momentum for each in self._modules]
        )
        keep = (kept**calls).repeat_interleave(sizes.to(calls.device), dim=1)
        statistics = torch.cat([buffer.double().flatten() for buffer in buffers])
        for share, row in zip(keep, saw, strict=True):
            statistics = share * statistics + row
        parts = statistics.split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))
        for module, count in zip(self._modules, calls.sum(0), strict=True):
            if getattr(module, "num_batches_tracked", None) is not None:
                module.num_batches_tracked.add_(count.to(module.num_batches_tracked))

    def end_epoch(self, epoch: int) -> None:
        """After an epoch's last group; told again when a run goes on from there."""
        for module in filter(_is_cumulative, self._all):
            module.end_epoch(epoch)

    def _count_call(self, module: nn.Module, *_: Any) -> None:
        if module in self._calls:
            self._calls[module] += 1

    def _buffers(self) -> list[Tensor]:
        return [buffer for each in self._modules for buffer in _buffers(each)]

    def _counters(self) -> list[Tensor]:
        counters = [getattr(each, "num_batches_tracked", None) for each in self._modules]
        return [each for each in counters if each is not None]


def _buffers(module: Any) -> list[Tensor]:
    names = module.cumulative_buffers if _is_cumulative(module) else ("running_mean", "running_var")
    return [getattr(module, name) for name in names]


def _is_cumulative(module: nn.Module) -> bool:
    return hasattr(module, "cumulative_buffers")


def _has_statistics(module: nn.Module) -> bool:
    return all(isinstance(getattr(module, name, None), Tensor) for name in ("running_mean", "running_var"))
