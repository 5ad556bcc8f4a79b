"""A report as plain text of 80 columns."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

WIDTH = 80
DIGITS = {"%": 1, "points": 1, "dB": 2, "MOS": 2}  # after the point, by unit; others 3
# Figures as they are written in papers; others go by their names in `report.json`.
FIGURES = {
    "si_snri": "SI-SNRi",
    "si_snr": "SI-SNR",
    "sdri": "SDRi",
    "sdr": "SDR",
    "pesq": "PESQ",
    "stoi": "STOI",
}
LOW_IS_GOOD = {"loss", "wer", "cer", "per", "eer", "perplexity", "token_perplexity", "bits_per_character"}
FEW_SPEAKERS = 30  # an interval over fewer is itself uncertain


def format_metric(metric: dict[str, Any]) -> str:
    """A figure with its unit and interval.

    >>> format_metric({"value": 95.0, "ci95": [92.1, 97.0], "n": 300, "unit": "%"})
    '95.0% (92.1 to 97.0)'
    """
    if metric["value"] is None:
        return "nothing to measure"
    figure = f"{format_number(metric['value'], metric['unit'])}{format_unit(metric['unit'])}"
    return f"{figure} ({format_ends(metric['ci95'], metric['unit'])})"


def format_ends(ends: list[float] | None, unit: str) -> str:
    """The ends of an interval in words."""
    if ends is None:
        return "interval unknown"
    return f"{format_number(ends[0], unit)} to {format_number(ends[1], unit)}"


def format_number(value: float, unit: str) -> str:
    """A number with as many digits after the point as its unit is worth; never `-0.0`.

    >>> format_number(94.96, "%"), format_number(1.5, "nats"), format_number(9.876, "dB")
    ('95.0', '1.500', '9.88')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.{DIGITS.get(unit, 3)}f}"
    return text.replace("-", "") if float(text) == 0 else text


def name_items(task: str) -> str:
    """What a task's test sets are made of.

    >>> name_items("asr"), name_items("separation")
    ('utterances', 'mixtures')
    """
    return "mixtures" if task == "separation" else "utterances"


def format_unit(unit: str) -> str:
    """A unit as it follows a number: percent without a space.

    >>> format_unit("%"), format_unit("dB")
    ('%', ' dB')
    """
    return unit if unit == "%" else f" {unit}"


def format_input(size: dict[str, float]) -> str:
    """What a model was given when its multiply-adds were counted.

    >>> format_input({"seconds": 1.0}), format_input({"tokens": 8})
    ('1 s of audio', '8 tokens')
    """
    return f"{size['tokens']} tokens" if "tokens" in size else f"{size['seconds']:g} s of audio"


def format_time(moment: float | str | None) -> str:
    """A moment, in seconds since 1970 or as ISO text, to the minute.

    >>> format_time(0), format_time("2026-02-11T10:30:00+01:00"), format_time("yesterday")
    ('1970-01-01 00:00 UTC', '2026-02-11 09:30 UTC', 'yesterday')
    """
    if moment is None:
        return ""
    try:
        if isinstance(moment, str):
            date = datetime.fromisoformat(moment)
        else:
            date = datetime.fromtimestamp(moment, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return str(moment)
    return f"{date.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_seconds(seconds: float) -> str:
    """A duration as one reads a clock.

    >>> format_seconds(8.12), format_seconds(75), format_seconds(7384)
    ('8.1 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def format_skipped(skipped: dict[str, int]) -> str:
    """Counts by reason.

    >>> format_skipped({"unreadable": 2, "empty": 1}), format_skipped({})
    ('3 (2 unreadable, 1 empty)', 'none')
    """
    if not sum(skipped.values()):
        return "none"
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items() if count)
    return f"{sum(skipped.values())} ({reasons})"


def format_commit(commit: dict[str, Any] | None) -> str:
    """A commit's first letters, and whether files had been changed since."""
    if not commit or not commit["hash"]:
        return "unknown"
    return commit["hash"][:12] + (" with uncommitted changes" if commit["dirty"] else "")


def format_report(report: dict[str, Any]) -> str:
    """The text of a `report.json`."""
    title = f"{report['task']} on {report['dataset'] or 'unnamed data'}"
    if "evaluation" in report:
        title += f", evaluation {report['evaluation']['name']}"
    lines = [title, "=" * len(title)]
    for name, subset in report["subsets"].items():
        lines += _describe_subset(name, subset, name_items(report["task"]))
    if not report["subsets"]:
        lines.append("No test set has been evaluated.")
    return "\n".join(line[:WIDTH] for line in lines + _align(_describe_run(report))) + "\n"


def _describe_subset(name: str, subset: dict[str, Any], items: str) -> list[str]:
    seconds = f", {format_seconds(subset['seconds'])}" if subset["seconds"] else ""
    lines = [f"{name}: {subset['n']:,} {items}{seconds}"]
    rows = []
    for metric_name, metric in subset["metrics"].items():
        # Some utterances have no such figure: silence has no ratio in decibels.
        n = f"{metric['n']:,} of {subset['n']:,} " if metric["n"] < subset["n"] else ""
        rows.append((metric_name, f"{format_metric(metric)}, 95% over {n}{items}"))
        if metric.get("ci95_speakers"):
            ends = format_ends(metric["ci95_speakers"], metric["unit"])
            rows.append(("", f"{ends}, over {metric['n_speakers']} speakers"))
    rows.append(("skipped", format_skipped(subset["skipped"])))
    return lines + ["  " + line for line in _align(rows)]


def _describe_run(report: dict[str, Any]) -> list[tuple[str, str]]:
    best = f", best {report['best_epoch']}" if report["best_epoch"] is not None else ""
    in_training = report["skipped_in_training"]
    per_epoch = report["seconds_per_epoch"]
    evaluation, decoding = report.get("evaluation"), report.get("decoding")
    return [
        *([("search", decoding["search"]), ("texts", decoding["normalization"])] if decoding else []),
        *([("weights", f"{evaluation['checkpoint']} of the run")] if evaluation else []),
        ("parameters", f"{report['parameters']:,}"),
        *(("filters", _describe_filters(layer)) for layer in report.get("filters", [])),
        ("epochs", f"{report['n_epochs']}{best}"),
        (
            "training",
            format_seconds(report["seconds"])
            + (f", {format_seconds(per_epoch)} an epoch" if per_epoch else ""),
        ),
        ("skipped in training", format_skipped(in_training["utterances"])),
        ("steps not finite", str(in_training["steps_nonfinite"])),
        ("device", report["device"]),
        ("seed", str(report["seed"])),
        ("commit", format_commit(report["commit"])),
    ]


def _describe_filters(layer: dict[str, Any]) -> str:
    if not layer["trainable"]:
        return f"{layer['name']}: {layer['n']} frozen at their start"
    medians = layer["moved_percent"]["median"], layer["correlation"]["median"]
    if None in medians:
        return f"{layer['name']}: {layer['n']}, not finite"
    moved = f"moved {medians[0]:.1f}%, correlation {medians[1]:.3f} (medians)"
    return f"{layer['name']}: {layer['n']}, {moved}"


def _align(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {text}".rstrip() for name, text in rows]
