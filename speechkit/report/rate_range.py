"""What a learning-rate range test found: JSON, a page and lines for the terminal."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechkit.report.charts import LEFT, RIGHT, WIDTH, Chart, Line, draw_lines, format_tick
from speechkit.report.formats import encode, replace_nonfinite, write_atomic, write_json

STOPS = {
    "diverged": "the loss had diverged",
    "not finite": "the loss or its gradient was not finite",
    "interrupted": "it was interrupted",
}


def write_rate_range(folder: str | Path, result: dict[str, Any]) -> Path:
    """Write `find_lr.json` and `find_lr.html` into a folder; returns the path of the page."""
    result = replace_nonfinite(result)
    write_json(Path(folder) / "find_lr.json", result, "find_lr")
    page = Path(folder) / "find_lr.html"
    write_atomic(page, encode(render_rate_range(result)))
    return page


def format_rate_range(result: dict[str, Any]) -> str:
    """The outcome in a few lines; `result` as `find_lr.json` holds it.

    >>> result = {"suggestion": 0.00317, "tenth_of_lowest": None, "notes": [], "stopped": None, "n_steps": 2}
    >>> given = {"main": {"given": 0.1, "suggestion": 0.00317}}
    >>> print(format_rate_range(result | {"rates": [0.001, 0.01], "optimizers": given}))
    suggested learning rate: 3.2e-3, where the loss falls fastest (the YAML has 0.1)
    2 of 2 steps
    """
    lines = []
    if result["suggestion"] is not None:
        given = next(iter(result["optimizers"].values()))["given"]
        lines.append(
            f"suggested learning rate: {format_rate(result['suggestion'])}, where the loss falls fastest "
            f"(the YAML has {format_tick(given)})"
        )
        if result["tenth_of_lowest"] is not None:
            lines.append(f"a tenth of the rate where it is lowest: {format_rate(result['tenth_of_lowest'])}")
        lines += [
            f"optimizer {name}: {format_rate(each['suggestion'])} (the YAML has {format_tick(each['given'])})"
            for name, each in list(result["optimizers"].items())[1:]
        ]
    else:
        lines.append("no learning rate is suggested")
    lines += result["notes"]
    lines.append(f"{len(result['rates'])} of {result['n_steps']} steps{_tell_stop(result)}")
    return "\n".join(lines)


def render_rate_range(result: dict[str, Any]) -> str:
    """The page of a test; `result` as `find_lr.json` holds it."""
    # jinja2, which a summary does not need
    from markupsafe import Markup

    from speechkit.report.page import TEMPLATES, make_environment

    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    page = make_environment().get_template("find_lr.html")
    return page.render(
        result=result,
        style=Markup(style),  # our own file, not the user's text
        chart_of_losses=_draw(result),
        rate=format_rate,
        stop=_tell_stop(result),
        n_beyond=len(result["losses"]) - len(_drawn_losses(result)),
    )


def format_rate(rate: float | None) -> str:
    """A learning rate in two digits: more are not known.

    >>> format_rate(0.00317), format_rate(0.1), format_rate(None)
    ('3.2e-3', '0.1', 'none')
    """
    return "none" if rate is None else format_tick(float(f"{rate:.2g}"))


def _tell_stop(result: dict[str, Any]) -> str:
    if result["stopped"] is None:
        return ""
    return f", up to a rate of {format_rate(result['rates'][-1])}: {STOPS[result['stopped']]}"


def _drawn_losses(result: dict[str, Any]) -> list[tuple[float, float | None]]:
    """Over the exponent of the rate; without what would make all else look flat."""
    ceiling = math.inf if result["ceiling"] is None else result["ceiling"]
    return [
        (math.log10(rate), loss)
        for rate, loss in zip(result["rates"], result["losses"], strict=True)
        if loss is not None and loss <= ceiling
    ]


def _draw(result: dict[str, Any]) -> Chart | None:
    exponents = [math.log10(rate) for rate in result["rates"]]
    lines = [Line("loss of a batch", _drawn_losses(result))]
    if result["smoothed"]:
        lines.append(Line("smoothed", list(zip(exponents, result["smoothed"], strict=False))))
    suggestion = result["suggestion"]
    mark = None if suggestion is None else (math.log10(suggestion), f"suggested {format_rate(suggestion)}")
    chart = draw_lines("Loss", lines, x_name="learning rate", mark=mark)
    if chart is None:
        return None
    ticks = [(x, format_tick(float(f"1e{text}"))) for x, text in chart.x_ticks if text.lstrip("-").isdigit()]
    if len(ticks) < 2:  # less than two decades
        lowest, highest = (min(exponents), LEFT + 6), (max(exponents), WIDTH - RIGHT - 6)
        ticks = [(x, format_rate(10**exponent)) for exponent, x in (lowest, highest)]
    # The dots to hover would tell exponents.
    return replace(chart, x_ticks=ticks, lines=[replace(line, dots=[]) for line in chart.lines])
