"""How the gradients of several processes become one: replicas of the model, or shards of it."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speechkit.errors import UserError
from speechkit.training.processes import Processes

PARALLELS = ("replicas", "shards")
N_WEIGHTS_OF_A_SHARD = 100_000  # smaller parts of a model are sharded with what they belong to
CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # without a forward pass of their own
Compute = Callable[[Any], Any]


def shard(modules: nn.ModuleDict, parallel: str, processes: Processes, device: torch.device) -> None:
    """Spread the weights over the processes (torch's FSDP2), where it is wanted; before there are optimizers.

    Parts of lists and of sequences are gathered one at a time in the forward pass, so that no GPU ever holds
    the whole model: it is built in the host's memory, and each process moves its part to its `device`.
    """
    if parallel not in PARALLELS:
        raise UserError(f"parallel is {parallel!r}", expected=" or ".join(PARALLELS), key="parallel")
    if parallel == "replicas" or processes.n_ranks == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes.n_ranks,))
    for top in modules.values():
        for parent in list(top.modules()):
            for part in parent.children() if isinstance(parent, nn.Sequential | nn.ModuleList) else ():
                if _n_weights(part) >= N_WEIGHTS_OF_A_SHARD and not isinstance(part, CONTAINERS):
                    fully_shard(part, mesh=mesh)
        if _n_weights(top):
            fully_shard(top, mesh=mesh)


class Parallel:
    """Runs the forward pass such that the backward pass of a group's last batch averages all gradients.

    compute: batch -> losses; the backward pass belongs into the context of `losses`.
    """

    def __init__(self, modules: nn.ModuleDict, compute: Compute, processes: Processes) -> None:
        self._compute = compute
        self._shards: list[Any] = [each for each in modules.values() if _is_sharded(each)]
        self._replicas = None
        if processes.n_ranks > 1 and not self._shards:
            # A weight that no batch used keeps no gradient, as in one process, so DDP must look for such; the
            # layouts of gradients are no concern of the user's.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            self._replicas = DistributedDataParallel(
                _Computation(modules, compute), broadcast_buffers=False, find_unused_parameters=True
            )

    @property
    def in_step(self) -> bool:
        """Whether a forward pass of one process waits for those of all others, in evaluation too."""
        return bool(self._shards)

    @contextmanager
    def losses(self, batch: Any, *, ends_group: bool) -> Iterator[Any]:
        """The losses of a batch; differentiate them within."""
        for each in self._shards:
            each.set_requires_gradient_sync(ends_group)
        if self._replicas is None:
            yield self._compute(batch)
            return
        with nullcontext() if ends_group else self._replicas.no_sync():
            yield self._replicas(batch)


def without_gradients(modules: nn.Module) -> AbstractContextManager:
    """For evaluation. Shards that inference mode puts together could not be trained with any more."""
    return torch.no_grad() if _is_sharded(modules) else torch.inference_mode()


class _Computation(nn.Module):
    """A function of a batch as a module, so that its weights are found."""

    def __init__(self, modules: nn.ModuleDict, compute: Compute) -> None:
        super().__init__()
        self.parts = modules
        self._compute = compute

    def forward(self, batch: Any) -> Any:
        """Whatever the function gives."""
        return self._compute(batch)


def whole(value: Any, *, keep: bool = True) -> Any:
    """A nest of dicts and lists with whole tensors in place of sharded ones; by all processes together.

    Tensor by tensor, in the host's memory: no GPU holds more than one of them. Those who do not `keep` them
    get None.
    """
    if isinstance(value, dict):
        return {name: whole(each, keep=keep) for name, each in value.items()}
    if isinstance(value, list):
        return [whole(each, keep=keep) for each in value]
    if not hasattr(value, "full_tensor"):
        return value
    tensor = value.full_tensor()
    return tensor.cpu() if keep else None


def like(value: Tensor, own: Any) -> Tensor:
    """A whole tensor, sharded as another one of its shape is."""
    if not hasattr(own, "full_tensor") or value.shape != own.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def _is_sharded(module: nn.Module) -> bool:
    # Not by its weights: after a forward pass they may be whole until they are needed sharded.
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and any(isinstance(each, fsdp.FSDPModule) for each in module.modules())


def _n_weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
