"""Evaluations of one run side by side: whether one is there already, and by how much its errors differ."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.formats import read_json
from speechkit.report.result import describe_metric
from speechkit.report.view import Measure, Records
from speechkit.report.wer_text import count_errors, find_unit
from speechkit.stats import Interval, bootstrap_ratio


def find_evaluation(
    run: str | Path, weights_sha256: str, search: str, overrides: Mapping[str, Any]
) -> Path | None:
    """The folder of an evaluation of these weights by this search, with these changes; None if none is there.

    search: as `decoding.json` describes it. One that cannot be read, or was not finished, is none.
    """
    for path in sorted(Path(run).glob("evaluations/*/report.json")):
        try:
            told, about = read_json(path, "report"), read_json(path.with_name("run.json"), "run")
        except UserError:
            continue
        evaluation, decoding = about.get("evaluation", {}), told.get("decoding", {})
        if (
            evaluation.get("weights_sha256") == weights_sha256
            and evaluation.get("overrides") == overrides
            and decoding.get("search") == search
        ):
            return path.parent
    return None


def compare_errors(records: Records, baseline: Records) -> dict[str, Any]:
    """The error rate of recognised texts less that of others of the same utterances, as a metric, in points.

    Words count, or phones. The difference is paired: utterances (or speakers) are drawn with both their
    texts. Utterances that only one side has, and those that were skipped, are left out.

    >>> def record(name, n_wrong):
    ...     counts = {"substitutions": n_wrong, "deletions": 0, "insertions": 0, "words": 10}
    ...     return {"id": name, "counts": counts, "skipped": None}
    >>> found = compare_errors([record("a", 1), record("b", 3)], [record("a", 2), record("b", 5)])
    >>> found["value"], found["n"]
    (-15.0, 2)
    """
    others = {record["id"]: record for record in baseline if record["skipped"] is None}
    both = [record for record in records if record["skipped"] is None and record["id"] in others]
    return describe_metric(Measure("points", _less_than(others, find_unit(both)), scale=100.0), both)


def _less_than(
    baseline: Mapping[str, dict[str, Any]], unit: str
) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure of compare_errors; baseline: records by id."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        differences = [count_errors(each) - count_errors(baseline[each["id"]]) for each in records]
        units = [each["counts"][unit] for each in records]
        found = bootstrap_ratio(differences, units, groups=groups)
        # Where nothing differs, what was not seen can differ in either direction.
        return found if any(differences) else Interval(found.value, -found.high, found.high, found.n)

    return interval
