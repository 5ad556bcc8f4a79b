"""The searches of a trained recogniser side by side, on the same test utterances.

    python tools/compare_searches.py RUN results/searches.json

RUN has a `decoding.JointSearch` with a language model. Its weights are tuned on the validation set
(`speechkit tune`), then the test set is decoded by CTC's best path, the attention decoder alone, both, both
with the language model, and CTC's prefix scores with it: `speechkit evaluate` into the run's `evaluations/`.
The table has WER and CER with intervals over utterances, and of each search the WER less that of the best
path, in points, with the interval of the paired difference.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from speechkit import report
from speechkit.stats import Interval, bootstrap_ratio
from speechkit.tasks import evaluate_run, read_tuned, tune_run

SEARCHES = {
    "CTC, greedy": ["--search", "null"],
    "attention": ["--search.ctc_weight", "0", "--search.lm_weight", "0"],
    "CTC and LM": ["--search.ctc_weight", "1"],
    "joint": ["--search.lm_weight", "0"],
    "joint and LM": [],
}
EDITS = ("substitutions", "deletions", "insertions")
Records = dict[str, dict[str, Any]]  # by id


def evaluate(run: Path) -> dict[str, Path]:
    """A folder for each search, by the weights that were tuned."""
    tuned = read_tuned(run)
    folders = {}
    for search, changes in SEARCHES.items():
        name = search.lower().replace(", ", "-").replace(" ", "-")
        folders[search] = run / "evaluations" / name
        if not (folders[search] / "report.json").is_file():
            overrides = changes if search == "CTC, greedy" else merge(tuned, changes)
            evaluate_run(run, overrides, name=name)
    return folders


def merge(first: list[str], then: list[str]) -> list[str]:
    """Overrides of which the later ones hold.

    >>> merge(["--a", "1", "--b", "2"], ["--a", "3"])
    ['--a', '3', '--b', '2']
    """
    merged = dict(zip(first[::2], first[1::2], strict=True)) | dict(zip(then[::2], then[1::2], strict=True))
    return [part for pair in merged.items() for part in pair]


def read_records(folder: Path) -> Records:
    """Of the first test set, those that were not skipped."""
    [records, *_] = report.read_run(folder).predictions.values()
    return {record["id"]: record for record in records if record["skipped"] is None}


def rate(records: Records, errors: tuple[str, ...], total: str, baseline: Records | None = None) -> Interval:
    """Errors over units; with a baseline the difference of both over the same utterances."""
    counts = {name: record["counts"] for name, record in records.items()}
    numerators = [sum(counts[name][kind] for kind in errors) for name in counts]
    if baseline is not None:
        others = [sum(baseline[name]["counts"][kind] for kind in errors) for name in counts]
        numerators = [own - other for own, other in zip(numerators, others, strict=True)]
    return bootstrap_ratio(numerators, [count[total] for count in counts.values()])


def compare(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """The rows of the table."""
    all_records = {search: read_records(folder) for search, folder in folders.items()}
    first = next(iter(all_records.values()))
    rows = []
    for search, records in all_records.items():
        told = report.read_json(folders[search] / "report.json", "report")
        difference = in_percent(rate(records, EDITS, "words", first)) if records is not first else ""
        rows.append(
            {
                "search": search,
                "WER,_%": in_percent(rate(records, EDITS, "words")),
                "less_that_of_greedy": difference,
                "CER,_%": in_percent(rate(records, ("character_errors",), "characters")),
                "how": told["decoding"]["search"],
                "utterances": len(records),
                "commit": told["evaluation"]["commit"]["hash"][:10],
            }
        )
    return rows


def in_percent(interval: Interval) -> str:
    """A figure and its 95% interval."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, help="a JSON file")
    options = parser.parse_args()
    if not (options.run / "tuning.json").is_file():
        tune_run(options.run)
    table = json.dumps({"rows": compare(evaluate(options.run))}, indent=2) + "\n"
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
