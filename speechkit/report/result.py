"""What a run came to: the content of `report.json`."""

import math
import re
from collections import Counter
from typing import Any

from speechkit.report.filters import summarize_filters
from speechkit.report.run import Run
from speechkit.report.schemas import SCHEMA
from speechkit.report.view import Measure
from speechkit.stats import Interval

PATH_KEYS = ("data_folder", "output_folder", "manifest_folder", "init_from")
# A path from the root or a home folder, also within a list: after nothing, a space, a bracket or a quote.
PATH = re.compile(r"""(?:^|[\s\[{(,:='"])(?:/(?=\S)|~\w*/|[A-Za-z]:\\)""")


def build_report(run: Run, measures: dict[str, Measure]) -> dict[str, Any]:
    """The content of `report.json`: figures of the first test subset at the top, all under `subsets`."""
    subsets = {name: _describe_subset(records, measures) for name, records in run.predictions.items()}
    first = next(iter(subsets), None)
    description, model = run.description, run.model or {}
    taken = ("parameters", "seed", "hparams_sha256", "fingerprint", "commit", "versions", "device", "started")
    return {
        "schema": SCHEMA,
        "task": description["task"],
        "dataset": description["dataset"],
        "subset": first,
        "metrics": subsets[first]["metrics"] if first else {},
        "skipped": subsets[first]["skipped"] if first else {},
        "subsets": subsets,
        "skipped_in_training": _sum_skipped(run.epochs),
        "trainable": model.get("trainable"),
        "multiply_adds": model.get("multiply_adds"),
        **_describe_time(run.epochs),
        **{key: description[key] for key in taken},
        "overrides": hide_paths(description["overrides"]),
        **_describe_origin(description),
        **({"filters": summarize_filters(run)} if run.filters else {}),
        **({"decoding": _without_schema(run.decoding)} if run.decoding else {}),
    }


def _without_schema(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "schema"}


def hide_paths(overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides without places on a machine: a published report tells what was done, not where.

    >>> hide_paths({"seed": "3", "data_folder": "corpus", "valid_data.manifest": "/home/me/valid.jsonl"})
    {'seed': '3', 'data_folder': '(path)', 'valid_data.manifest': '(path)'}
    """
    return {
        key: "(path)" if key.split(".")[-1] in PATH_KEYS or _holds_path(value) else value
        for key, value in overrides.items()
    }


def _holds_path(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_path(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(map(_holds_path, value))
    return isinstance(value, str) and PATH.search(value) is not None


def _describe_origin(description: dict[str, Any]) -> dict[str, Any]:
    """The weights that a training began with, by their sum; what an evaluation has of its own."""
    origin: dict[str, Any] = {}
    if began := description.get("init_from"):
        origin["init_from"] = {name: began[name] for name in ("checkpoint", "sha256")}
    if evaluation := description.get("evaluation"):
        origin["evaluation"] = evaluation | {"overrides": hide_paths(evaluation["overrides"])}
    return origin


def _describe_subset(records: list[dict], measures: dict[str, Measure]) -> dict[str, Any]:
    counted = [record for record in records if record["skipped"] is None]
    metrics = {name: describe_metric(measure, counted) for name, measure in measures.items()}
    return {
        "metrics": {name: metric for name, metric in metrics.items() if metric["n"] or not counted},
        "skipped": dict(Counter(record["skipped"] for record in records if record["skipped"] is not None)),
        "n": len(counted),
        "seconds": round(sum(record["seconds"] or 0 for record in counted), 3),
    }


def describe_metric(measure: Measure, records: list[dict]) -> dict[str, Any]:
    """A figure over records that were not skipped, as `report.json` holds it."""
    interval = measure.interval(records, None)
    metric = {
        "value": _finite(interval.value * measure.scale),
        "ci95": _ends(interval, measure.scale),
        "n": interval.n,
        "unit": measure.unit,
    }
    speakers = [record["speaker"] for record in records if record.get("speaker")]
    if records and len(speakers) == len(records):
        by_speaker = measure.interval(records, speakers)
        metric |= {"ci95_speakers": _ends(by_speaker, measure.scale), "n_speakers": by_speaker.n}
    return metric


def _ends(interval: Interval, scale: float) -> list[float] | None:
    low, high = _finite(interval.low * scale), _finite(interval.high * scale)
    return None if low is None or high is None else [low, high]


def _finite(number: float) -> float | None:
    return round(number, 6) if math.isfinite(number) else None


def _sum_skipped(epochs: list[dict]) -> dict[str, Any]:
    utterances: Counter[str] = Counter()
    for epoch in epochs:
        utterances.update(epoch.get("skipped", {}).get("utterances", {}))
    steps = sum(epoch.get("skipped", {}).get("steps_nonfinite", 0) for epoch in epochs)
    return {"steps_nonfinite": steps, "utterances": dict(sorted(utterances.items()))}


def _describe_time(epochs: list[dict]) -> dict[str, Any]:
    seconds = [epoch["train_seconds"] + (epoch.get("valid_seconds") or 0) for epoch in epochs]
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]]
    return {
        "seconds": round(sum(seconds), 3),
        "seconds_per_epoch": round(sum(seconds) / len(seconds), 3) if seconds else None,
        "n_epochs": epochs[-1]["epoch"] if epochs else 0,
        "best_epoch": best[-1] if best else None,
    }
