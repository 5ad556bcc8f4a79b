"""A report as one HTML file that needs no network, no script and no other file."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from speechkit.report.charts import Chart, Line, draw_bars, draw_lines
from speechkit.report.clips import AudioBudget
from speechkit.report.filters import describe_filters
from speechkit.report.modules import list_modules
from speechkit.report.run import Run
from speechkit.report.text import (
    FEW_SPEAKERS,
    FIGURES,
    format_commit,
    format_ends,
    format_input,
    format_number,
    format_seconds,
    format_skipped,
    format_time,
    format_unit,
    name_items,
)
from speechkit.report.view import View

TEMPLATES = Path(__file__).parent / "templates"
AUDIO_BYTES = 8_000_000  # of embedded clips in one page; the others are named by their file
ACRONYMS = ("asr", "wer", "cer", "per", "eer")


def render_page(run: Run, report: dict[str, Any], view: View) -> str:
    """The page of a run."""
    budget = AudioBudget(AUDIO_BYTES)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return (
        make_environment()
        .get_template("page.html")
        .render(
            report=report,
            run=run,
            style=Markup(style),  # our own file, not the user's text
            charts=draw_charts(run, {name: measure.unit for name, measure in view.measures.items()}),
            heading=view.heading,
            sections={subset: view.describe_subset(run, subset, budget) for subset in report["subsets"]},
            filters=describe_filters(run),
            modules=list_modules(run.model),
            events=list_events(run.events),
            few_speakers=FEW_SPEAKERS,
        )
    )


@cache
def make_environment() -> jinja2.Environment:
    """The templates of this room, with its filters, compiled once a process; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,  # ids, words and YAML are other people's text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "seconds": format_seconds,
        "time": format_time,
        "skipped": format_skipped,
        "commit": format_commit,
        "thousands": lambda number: f"{number:,}",
        "number": format_number,
        "unit": format_unit,
        "ends": format_ends,
        "input": format_input,
        "as_json": to_json,
        "title_case": _title,
        "figure": lambda name: FIGURES.get(name, name),
        "items": name_items,
    }
    return environment


def to_json(value: Any) -> str:
    """A value as its user wrote it: text without quotes, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def draw_charts(run: Run, units: dict[str, str]) -> list[Chart]:
    """Losses, every other figure of an epoch, learning rate and seconds of each epoch."""
    epochs = run.epochs
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]]
    mark = (float(best[-1]), f"best epoch {best[-1]}") if best else None
    found = {name for epoch in epochs for stage in ("train", "valid") for name in epoch.get(stage) or {}}
    charts = [
        draw_lines(_title(name), _curves(epochs, name), x_name="epoch", unit=units.get(name, ""), mark=mark)
        for name in sorted(found, key=lambda name: (not name.startswith("loss"), name))
    ]
    charts.append(draw_lines("Learning rate", _learning_rates(run), x_name="step"))
    if epochs:
        rows = [
            (epoch["epoch"], (epoch["train_seconds"], epoch.get("valid_seconds") or 0.0)) for epoch in epochs
        ]
        charts.append(draw_bars("Time per epoch", ("training", "validation"), rows, unit="s"))
    return [chart for chart in charts if chart]


def _title(name: str) -> str:
    if name in FIGURES or name in ACRONYMS:
        return FIGURES.get(name, name.upper())
    return name[:1].upper() + name[1:].replace("_", " ")


def _curves(epochs: list[dict], name: str) -> list[Line]:
    stages = (("train", "training"), ("valid", "validation"))
    return [
        Line(title, [(epoch["epoch"], (epoch.get(stage) or {}).get(name)) for epoch in epochs])
        for stage, title in stages
        if any(name in (epoch.get(stage) or {}) for epoch in epochs)
    ]


def _learning_rates(run: Run) -> list[Line]:
    lines = sorted(run.steps + run.epochs, key=lambda line: line["step"])
    optimizers = sorted({name for line in lines for name in line["learning_rate"]})
    return [
        Line(
            name if len(optimizers) > 1 else "",
            [(line["step"], line["learning_rate"].get(name)) for line in lines],
        )
        for name in optimizers
    ]


def list_events(events: list[dict]) -> list[tuple[str, str, str]]:
    """What happened to the run, as (time, event, details)."""
    rows = []
    for event in events:
        details = {key: value for key, value in event.items() if key not in ("event", "time")}
        text = ", ".join(f"{key} {to_json(value)}" for key, value in details.items() if value not in ({}, []))
        rows.append((format_time(event.get("time")), event["event"].replace("_", " "), text))
    return rows
