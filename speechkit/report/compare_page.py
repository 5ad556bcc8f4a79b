"""A comparison of runs as one HTML file that needs no network, no script and no other file."""

from dataclasses import dataclass
from typing import Any

from speechkit.report.charts import make_scale
from speechkit.report.compare_text import (
    name_figure,
    tabulate_keys,
    tabulate_runs,
    tell_difference,
    tell_notes,
)
from speechkit.report.distributions import Area, lay_out
from speechkit.report.text import LOW_IS_GOOD, name_items

AXES = {"parameters": "parameters", "seconds": "training (minutes)"}
SIGNS = {
    "better": "▲",
    "worse": "▼",
    "not shown": "◇",
    "not compared": "–",
}  # so that colour is not the only one


@dataclass(frozen=True)
class Front:
    """A plot of figure against cost, ready for the template."""

    area: Area
    dots: list[tuple[float, float, bool, int, str]]  # x, y, on the front, number of the group, text
    names: list[tuple[int, str]]  # on the front
    path: str  # a line through the front


def render_comparison(comparison: dict[str, Any]) -> str:
    """The page of what `compare_runs` gives."""
    from markupsafe import Markup  # with jinja2, which the text does not need

    from speechkit.report.page import TEMPLATES, make_environment

    items = name_items(comparison["task"])
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    fronts = [draw_front(comparison, cost) for cost in AXES]
    return (
        make_environment()
        .get_template("compare.html")
        .render(
            comparison=comparison,
            figure=name_figure(comparison["metric"] or "figure"),
            style=Markup(style),  # our own file, not the user's text
            runs=tabulate_runs(comparison),
            keys=tabulate_keys(comparison),
            numbers={group["name"]: number for number, group in enumerate(comparison["groups"], start=1)},
            differences=[
                {"entry": each, "told": tell_difference(each, items), "sign": SIGNS[each["verdict"]]}
                for each in comparison["differences"]
            ],
            spans=draw_spans(comparison),
            notes=tell_notes(comparison),
            fronts=[front for front in fronts if front],
        )
    )


def draw_spans(comparison: dict[str, Any]) -> dict[str, Any]:
    """Where the intervals of all differences lie, on one scale of 300 units, with 0."""
    found = [each for each in comparison["differences"] if each["difference"]]
    ends = {}
    for each in found:
        difference = each["difference"]
        ends[each["name"]] = (
            difference.get("ci95_speakers") or difference["ci95"] or [difference["value"]] * 2
        )
    reach = [number for pair in ends.values() for number in pair] + [0.0]
    if max(reach) == min(reach):
        return {"zero": 150.0, "bars": {}}
    place = make_scale(min(reach), max(reach), 10, 290)
    bars = {
        each["name"]: (*map(place, ends[each["name"]]), place(each["difference"]["value"])) for each in found
    }
    return {"zero": place(0.0), "bars": bars}


def draw_front(comparison: dict[str, Any], cost: str) -> Front | None:
    """Groups by figure and cost; None where there are none, or but one."""
    metric = comparison["metric"]
    known = [(n, each) for n, each in enumerate(comparison["groups"], start=1) if metric in each["metrics"]]
    if len(known) < 2:
        return None
    x = [each[cost] / (60 if cost == "seconds" else 1) for _, each in known]
    y = [each["metrics"][metric]["mean"] for _, each in known]
    unit = known[0][1]["metrics"][metric]["unit"]
    better = "lower" if metric in LOW_IS_GOOD else "higher"
    title = f"{name_figure(metric)} against {'time' if cost == 'seconds' else cost}"
    y_name = f"{name_figure(metric)} ({unit}; {better} is better)"
    area, x_of, y_of = lay_out(title, AXES[cost], y_name, (min(x), max(x)), (min(y), max(y)))
    front = comparison["front"][cost]
    dots = [
        (x_of(a), y_of(b), each["name"] in front, number, f"{number}: {each['name']}")
        for a, b, (number, each) in zip(x, y, known, strict=True)
    ]
    corners = sorted((left, top) for left, top, on_front, _, _ in dots if on_front)
    path = "".join(f"{'L' if index else 'M'}{left:g} {top:g}" for index, (left, top) in enumerate(corners))
    return Front(area, dots, [(n, each["name"]) for n, each in known if each["name"] in front], path)
