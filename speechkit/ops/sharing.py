"""One sequence of batches for all processes, and which of them each process takes."""

from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Sized)


class Share(NamedTuple):
    """Which batches are a process's own: of every step's group, numbers rank, rank + n_ranks, ..."""

    rank: int = 0
    n_ranks: int = 1
    batches_per_step: int = 1


class Turn(NamedTuple):
    """What all processes together take at once: consecutive batches of one group, one each or none."""

    n_batches: int
    n_cuts: int
    ends_group: bool = True


ALL, ALONE = Share(), Turn(1, 0)


def take_turns(batches: Iterable[T], share: Share) -> Iterator[tuple[T | None, Turn]]:
    """This process's batch of every turn, None where there is none left for it, and the turn.

    No turn goes over the end of a group, so that steps are the same for any number of processes.
    `batches` must begin with a group.

    >>> [own for own, _ in take_turns(["a", "b", "c", "d", "e"], Share(1, 2, 3))]
    ['b', None, 'e']
    """
    remaining = iter(batches)
    while group := list(islice(remaining, share.batches_per_step)):
        for first in range(0, len(group), share.n_ranks):
            turn = group[first : first + share.n_ranks]
            own = turn[share.rank] if share.rank < len(turn) else None
            yield own, Turn(len(turn), sum(map(len, turn)), first + share.n_ranks >= len(group))
