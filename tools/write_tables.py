"""Write the tables of READMEs and docs from results: `python tools/write_tables.py [--check]`.

A table stands between `<!-- table: PATTERN -->` and `<!-- end of table -->`; PATTERN names JSON files beside
the document: `report.json` files of published runs, or what a benchmark printed. `--check` changes nothing
and ends with code 1 if a document is not what its results say.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speechkit.report.text import FIGURES

PROJECT = Path(__file__).resolve().parents[1]
LOW_IS_GOOD = {"loss", "wer", "cer", "per", "eer", "perplexity", "token_perplexity", "bits_per_character"}
TABLE = re.compile(r"(<!-- table: (?P<pattern>\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def documents() -> list[Path]:
    """All pages of the project that may hold a table."""
    return [
        PROJECT / "README.md",
        *sorted(PROJECT.glob("docs/*.md")),
        *sorted(PROJECT.glob("recipes/**/*.md")),
    ]


def fill(text: str, folder: Path) -> str:
    """The text with every table made anew."""
    return TABLE.sub(
        lambda match: match[1] + "\n" + make_table(folder, match["pattern"]) + "\n" + match[3], text
    )


def make_table(folder: Path, pattern: str) -> str:
    """A Markdown table of the JSON files that match."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SystemExit(f"{folder}: no results match {pattern}")
    results = [json.loads(path.read_text()) for path in paths]
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path in documents():
        text = path.read_text() if path.is_file() else ""
        filled = fill(text, path.parent)
        if filled != text:
            stale.append(path)
            if not check:
                path.write_text(filled)
    for path in stale:
        print(f"{path.relative_to(PROJECT)}: {'not what its results say' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
