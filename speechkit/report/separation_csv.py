"""Figures of every mixture as a table that spreadsheets open: `separation.csv`."""

import csv
import io
import math
from typing import Any

import numpy as np

from speechkit.report.view import Records, mean_of_scores

# In this order, of those that the records have.
FIGURES = ("input_si_snr", "si_snr", "si_snri", "sdr", "sdri", "pesq", "stoi")
OF_SOURCE = ("speaker", "gender", "estimate", "si_snr", "si_snri", "sdr", "sdri", "pesq", "stoi")


def format_separation(records: Records) -> str:
    """A row a mixture, and after all of these the mean, the median, and the ends of the mean's 95% interval.

    Decibels of a mixture are means over its sources, whose own stand behind them: source 1 is the first
    reference, `estimate` the number of what was separated for it, from 1. What is not defined is left empty
    and in no mean; the column `note` tells so, and why a mixture was skipped.
    """
    figures = [name for name in FIGURES if any(name in (each["scores"] or {}) for each in records)]
    rows = [_describe(record, figures) for record in records]
    columns = dict.fromkeys(name for row in rows for name in row)
    names = ["id", "seconds", "group", *figures]
    names += [*sorted((set(columns) - {*names, "note"}), key=_place), "note"]
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    table.writerows(_summarize([record for record in records if not record["skipped"]], figures))
    return text.getvalue()


def _describe(record: dict[str, Any], figures: list[str]) -> dict[str, Any]:
    row = {"id": record["id"], "seconds": record["seconds"], "group": record.get("group"), "note": ""}
    if record["skipped"]:
        return row | {"note": f"skipped: {record['skipped']}"}
    scores = record["scores"]
    row |= {name: _round(scores.get(name)) for name in figures}
    if scores["si_snri"] is None:
        row["note"] = "not defined"
    for number, source in enumerate(record["sources"], start=1):
        own = {name: source[name] for name in OF_SOURCE if name in source}
        if own["estimate"] is not None:
            own["estimate"] += 1
        row |= {f"source{number}_{name}": _round(value) for name, value in own.items()}
    return row


def _place(column: str) -> tuple[int, int]:
    """Where a source's column stands: by source, then as in `OF_SOURCE`."""
    source, name = column.removeprefix("source").split("_", 1)
    return int(source), OF_SOURCE.index(name)


def _summarize(records: Records, figures: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"id": name} for name in ("mean", "median", "ci95 low", "ci95 high")]
    for name in figures:
        values = [value for each in records if (value := each["scores"].get(name)) is not None]
        if values:
            found = mean_of_scores(name)(records, None)
            summary = (found.value, float(np.median(values)), found.low, found.high)
            for row, value in zip(rows, summary, strict=True):
                row[name] = _round(value)
    return rows


def _round(value: Any) -> Any:
    """A float with four digits after the point; None for one that is not finite: an interval not known."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if math.isfinite(value) else None
