"""Who else trains: one process alone, or those that torchrun started."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from speechkit.errors import UserError

T = TypeVar("T")
LONGEST_PREPARATION = timedelta(days=2)
SECONDS_TO_BE_STOPPED = 5  # torchrun ends the others at once when one has failed
FAILED = "speechkit/failed"


class Processes:
    """This process's number among all, and what they tell each other. Alone, nothing is sent.

    >>> Processes().n_ranks, Processes().is_main, Processes().gather("a")
    (1, True, ['a'])
    """

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.n_ranks = dist.get_world_size() if joined else 1

    @property
    def is_main(self) -> bool:
        """The one that writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits on each."""
        if self.n_ranks > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank; plain values that pickle."""
        values: list[Any] = [value] * self.n_ranks
        if self.n_ranks > 1:
            dist.all_gather_object(values, value)
        return values

    def gather_tensors(self, values: Tensor) -> Tensor:
        """Everybody's tensor, of one shape, along a new first axis."""
        if self.n_ranks == 1:
            return values[None]
        rows = [torch.empty_like(values) for _ in range(self.n_ranks)]
        dist.all_gather(rows, values)
        return torch.stack(rows)

    def from_main(self, value: T) -> T:
        """The main process's value."""
        values = [value]
        if self.n_ranks > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def wait_for_main(self, what: str) -> None:
        """Until the main process has come here too, however long it prepares."""
        if self.n_ranks == 1:
            return
        store, key = _store(), f"speechkit/{what}"
        if self.is_main:
            store.set(key, "done")
        else:
            store.wait([key], LONGEST_PREPARATION)


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Within it the processes that torchrun started know each other; one process is alone."""
    if not is_started_by_torchrun():
        yield Processes()
        return
    if local_rank() < torch.cuda.device_count():
        torch.cuda.set_device(local_rank())
    try:
        dist.init_process_group()  # gloo, and nccl for what lies on GPUs
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes do not find each other: {error}", do="start by torchrun") from error
    yield Processes()
    dist.barrier()
    dist.destroy_process_group()  # only after a good end: others may be stuck after a bad one


def fail_once() -> None:
    """Returns in the first process that fails, whose message it is then to say why; the others end quietly.

    Of a mistake that all find, or of one after which all lose the others, the user reads once.
    """
    if dist.is_available() and dist.is_initialized() and not _is_first(FAILED):
        time.sleep(SECONDS_TO_BE_STOPPED)
        raise SystemExit(1)


def is_started_by_torchrun() -> bool:
    """By the environment that it sets."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int:
    """Which of this machine's processes this is, and so which GPU it takes."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error only says that another process is gone."""
    if isinstance(error, dist.DistNetworkError):
        return True
    told = ("connection closed by peer", "connection reset by peer", "broken pipe")
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in told)


def _is_first(key: str) -> bool:
    try:
        return int(_store().add(key, 1)) == 1
    except (RuntimeError, OSError):  # the store is gone with the process that failed
        return False


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()
