"""What a report shows of speech recognition: the kinds of errors, and the worst texts word by word."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from speechkit.report.clips import AudioBudget
from speechkit.report.run import Run
from speechkit.report.view import Measure, Records, Section, View, mean_of_scores
from speechkit.stats import Interval, bootstrap_ratio

EDITS = ("substitutions", "deletions", "insertions")
UNITS = ("words", "phones")  # what a record may count, of its reference
N_SHOWN = 20  # utterances


def rate_of(errors: Sequence[str], total: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure sum of counts[errors] / sum of counts[total], over the records that count `total`."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        chosen = [index for index, record in enumerate(records) if total in record["counts"]]
        counts = [records[index]["counts"] for index in chosen]
        numerators = [sum(count[name] for name in errors) for count in counts]
        own_groups = None if groups is None else [groups[index] for index in chosen]
        return bootstrap_ratio(numerators, [count[total] for count in counts], groups=own_groups)

    return interval


MEASURES = {
    "wer": Measure("%", rate_of(EDITS, "words"), scale=100.0),
    "per": Measure("%", rate_of(EDITS, "phones"), scale=100.0),
    "cer": Measure("%", rate_of(["character_errors"], "characters"), scale=100.0),
    "loss": Measure("nats", mean_of_scores("loss")),
}


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where nothing was recognised."""
    records = [record for record in run.predictions[subset] if record["skipped"] is None]
    if not records:
        return []
    worst = sorted(records, key=badness, reverse=True)[:N_SHOWN]
    shown = list_texts(run, subset, [record for record in worst if count_errors(record)], budget)
    sections = [Section("Kinds of errors", "errors.html", tabulate_errors(records))]
    return (
        [*sections, Section("Worst utterances", "alignments.html", {"texts": shown})] if shown else sections
    )


def count_errors(record: dict[str, Any]) -> int:
    """Substitutions, deletions and insertions of an utterance."""
    return sum(record["counts"][name] for name in EDITS)


def badness(record: dict[str, Any]) -> tuple[float, int, str]:
    """The order in which utterances are shown, from the greatest: error rate, then number of errors."""
    n_errors = count_errors(record)
    return n_errors / max(1, _n_units(record)), n_errors, record["id"]


def tabulate_errors(records: Records) -> dict[str, Any]:
    """How many units were right and how many wrong in which way, with shares of the reference's units."""
    sums: Counter[str] = Counter()
    for record in records:
        sums.update(record["counts"])
    total = next(name for name in UNITS if name in records[0]["counts"])
    n = sums[total]
    rows = [
        {"kind": kind, "count": sums[kind], "percent": 100 * sums[kind] / n if n else None}
        for kind in ("correct", *EDITS)
    ]
    n_right = sum(not count_errors(record) for record in records)
    return {"rows": rows, "unit": total, "n_units": n, "n_right": n_right, "n_utterances": len(records)}


def list_texts(run: Run, subset: str, records: Records, budget: AudioBudget) -> list[dict[str, Any]]:
    """Utterances with their alignments, and their audio where the run kept it."""
    paths = {entry["id"]: entry["path"] for entry in run.clips if entry["subset"] == subset}
    texts = []
    for record in records:
        path = paths.get(record["id"])
        texts.append(
            {
                "id": record["id"],
                "pairs": [
                    {"kind": sign, "said": said, "heard": heard} for sign, said, heard in record["alignment"]
                ],
                "audio": budget.embed(run.folder / path) if path else None,
                "n_errors": count_errors(record),
                "n_units": _n_units(record),
                "unit": next(name for name in UNITS if name in record["counts"]),
                "seconds": record["seconds"],
                "speaker": record.get("speaker"),
            }
        )
    return texts


def _n_units(record: dict[str, Any]) -> int:
    return next(record["counts"][name] for name in UNITS if name in record["counts"])


VIEW = View(MEASURES, describe_subset, badness)
