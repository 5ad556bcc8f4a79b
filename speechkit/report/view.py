"""What a task gives to its report: figures measured on records, and sections of the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from speechkit.report.clips import AudioBudget
from speechkit.report.run import Run
from speechkit.stats import Interval, bootstrap_mean, bootstrap_ratio

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Measure:
    """One metric of a task, from the records of utterances that were not skipped.

    `interval(records, groups)` gives the figure with its interval, over utterances where groups is None, else
    over groups (one label for each record); `scale` brings it to `unit` (100 for percent).

    Two runs are compared by `parts(record)`: a numerator and a denominator, whose sums have the figure as
    their ratio; None where a record has no such figure. Of a figure that is made from that ratio, as a
    perplexity is, `difference` is the unit of the ratio.
    """

    unit: str
    interval: Callable[[Records, Sequence[str] | None], Interval]
    scale: float = 1.0
    parts: Callable[[dict[str, Any]], tuple[float, float] | None] | None = None
    difference: str | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page: the template that shows it, and what it shows."""

    title: str
    template: str
    content: dict[str, Any]


@dataclass(frozen=True)
class View:
    """A task's measures by name, the headline first, and its sections for one test subset.

    `badness(record)` orders utterances: the page plays those with the greatest. `list_files(run)` gives what
    stands beside the page for other programs, as texts by their path in the run's folder.
    """

    measures: dict[str, Measure]
    describe_subset: Callable[[Run, str, AudioBudget], list[Section]]
    badness: Callable[[dict[str, Any]], Any] | None = None
    list_files: Callable[[Run], dict[str, str]] | None = None
    heading: str = "Errors"  # "... on test", above a subset's sections


def ratio_of_counts(numerator: str, denominator: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure sum(counts[numerator]) / sum(counts[denominator])."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        numerators = [record["counts"][numerator] for record in records]
        return bootstrap_ratio(numerators, [each["counts"][denominator] for each in records], groups=groups)

    return interval


def mean_of_scores(name: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure mean(scores[name]), over the records that have it."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        chosen = [i for i, record in enumerate(records) if record["scores"].get(name) is not None]
        values = tuple(records[i]["scores"][name] for i in chosen)
        return _find_interval(values, None if groups is None else tuple(groups[i] for i in chosen))

    return interval


def parts_of_counts(
    numerators: Sequence[str], denominator: str
) -> Callable[[dict[str, Any]], tuple[float, float] | None]:
    """A record's sum of counts and what it is divided by; None where it does not count that."""

    def parts(record: dict[str, Any]) -> tuple[float, float] | None:
        counts = record["counts"]
        return (
            (sum(counts[name] for name in numerators), counts[denominator]) if denominator in counts else None
        )

    return parts


def parts_of_score(name: str) -> Callable[[dict[str, Any]], tuple[float, float] | None]:
    """A record's score, which counts once; None where it has none."""

    def parts(record: dict[str, Any]) -> tuple[float, float] | None:
        score = record["scores"].get(name)
        return None if score is None else (score, 1)

    return parts


@lru_cache(
    maxsize=16
)  # `report.json`, tables and files ask for the same ones, which take a second for 100,000
def _find_interval(values: tuple[float, ...], groups: tuple[str, ...] | None) -> Interval:
    return bootstrap_mean(values, groups=groups)
