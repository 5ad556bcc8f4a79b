"""Curves and bars as geometry for an SVG: scales, ticks, points. The page's style sheet gives the colours."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

WIDTH, HEIGHT = 480, 260  # of the view box
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 28, 36
MAX_POINTS = 600  # more cannot be told apart at this width

Scale = Callable[[float], float]  # from data units to the view box
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A curve's points in data units; a value that is None or not finite leaves a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Drawn:
    """One curve, ready for `<path d>`, with the dots to hover."""

    name: str
    path: str
    dots: list[tuple[float, float, str]]  # x, y, text


@dataclass(frozen=True)
class Chart:
    """A chart, ready for the template."""

    title: str
    x_name: str
    unit: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Drawn] = field(default_factory=list)
    bars: list[dict] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)  # vertical lines: x, text
    n_gaps: int = 0


def draw_lines(
    title: str, lines: Sequence[Line], *, x_name: str, unit: str = "", mark: tuple[float, str] | None = None
) -> Chart | None:
    """A chart of curves; None where no curve has a point."""
    finite = [point for line in lines for point in keep_finite(line.points)]
    if not finite:
        return None
    x_low, x_high = _spread(min(x for x, _ in finite), max(x for x, _ in finite))
    y_ticks = choose_ticks(min(y for _, y in finite), max(y for _, y in finite))
    x_of = make_scale(x_low, x_high, LEFT + 6, WIDTH - RIGHT - 6)
    y_of = make_scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    return Chart(
        title=title,
        x_name=x_name,
        unit=unit,
        x_ticks=[(x_of(x), format_tick(x)) for x in _whole_ticks(x_low, x_high)],
        y_ticks=[(y_of(y), format_tick(y)) for y in y_ticks],
        lines=[_draw(line, x_of, y_of) for line in lines if keep_finite(line.points)],
        marks=[(x_of(mark[0]), mark[1])] if mark and x_low <= mark[0] <= x_high else [],
        n_gaps=sum(len(line.points) for line in lines) - len(finite),
    )


def draw_bars(
    title: str, names: Sequence[str], rows: Sequence[tuple[float, Sequence[float]]], *, unit: str
) -> Chart:
    """Stacked bars, one for each (x, parts); `names` of the parts from below."""
    highest = max(sum(parts) for _, parts in rows)
    y_ticks = choose_ticks(0.0, highest)
    slot = (WIDTH - LEFT - RIGHT) / len(rows)
    y_of = make_scale(0.0, y_ticks[-1], HEIGHT - BOTTOM, TOP)
    bars = []
    for position, (x, parts) in enumerate(rows):
        below = 0.0
        for series, part in enumerate(parts):
            top, bottom = y_of(below + part), y_of(below)
            text = f"epoch {format_tick(x)}: {names[series]} {part:.1f} {unit}"
            bars.append(
                {
                    "x": round(LEFT + slot * (position + 0.12), 2),
                    "y": top,
                    "width": round(slot * 0.76, 2),
                    "height": round(bottom - top, 2),
                    "series": series,
                    "text": text,
                }
            )
            below += part
    every = max(1, math.ceil(len(rows) / 8))
    x_ticks = [
        (round(LEFT + slot * (i + 0.5), 2), format_tick(x)) for i, (x, _) in enumerate(rows) if i % every == 0
    ]
    return Chart(
        title=title, x_name="epoch", unit=unit, x_ticks=x_ticks,
        y_ticks=[(y_of(y), format_tick(y)) for y in y_ticks], bars=bars,
        lines=[Drawn(name, "", []) for name in names],
    )  # fmt: skip


@dataclass(frozen=True)
class Scatter:
    """Points that moved, ready for the template: the area's edges, ticks, and (x0, y0, x1, y1, text) each."""

    title: str
    x_name: str
    y_name: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    arrows: list[tuple[float, float, float, float, str]]
    width: int = WIDTH
    height: int = 330
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = 330 - 46


