"""Runs over the folds of a corpus, together: each one's figures, their mean, and all utterances as one."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.formats import write_json
from speechkit.report.result import build_report, describe_metric
from speechkit.report.run import Run, read_run
from speechkit.report.schemas import SCHEMA
from speechkit.report.text import WIDTH, format_metric, format_number, format_unit
from speechkit.report.view import Measure
from speechkit.report.write import find_view

OF_RUN = ("parameters", "seconds", "n_epochs", "best_epoch", "seed", "hparams_sha256", "commit", "skipped")


def write_folds(folder: str | Path, key: str, names: Sequence[str], failed: Sequence[str] = ()) -> str:
    """Write `folds.json` about the runs in `folder/<name>`, whose YAMLs differ in `key`; returns it as text.

    The mean and the deviation (of a sample, n - 1) are over runs, without an interval: runs that share most
    of their training clips are not independent. `pooled` is the figure over the test utterances of all runs,
    with its interval over utterances; null where an utterance was tested by two runs.

    Raises:
        UserError: a folder without a run that was tested, runs of different tasks
    """
    folder = Path(folder)
    runs = {name: read_run(folder / name) for name in names}
    summary = build_folds(runs, key, failed)
    write_json(folder / "folds.json", summary, "folds")
    return format_folds(summary)


def build_folds(runs: dict[str, Run], key: str, failed: Sequence[str]) -> dict[str, Any]:
    """The content of `folds.json`."""
    tasks = {run.description["task"] for run in runs.values()}
    if len(tasks) != 1:
        raise UserError(
            f"runs of the tasks {', '.join(sorted(tasks)) or 'none'}", expected="runs of one task"
        )
    measures = find_view(tasks.pop()).measures
    reports = {name: build_report(run, measures) for name, run in runs.items()}
    untested = [name for name, each in reports.items() if each["subset"] is None]
    if untested:
        raise UserError(f"{runs[untested[0]].folder} has no predictions", do="let the run end")
    first = next(iter(reports.values()))
    records = [record for run, each in zip(runs.values(), reports.values(), strict=True)
               for record in run.predictions[each["subset"]]]  # fmt: skip
    return {
        "schema": SCHEMA,
        "task": first["task"],
        "dataset": first["dataset"],
        "subset": first["subset"],
        "key": key,
        "runs": [_describe_run(name, each) for name, each in reports.items()],
        "failed": list(failed),
        "metrics": {
            name: _describe_metric([each["metrics"][name] for each in reports.values()], measure, records)
            for name, measure in measures.items()
            if all(name in each["metrics"] for each in reports.values())
        },
        "seconds": round(sum(each["seconds"] for each in reports.values()), 3),
        "versions": first["versions"],
        "device": first["device"],
    }


def _describe_run(name: str, result: dict[str, Any]) -> dict[str, Any]:
    n_tested = result["subsets"][result["subset"]]["n"]
    taken = {key: result[key] for key in OF_RUN}
    return {"name": name, "n": n_tested, "metrics": result["metrics"], **taken}


def _describe_metric(metrics: list[dict], measure: Measure, records: list[dict]) -> dict[str, Any]:
    values = [metric["value"] for metric in metrics]
    known = [value for value in values if value is not None]
    counted = [record for record in records if record["skipped"] is None]
    once = len({record["id"] for record in records}) == len(records)
    return {
        "unit": measure.unit,
        "mean": round(statistics.mean(known), 6) if len(known) == len(values) else None,
        "deviation": round(statistics.stdev(known), 6) if len(known) == len(values) > 1 else None,
        "pooled": describe_metric(measure, counted) if once else None,
    }


def format_folds(summary: dict[str, Any]) -> str:
    """The text of a `folds.json`, of at most 80 columns."""
    title = f"{summary['task']} on {summary['dataset'] or 'unnamed data'}: {len(summary['runs'])} runs"
    lines = [f"{title} by {summary['key']}", ""]
    width = max(len(run["name"]) for run in summary["runs"])
    for name, metric in summary["metrics"].items():
        lines.append(name)
        for run in summary["runs"]:
            lines.append(f"  {run['name']:<{width}}  {format_metric(run['metrics'][name])}, n = {run['n']}")
        lines += [f"  {what:<{width}}  {text}" for what, text in _describe_together(metric)]
    lines += [f"failed: {', '.join(summary['failed'])}"] if summary["failed"] else []
    return "\n".join(line[:WIDTH] for line in lines) + "\n"


def _describe_together(metric: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if metric["mean"] is not None:
        mean = f"{format_number(metric['mean'], metric['unit'])}{format_unit(metric['unit'])}"
        if metric["deviation"] is not None:
            mean += f", deviation {format_number(metric['deviation'], metric['unit'])}"
        rows.append(("mean", mean))
    if metric["pooled"] is not None:
        pooled = metric["pooled"]
        rows.append(("all", f"{format_metric(pooled)}, 95% over {pooled['n']} utterances"))
    return rows
