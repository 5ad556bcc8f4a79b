"""A comparison of runs as plain text, and the sentences that its page has too."""

from collections.abc import Sequence
from typing import Any

from speechkit.report.text import (
    FEW_SPEAKERS,
    FIGURES,
    format_commit,
    format_metric,
    format_number,
    format_seconds,
    format_unit,
    name_items,
)

N_KEYS = 12  # of the YAMLs, in the text; the page has all
CELL = 28  # characters of a value


def format_comparison(comparison: dict[str, Any]) -> str:
    """The text of a comparison: the runs, best first, the YAML's keys in which they differ, the tests."""
    items, names = name_items(comparison["task"]), [run["name"] for run in comparison["runs"]]
    metric = comparison["metric"]
    title = f"{len(names)} runs of {comparison['task']}"
    title += f", {name_figure(metric)} on {comparison['subset']}, best first" if metric else ", not evaluated"
    lines = [title, "=" * len(title), *align(tabulate_runs(comparison))]
    if comparison["keys"]:
        lines += ["", "Where their YAMLs differ:", *align(_tabulate_keys(comparison))]
        more = len(comparison["keys"]) - N_KEYS
        lines += [f"+{more} more"] if more > 0 else []
    for each in comparison["differences"]:
        lines += ["", f"{each['name']}, against {each['baseline']}:"]
        lines += [f"  {line}" for line in tell_difference(each, items)]
    lines += ["", *tell_notes(comparison)]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def name_figure(name: str) -> str:
    """A figure as a sentence has it: "WER", "SI-SNRi", "accuracy".

    >>> name_figure("wer"), name_figure("si_snri"), name_figure("token_perplexity")
    ('WER', 'SI-SNRi', 'token perplexity')
    """
    if name in ("wer", "cer", "per", "eer"):
        return name.upper()
    return FIGURES.get(name, name.replace("_", " "))


def tabulate_runs(comparison: dict[str, Any]) -> list[list[str]]:
    """The head, then a row a run, below a row of its group where runs differ in the seed alone."""
    runs = {run["name"]: run for run in comparison["runs"]}
    figures = [comparison["metric"]] if comparison["metric"] else []
    figures += [name for run in runs.values() for name in run["metrics"] if name not in figures]
    first, *others = list(dict.fromkeys(figures)) or [""]
    costs = ["parameters", "multiply-adds", "training"]
    rows = [["run", name_figure(first), *costs, "n", *map(name_figure, others), "seed", "commit"]]
    for group in comparison["groups"]:
        several = len(group["runs"]) > 1
        if several:
            tell = {name: tell_seeds(group["metrics"].get(name)) for name in (first, *others)}
            cost = [f"{group['parameters']:,}", "", f"{format_seconds(group['seconds'])} each"]
            rows.append([group["name"], tell[first], *cost, "", *(tell[name] for name in others), "", ""])
        for name in group["runs"]:
            rows.append(_describe_run(runs[name], first, others, "  " if several else ""))
    return rows


def _describe_run(run: dict[str, Any], first: str, others: Sequence[str], indent: str) -> list[str]:
    tell = {name: format_metric(metric) for name, metric in run["metrics"].items()}
    return [
        indent + run["name"],
        tell.get(first, "" if run["subset"] else "not evaluated"),
        f"{run['parameters']:,}",
        "" if run["multiply_adds"] is None else f"{run['multiply_adds']:,}",
        format_seconds(run["seconds"]),
        f"{run['n']:,}" if run["subset"] else "",
        *(tell.get(name, "") for name in others),
        "" if run["seed"] is None else str(run["seed"]),
        format_commit(run["commit"]),
    ]


def tell_seeds(metric: dict[str, Any] | None) -> str:
    """The mean over seeds with its interval and the deviation.

    >>> tell_seeds({"mean": 93.0, "deviation": 1.0, "ci95": [90.5, 95.5], "n": 3, "unit": "%"})
    'mean 93.0% (90.5 to 95.5), deviation 1.0'
    """
    if metric is None:
        return ""
    told = format_metric({"value": metric["mean"], "ci95": metric["ci95"], "unit": metric["unit"]})
    return f"mean {told}, deviation {format_number(metric['deviation'], metric['unit'])}"


def _tabulate_keys(comparison: dict[str, Any]) -> list[list[str]]:
    head, *rows = tabulate_keys(comparison)
    return [head, *([row[0], *map(shorten, row[1:])] for row in rows[:N_KEYS])]


def tabulate_keys(comparison: dict[str, Any]) -> list[list[str]]:
    """The head, then a row a key of the YAMLs: its value in each group of runs whose YAML is known."""
    runs = {run["name"]: run["settings"] for run in comparison["runs"]}
    groups = [group for group in comparison["groups"] if runs[group["runs"][0]] is not None]
    rows = [["key", *(group["name"] for group in groups)]]
    for key in comparison["keys"]:
        values = (list(dict.fromkeys(runs[name][key] for name in group["runs"])) for group in groups)
        rows.append([key, *(", ".join("-" if each is None else each for each in every) for every in values)])
    return rows


