"""Lhotse's samplers over cuts of which only the durations are in memory."""

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lhotse import CutSet

from speechkit.data.tables import CutTable, open_line
from speechkit.errors import UserError
from speechkit.ops.random import derive_seed

# Settings of Lhotse's samplers that have to be above 0.
LIMITS = ("max_cuts", "max_duration", "quadratic_duration", "num_buckets", "num_cuts_for_bins_estimate")
# Up to here a sampler gets a list, which some of Lhotse's need (BucketingSampler), and shuffles all of it;
# beyond, cuts one after another, of which it holds and shuffles a buffer. They come shuffled in both cases.
N_LISTED = 100_000
Sampler = Callable[..., Iterable[CutSet]]


class SampledCut:
    """What a sampler sees of a cut; whatever else it asks for is read from the manifest."""

    __slots__ = ("_table", "dataloading_info", "duration", "number")

    def __init__(self, table: CutTable, number: int) -> None:
        self._table, self.number = table, number
        self.duration = float(table.seconds[number])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(open_line(self._table.line(self.number)), name)


class _Cuts:
    """What Lhotse calls a lazy manifest: cuts in the order of a key, anew whenever one iterates."""

    def __init__(self, table: CutTable, key: tuple[object, ...]) -> None:
        self._table, self._key = table, key

    def __iter__(self) -> Iterator[SampledCut]:
        return (SampledCut(self._table, number) for number in self._table.order(*self._key))

    def __len__(self) -> int:
        return len(self._table.seconds)


def check_limits(sampler: Sampler) -> None:
    """Refuse settings bound to a sampler (`functools.partial`) that no manifest makes possible."""
    for name, value in getattr(sampler, "keywords", {}).items():
        if name in LIMITS and isinstance(value, int | float) and not value > 0:
            raise UserError(f"the sampler's {name} is {value}", expected="more than 0")


def sample(table: CutTable, sampler: Sampler, seed: int, epoch: int, name: str) -> Iterator[list[int]]:
    """The batches of an epoch as numbers of cuts: a function of the table, the seed and the epoch.

    The cuts come to the sampler shuffled by (seed, epoch) if it is bound to `shuffle=True`, else in order.

    Raises:
        UserError: settings that the sampler refuses; `name` is the manifest's
    """
    is_shuffled = bool(getattr(sampler, "keywords", {}).get("shuffle", False))
    cuts: Any = _Cuts(table, (seed, "order", epoch) if is_shuffled else ())
    # One sequence for all processes; the seed holds the epoch, as Lhotse's seed + epoch would let
    # (seed 1, epoch 2) and (seed 2, epoch 1) meet.
    sampler_seed = derive_seed(seed, "sampler", epoch) % 2**31
    try:
        with warnings.catch_warnings():
            # Dynamic bucketing would rather read lazily; a list serves it as well.
            warnings.filterwarnings("ignore", message=".*eagerly read CutSet")
            cut_set = CutSet(list(cuts) if len(cuts) <= N_LISTED else cuts)
            batches: Any = sampler(cut_set, seed=sampler_seed, world_size=1, rank=0)
        if getattr(batches, "concurrent", False):
            raise ValueError("a concurrent sampler's batches depend on the clock, leave `concurrent` out")
        for batch in batches:
            yield [cut.number for cut in batch]
    except (AssertionError, ValueError, TypeError) as error:
        found = f"the sampler does not work on {name}: {_reason(error)}"
        raise UserError(found, do="change the sampler's settings") from error


def _reason(error: Exception) -> str:
    """What an exception says; of an assertion without text, the line that failed."""
    failed = traceback.extract_tb(error.__traceback__)[-1].line
    return str(error) or f"{type(error).__name__} at {failed}"
