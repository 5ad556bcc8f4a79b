"""Evaluations of one run side by side: whether one is there already, and by how much its errors differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.formats import read_json
from speechkit.report.paired import compare_records
from speechkit.report.recognition import MEASURES
from speechkit.report.view import Records
from speechkit.report.wer_text import find_unit

RATES = {"words": "wer", "phones": "per"}


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
    """The error rate of recognised texts less that of others of the same utterances, in points.

    Words count, or phones. The difference is paired: utterances (or speakers) are drawn with both their
    texts. Utterances that only one side has, and those that were skipped, are left out.

    >>> def record(name, n_wrong):
    ...     counts = {"substitutions": n_wrong, "deletions": 0, "insertions": 0, "words": 10}
    ...     return {"id": name, "counts": counts, "skipped": None}
    >>> found = compare_errors([record("a", 1), record("b", 3)], [record("a", 2), record("b", 5)])
    >>> found["value"], found["n"]
    (-15.0, 2)
    """
    counted = (record for record in records if record["skipped"] is None)
    found = compare_records(MEASURES[RATES[find_unit(counted)]], [records], [baseline])
    return found or {"value": None, "ci95": None, "p_value": None, "n": 0, "unit": "points"}