def shorten(text: str) -> str:
    """A value that fits into a cell.

    >>> shorten("[" + "1, " * 20 + "1]")
    '[1, 1, 1, 1, 1, 1, 1, 1, ...'
    """
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


def tell_difference(entry: dict[str, Any], items: str) -> list[str]:
    """The verdict on a difference in words, and what it rests on."""
    difference = entry["difference"]
    if difference is None:
        return [f"not compared: {entry['note']}"]
    unit, n_speakers = difference["unit"], difference.get("n_speakers")
    lines = [tell_verdict(entry)]
    told = f"over {difference['n']:,} {items}: {tell_interval(difference, unit)}"
    lines.append(f"{told}, {tell_p(difference['p_value'])}")
    if n_speakers:
        over = {"value": difference["value"], "ci95": difference["ci95_speakers"]}
        told = f"over {n_speakers} speakers: {tell_interval(over, unit)}"
        lines.append(f"{told}, {tell_p(difference['p_value_speakers'])}{tell_worth(n_speakers)}")
    if seeds := entry["seeds"]:
        sides = " and ".join(map(str, seeds["n"]))
        lines.append(f"over {sides} seeds (Welch): {tell_interval(seeds, unit)}, {tell_p(seeds['p_value'])}")
    if pairs := entry["matched_pairs"]:
        lines.append(f"matched pairs: {tell_p(pairs['p_value'])}, of {pairs['n']:,} segments with errors")
    return lines


def tell_verdict(entry: dict[str, Any]) -> str:
    """The answer in a line: by how much better or worse, or that no difference is shown.

    >>> difference = {"value": -2.1, "ci95": [-3.3, -1.0], "p_value": 0.001, "n": 90, "unit": "points"}
    >>> tell_verdict({"verdict": "better", "difference": difference, "seeds": None})
    'better by 2.1 points [1.0, 3.3], p 0.001'
    """
    difference = entry["difference"]
    ps = [difference["p_value"], difference.get("p_value_speakers"), (entry["seeds"] or {}).get("p_value")]
    p_value = tell_p(max((each for each in ps if each is not None), default=None))
    if entry["verdict"] == "not shown":
        return f"no difference shown: {tell_interval(difference, difference['unit'])}, {p_value}"
    sign = -1 if difference["value"] < 0 else 1
    gain = {"value": sign * difference["value"], "ci95": sorted(sign * end for end in difference["ci95"])}
    return f"{entry['verdict']} by {tell_interval(gain, difference['unit'])}, {p_value}"


def tell_interval(found: dict[str, Any], unit: str) -> str:
    """A difference with its interval: "2.1 points [1.0, 3.3]"."""
    value = f"{format_number(found['value'], unit)}{format_unit(unit)}"
    if found["ci95"] is None:
        return f"{value} [interval unknown]"
    return f"{value} [{', '.join(format_number(end, unit) for end in found['ci95'])}]"


def tell_p(p_value: float | None) -> str:
    """A p-value to as many digits as it is worth.

    >>> tell_p(0.0005), tell_p(0.0314), tell_p(0.42), tell_p(None)
    ('p < 0.001', 'p 0.031', 'p 0.42', 'p unknown')
    """
    if p_value is None:
        return "p unknown"
    if p_value < 0.001:
        return "p < 0.001"
    return f"p {p_value:.3f}" if p_value < 0.095 else f"p {p_value:.2f}"


def tell_worth(n_speakers: int) -> str:
    """What an interval over so few speakers is worth; nothing of many.

    >>> tell_worth(30)
    ''
    """
    if n_speakers >= FEW_SPEAKERS:
        return ""
    return (
        f" (rough: with {n_speakers} speakers an interval may hold the truth less often than 95%, "
        f"and other speakers may differ; {FEW_SPEAKERS} are needed to rely on it)"
    )


def tell_notes(comparison: dict[str, Any]) -> list[str]:
    """What to keep in mind, and which runs no other one beats in figure and cost."""
    tested = [each for each in comparison["differences"] if each["difference"]]
    notes = []
    if any(each["seeds"] is None for each in tested):
        notes.append("One seed a side tells nothing of other seeds: train with three, and compare all.")
    if len(tested) > 1:
        n = len(tested)
        notes.append(
            f"{n} comparisons: one in 20 has p below 0.05 by luck alone; below {0.05 / n:.3g} is safe."
        )
    for cost, names in comparison["front"].items():
        if names and len(comparison["groups"]) > 1:
            what = "parameters" if cost == "parameters" else "time of training"
            notes.append(
                f"Beaten by none in both {name_figure(comparison['metric'])} and {what}: {', '.join(names)}."
            )
    return notes


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with straight columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
