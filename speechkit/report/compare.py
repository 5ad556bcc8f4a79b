"""Runs side by side: figures, the keys of the YAML in which they differ, and what of it is more than luck."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.configuration import is_seed, list_differences
from speechkit.report.contenders import Contender, read_contender
from speechkit.report.paired import compare_records, compare_segments, ends_of, finite, tell_mismatch
from speechkit.report.schemas import SCHEMA
from speechkit.report.text import LOW_IS_GOOD
from speechkit.report.view import Measure
from speechkit.report.write import find_view
from speechkit.stats import compare_seeds, pareto_front, summarize_seeds

Group = list[Contender]
COSTS = ("parameters", "seconds")
OF_RUN = ("parameters", "multiply_adds", "seconds", "n_epochs", "best_epoch", "seed", "commit", "device")


def compare_runs(
    paths: Sequence[str | Path],
    *,
    subset: str | None = None,
    metric: str | None = None,
    baseline: str | Path | None = None,
) -> dict[str, Any]:
    """What `speechkit compare` tells of runs, as JSON of the format "comparison".

    A path is a run folder, the folder of an evaluation, or a `report.json` alone, whose run can be listed
    but not tested. Of `subset` (the first test set of the baseline, unless given), by `metric` (the task's
    headline), each run is tested against the baseline (the first path, unless given).

    Raises:
        UserError: fewer than two runs, of several tasks, one twice, or without such a subset or metric.
    """
    contenders = _read(paths)
    first = _find_baseline(contenders, paths, baseline)
    subset = _choose_subset(contenders, first, subset)
    metric = _choose_metric(contenders, subset, metric)
    groups = group_by_settings(contenders)
    for group in groups:
        group.sort(key=lambda each: _rank([each], subset, metric))
    groups.sort(key=lambda group: _rank(group, subset, metric))
    described = [_describe_group(group, subset) for group in groups]
    keys = list_differences([each.settings for each in contenders if each.settings is not None])
    # Where only seeds differ, these are what there is to compare.
    sides = groups if len(groups) > 1 else [[each] for each in groups[0]]
    start = next(side for side in sides if first in side)
    tests = [_compare(side, start, subset, metric) for side in sides if side is not start and metric]
    return {
        "schema": SCHEMA,
        "task": first.report["task"],
        "metric": metric,
        "subset": subset,
        "baseline": name_group(start),
        "runs": [_describe_run(each, subset, keys) for group in groups for each in group],
        "groups": described,
        "keys": keys,
        "differences": tests,
        "front": {cost: _find_front(described, metric, cost) for cost in COSTS},
    }


def _read(paths: Sequence[str | Path]) -> list[Contender]:
    if len(paths) < 2:
        raise UserError("one run to compare" if paths else "no run to compare", expected="two runs or more")
    places = [Path(os.path.abspath(path)) for path in paths]
    if twice := next((path for index, path in enumerate(places) if path in places[:index]), None):
        raise UserError(f"{twice} is given twice", expected="different runs")
    contenders = [
        read_contender(Path(path), name) for path, name in zip(paths, name_paths(places), strict=True)
    ]
    tasks = {each.report["task"] for each in contenders}
    if len(tasks) > 1:
        raise UserError(f"runs of the tasks {', '.join(sorted(tasks))}", expected="runs of one task")
    return contenders


def name_paths(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of absolute paths that are all different.

    >>> name_paths([Path("/a/one"), Path("/a/two/report.json"), Path("/b/two")])
    ['one', 'a/two', 'b/two']
    """
    parts = [(path.parent if path.name == "report.json" else path.with_suffix("")).parts for path in paths]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        names.append("/".join(own[-length:]))
    return names


def _find_baseline(
    contenders: Sequence[Contender], paths: Sequence[str | Path], baseline: str | Path | None
) -> Contender:
    if baseline is None:
        return contenders[0]
    for contender, path in zip(contenders, paths, strict=True):
        if str(baseline) == contender.name or os.path.abspath(baseline) == os.path.abspath(path):
            return contender
    names = ", ".join(each.name for each in contenders)
    raise UserError(f"the baseline {baseline} is none of the runs", expected=f"one of {names}")


def _choose_subset(contenders: Sequence[Contender], first: Contender, subset: str | None) -> str | None:
    known = list(dict.fromkeys(name for each in contenders for name in each.report["subsets"]))
    if subset is None:
        return first.report["subset"] or next(iter(known), None)
    if subset not in known:
        raise UserError(f"no run has a test set {subset!r}", expected=f"one of {', '.join(known) or 'none'}")
    return subset


def _choose_metric(contenders: Sequence[Contender], subset: str | None, metric: str | None) -> str | None:
    known = list(dict.fromkeys(name for each in contenders for name in each.metrics(subset)))
    if metric is None:
        return next(iter(known), None)
    if metric not in known:
        raise UserError(f"no run has a figure {metric!r}", expected=f"one of {', '.join(known) or 'none'}")
    return metric


def group_by_settings(contenders: Sequence[Contender]) -> list[Group]:
    """Runs that differ in nothing but the seed together; others, and a seed that comes twice, alone."""
    groups: dict[Any, Group] = {}
    for number, each in enumerate(contenders):
        key: Any = number
        if each.settings is not None:
            own = {name: value for name, value in each.settings.items() if not is_seed(name)}
            evaluation = each.report.get("evaluation", {}).get("name")
            key = (frozenset((name, own[name]) for name in own if name in _counted(own)), evaluation)
        groups.setdefault(key, []).append(each)
    found: list[Group] = []
    for group in groups.values():
        seeds = {each.report["seed"] for each in group}
        found += [group] if len(seeds) == len(group) else [[each] for each in group]
    return found


