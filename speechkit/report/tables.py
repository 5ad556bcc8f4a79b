"""Tables of READMEs and docs, made from results: `speechkit compare --markdown FILE...`.

A table stands between `<!-- table: PATTERN -->` and `<!-- end of table -->`; PATTERN names JSON files beside
the document: `report.json` files of published runs, `folds.json` files, or what a benchmark printed.
"""

import json
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speechkit.errors import Place, UserError
from speechkit.report.formats import encode, write_atomic
from speechkit.report.text import FIGURES, LOW_IS_GOOD

TABLE = re.compile(r"(<!-- table: (?P<pattern>\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def fill_document(path: Path, *, check: bool = False) -> str | None:
    """Make the tables of a Markdown document anew; with `check` change nothing.

    Returns:
        The first line that differs, with what the results say; None where nothing does.

    Raises:
        UserError: no such document, no results that match a pattern, or results that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    filled = TABLE.sub(lambda match: _fill(match, path), text)
    if filled == text:
        return None
    if not check:
        write_atomic(path, encode(filled))
    return _tell_first_difference(text.splitlines(), filled.splitlines())


def _fill(match: re.Match[str], path: Path) -> str:
    line = match.string.count("\n", 0, match.start()) + 1
    table = make_table(path.parent, match["pattern"], Place(str(path), line))
    return f"{match[1]}\n{table}\n{match[3]}"


def _tell_first_difference(old: list[str], new: list[str]) -> str:
    """Where two texts first differ, for the eye.

    >>> _tell_first_difference(["a", "b", "c"], ["a", "B", "c"])
    "line 2: 'b', but 'B'"
    """
    end = len(min(old, new, key=len))
    number = next((index for index in range(end) if old[index] != new[index]), end)
    sides = [repr(lines[number]) if number < len(lines) else "nothing" for lines in (old, new)]
    return f"line {number + 1}: {sides[0]}, but {sides[1]}"


def make_table(folder: Path, pattern: str, place: Place | None = None) -> str:
    """A Markdown table of the JSON files in a folder that match; `place` is where it was asked for."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise UserError(f"no results match {pattern}", place=place)
    try:
        results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return _format_results(paths, results)
    except (OSError, ValueError) as error:
        raise UserError(f"results that match {pattern} cannot be read ({error})", place=place) from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        found = f"results that match {pattern} are not alike, or hold no figures ({error!r})"
        raise UserError(
            found, expected="report.json or folds.json files, or a benchmark's", place=place
        ) from None


def _format_results(paths: list[Path], results: list[dict[str, Any]]) -> str:
    if "runs" in results[0]:
        rows = [row for path, each in zip(paths, results, strict=True) for row in describe_folds(path, each)]
        return format_rows(rows)
    if "metrics" in results[0]:
        return format_rows(describe_runs(paths, results))
    if "rows" in results[0]:
        return format_rows([flatten(row) for result in results for row in result["rows"]])
    return format_rows([flatten(result) for result in results])


def describe_runs(paths: list[Path], reports: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A row a run, and their mean where they differ in the seed."""
    rows = [describe_run(path, report) for path, report in zip(paths, reports, strict=True)]
    if len({report["seed"] for report in reports}) == len(reports) > 1:
        for name, metric in reports[0]["metrics"].items():
            values = [report["metrics"][name]["value"] for report in reports]
            mean = f"mean {statistics.mean(values):.2f}, worst {worst(name, values):.2f}"
            deviation = f"(deviation {statistics.stdev(values):.2f})"
            rows.append({"run": f"{len(values)} seeds", column(name, metric): f"{mean} {deviation}"})
    return rows


def describe_folds(path: Path, summary: dict[str, Any]) -> list[dict[str, str]]:
    """A row a fold of a `folds.json`, one of their mean, and one of all clips together."""
    rows = []
    for run in summary["runs"]:
        row = {"run": f"{path.stem}, {run['name']}", "test set": f"{summary['dataset']}, {run['n']} clips"}
        rows.append(row | describe_result(run))
    mean = {"run": f"mean of {len(rows)}"}
    pooled = {"run": "all clips"}
    for name, metric in summary["metrics"].items():
        key = column(name, metric)
        if metric["deviation"] is not None:
            mean[key] = f"{metric['mean']:.2f} (deviation {metric['deviation']:.2f})"
        if metric["pooled"] is not None:
            pooled[key] = f"{metric['pooled']['value']:.2f} {interval(metric['pooled']['ci95'])}"
            pooled["test set"] = f"{summary['dataset']}, {metric['pooled']['n']} clips"
    mean["training, minutes"] = f"{summary['seconds'] / 60:.1f} together"
    return [*rows, mean, pooled]


def describe_run(path: Path, report: dict[str, Any]) -> dict[str, str]:
    items = "mixtures" if report.get("task") == "separation" else "clips"
    row = {
        "run": path.stem,
        "test set": f"{report['dataset']}, {report['subsets'][report['subset']]['n']} {items}",
    }
    return row | describe_result(report)


def describe_result(report: dict[str, Any]) -> dict[str, str]:
    """What a run came to: from its report, or from what a `folds.json` says of it."""
    row = {}
    row["seed"] = str(report["seed"])
    for name, metric in report["metrics"].items():
        row[column(name, metric)] = f"{metric['value']:.2f} {interval(metric['ci95'])}"
        if metric.get("ci95_speakers"):
            row[f"{name}, interval over speakers"] = interval(metric["ci95_speakers"])
    row["parameters"] = f"{report['parameters']:,}"
    row["epochs (best)"] = f"{report['n_epochs']} ({report['best_epoch']})"
    row["training, minutes"] = f"{report['seconds'] / 60:.1f}"
    commit = report["commit"] or {"hash": "none", "dirty": False}
    row["commit"] = commit["hash"][:10] + (" with changes" if commit["dirty"] else "")
    return row


def column(name: str, metric: dict[str, Any]) -> str:
    """A metric as a table's column names it: "accuracy, %", "SI-SNRi, dB"."""
    return f"{FIGURES.get(name, name)}, {metric['unit']}"


def worst(name: str, values: Iterable[float]) -> float:
    """The worst of several values of a metric: the largest for errors and losses."""
    return max(values) if name in LOW_IS_GOOD else min(values)


def interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.2f}, {ends[1]:.2f}]"


def flatten(result: dict[str, Any]) -> dict[str, str]:
    """A benchmark's figures, one a column."""
    return {
        key.replace("_", " "): (" to " if len(value) == 2 else ", ").join(map(str, value))
        if isinstance(value, list)
        else str(value)
        for key, value in result.items()
    }


def format_rows(rows: list[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([row.get(key, "") for key in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