def draw_scatter(
    title: str, arrows: Sequence[tuple[Point, Point, str]], *, x_name: str, y_name: str
) -> Scatter | None:
    """From a point to another, each with a name; x as far to the left as to the right of 0, y from 0 on.

    None where there is no point.
    """
    points = [point for start, end, _ in arrows for point in (start, end)]
    if not points:
        return None
    reach = max(abs(x) for x, _ in points)
    x_ticks = choose_ticks(-reach, reach, 8)
    y_ticks = choose_ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    empty = Scatter(title, x_name, y_name, [], [], [])
    x_of = make_scale(x_ticks[0], x_ticks[-1], empty.left, empty.right)
    y_of = make_scale(y_ticks[0], y_ticks[-1], empty.bottom, empty.top)
    return replace(
        empty,
        x_ticks=[(x_of(x), format_tick(x)) for x in x_ticks],
        y_ticks=[(y_of(y), format_tick(y)) for y in y_ticks],
        arrows=[
            (x_of(start[0]), y_of(start[1]), x_of(end[0]), y_of(end[1]), _name_arrow(start, end, name))
            for start, end, name in arrows
        ],
    )


def _name_arrow(start: Point, end: Point, name: str) -> str:
    texts = [f"{format_tick(float(f'{x:.3g}'))}, {format_tick(float(f'{y:.3g}'))}" for x, y in (start, end)]
    return f"{name}: {texts[1]}" if start == end else f"{name}: {texts[0]} at the start, now {texts[1]}"


def choose_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Round numbers that span [low, high], about n of them.

    >>> choose_ticks(0.13, 2.2)
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    """
    low, high = _spread(low, high)
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) if abs(step) > 1e-9 else i * step for i in range(first, last + 1)]


def format_tick(value: float) -> str:
    """A number as short as it can be.

    >>> format_tick(3.0), format_tick(0.25), format_tick(0.0003), format_tick(25000)
    ('3', '0.25', '3e-4', '25k')
    """
    if value == 0:
        return "0"
    if abs(value) < 1e-2 or abs(value) >= 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    if abs(value) >= 1e4:
        return f"{value / 1000:.6g}k"
    return f"{value:.6g}"


def _whole_ticks(low: float, high: float) -> list[float]:
    """Ticks within [low, high] at whole numbers: epochs and steps are counted."""
    ticks = choose_ticks(low, high, 6)
    step = float(math.ceil(ticks[1] - ticks[0] - 1e-9))
    first = math.ceil(low / step - 1e-9)
    ticks = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return ticks or [low]


def _draw(line: Line, x_of: Scale, y_of: Scale) -> Drawn:
    commands, dots, pen_down = [], [], False
    for x, y in _thin(line.points):
        if y is None or not can_draw(y):
            pen_down = False
            continue
        at = (x_of(x), y_of(y))
        commands.append(f"{'L' if pen_down else 'M'}{at[0]:g} {at[1]:g}")
        pen_down = True
        dots.append((*at, f"{line.name} {format_tick(float(f'{y:.4g}'))} at {format_tick(x)}"))
    return Drawn(line.name, "".join(commands), dots if len(dots) <= 60 else [])


def _thin(points: Sequence[tuple[float, float | None]]) -> Sequence[tuple[float, float | None]]:
    """At most MAX_POINTS points: of each stretch the least and the greatest, so that spikes stay."""
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(len(points) / (MAX_POINTS // 2))
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        stretch = keep_finite(points[start : start + size])
        if stretch:
            kept += sorted({min(stretch, key=_height), max(stretch, key=_height)})
    return kept


def make_scale(low: float, high: float, start: float, end: float) -> Scale:
    """From [low, high] in data units to [start, end] in the view box."""
    span = high - low
    return lambda value: round(start + (value - low) / span * (end - start), 2)


def _spread(low: float, high: float) -> tuple[float, float]:
    """A range of some width, where all values are the same, or nearly: ticks are told apart by rounding."""
    if high - low > max(1e-9 * max(abs(low), abs(high)), 1e-100):
        return low, high
    margin = abs(low) * 0.1 if abs(low) > 1e-90 else 1.0
    return low - margin, high + margin


def keep_finite(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """The points that can be drawn."""
    return [(x, y) for x, y in points if y is not None and can_draw(y)]


def can_draw(value: float) -> bool:
    """Whether a number is finite, and so far from overflow that ranges of it are finite too."""
    return abs(value) < 1e100


def _height(point: tuple[float, float]) -> float:
    return point[1]