def _counted(settings: dict[str, str]) -> set[str]:
    """The keys that make a run another experiment."""
    return set(list_differences([settings, {}]))


def name_group(group: Group) -> str:
    """A run's name; of several what their names begin with.

    >>> name_group([Contender("real-seed1", {}, None, None), Contender("real-seed2", {}, None, None)])
    'real (2 seeds)'
    """
    names = [each.name for each in group]
    if len(names) == 1:
        return names[0]
    common = os.path.commonprefix(names)  # noqa: RUF071 - of names, by characters
    start = common.rstrip("0123456789-_. /").removesuffix("seed").rstrip("-_. /")
    return f"{start or names[0] + ' and others'} ({len(names)} seeds)"


def _rank(group: Group, subset: str | None, metric: str | None) -> tuple[bool, float]:
    """The best first; runs without the figure last."""
    values = [each.metrics(subset).get(metric or "", {}).get("value") for each in group]
    known = [value for value in values if value is not None]
    return not known, _sign(metric) * sum(known) / max(1, len(known))


def _sign(metric: str | None) -> int:
    """What makes a small number good."""
    return 1 if metric in LOW_IS_GOOD else -1


def _describe_run(contender: Contender, subset: str | None, keys: Sequence[str]) -> dict[str, Any]:
    report, own = contender.report, contender.settings
    return {
        "name": contender.name,
        "dataset": report["dataset"],
        "subset": subset if subset in report["subsets"] else None,
        "metrics": contender.metrics(subset),
        "n": report["subsets"].get(subset, {}).get("n", 0),
        **{key: report[key] for key in OF_RUN},
        "settings": None if own is None else {key: own.get(key) for key in keys},
    }


def _describe_group(group: Group, subset: str | None) -> dict[str, Any]:
    metrics = {}
    for name, metric in group[0].metrics(subset).items():
        values = [each.metrics(subset).get(name, {}).get("value") for each in group]
        if None not in values:
            metrics[name] = _sum_up(values) | {"unit": metric["unit"]}
    return {
        "name": name_group(group),
        "runs": [each.name for each in group],
        "metrics": metrics,
        "parameters": max(each.report["parameters"] for each in group),
        "seconds": round(sum(each.report["seconds"] for each in group) / len(group), 3),
    }


def _sum_up(values: Sequence[float]) -> dict[str, Any]:
    seeds = summarize_seeds(values)
    low, high = finite(seeds.low), finite(seeds.high)
    ends = None if low is None or high is None else [low, high]
    return {"mean": finite(seeds.mean), "deviation": finite(seeds.deviation), "ci95": ends, "n": seeds.n}


def _compare(side: Group, start: Group, subset: str | None, metric: str) -> dict[str, Any]:
    """One entry of `differences`."""
    measure = find_view(side[0].report["task"]).measures.get(metric)
    note = tell_why_not(side, start, subset, measure)
    tested: dict[str, Any] = {"difference": None, "matched_pairs": None}
    if note is None and measure is not None:
        sides = [[each.records(subset) for each in group] for group in (side, start)]
        tested["difference"] = compare_records(measure, *sides)
        if metric in ("wer", "per") and len(side) == len(start) == 1:
            tested["matched_pairs"] = compare_segments(sides[0][0], sides[1][0])
        if tested["difference"] is None:
            note = "no utterance has this figure in both, or they count it in other units"
    tested["seeds"] = None if note else _compare_over_seeds(side, start, subset, metric)
    return {
        "name": name_group(side),
        "baseline": name_group(start),
        **tested,
        "verdict": _judge(tested, metric),
        "note": note,
    }


def tell_why_not(side: Group, start: Group, subset: str | None, measure: Measure | None) -> str | None:
    """Why two groups cannot be tested against each other; None where they can."""
    if measure is None or measure.parts is None:
        return "this figure is not one of single utterances"
    for each in (*side, *start):
        if each.predictions is None:
            return f"{each.name} is a report alone, without its utterances"
        if subset not in each.predictions:
            return f"{each.name} has no predictions of {subset}"
    own = start[0].records(subset)
    for each in (*start[1:], *side):
        if mismatch := tell_mismatch(each.records(subset), own):
            return mismatch
    return None


def _compare_over_seeds(side: Group, start: Group, subset: str | None, metric: str) -> dict[str, Any] | None:
    values = [
        [each.metrics(subset).get(metric, {}).get("value") for each in group] for group in (side, start)
    ]
    if min(map(len, values)) < 2 or None in values[0] + values[1]:
        return None
    found = compare_seeds(values[0], values[1])
    return {
        "value": finite(found.difference.value),
        "ci95": ends_of(found, 1.0),
        "p_value": finite(found.p_value),
        "n": [len(each) for each in values],
    }


def _judge(tested: dict[str, Any], metric: str) -> str:
    """A difference is shown where every interval that is known leaves out 0, on the same side."""
    difference = tested["difference"]
    if difference is None:
        return "not compared"
    ends = [difference["ci95"]]
    ends += [difference["ci95_speakers"]] if "n_speakers" in difference else []
    ends += [tested["seeds"]["ci95"]] if tested["seeds"] else []
    if None in ends or not (all(low > 0 for low, _ in ends) or all(high < 0 for _, high in ends)):
        return "not shown"
    return "better" if (difference["value"] < 0) == (metric in LOW_IS_GOOD) else "worse"


def _find_front(groups: Sequence[dict[str, Any]], metric: str | None, cost: str) -> list[str]:
    known = [each for each in groups if metric in each["metrics"]]
    costs = [(_sign(metric) * each["metrics"][metric]["mean"], each[cost]) for each in known]
    return [known[index]["name"] for index in pareto_front(costs)]
