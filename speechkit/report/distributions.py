"""Histograms and clouds of points as geometry for an SVG; the page's style sheet gives the colours."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechkit.report.charts import LEFT, RIGHT, TOP, WIDTH, Scale, choose_ticks, format_tick, make_scale

HEIGHT = 300  # of the view box
BASE = HEIGHT - 46  # of the area's lower edge: below it stand ticks and the axis' name
MAX_DOTS = 2000  # more hide each other, and cost bytes
FEW_DOTS = 300  # these tell their names when hovered
N_TRENDS = 10  # medians of a trend line, each of as many points


@dataclass(frozen=True)
class Area:
    """What every plot has: ticks in the view box with their texts, and the names of both axes."""

    title: str
    x_name: str
    y_name: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = BASE


@dataclass(frozen=True)
class Histogram:
    """How many values lie where, ready for the template."""

    area: Area
    bars: list[tuple[float, float, float, float, str]]  # x, y, width, height, text
    marks: list[tuple[float, str]]  # vertical lines: x, text


@dataclass(frozen=True)
class Cloud:
    """Points of several kinds, ready for the template; of many only some are drawn."""

    area: Area
    dots: list[tuple[float, float, int, str]]  # x, y, kind, text
    kinds: Sequence[str]
    trend: str  # for `<path d>`: medians of as many points each; empty for few points
    correlation: float | None
    n_points: int


def draw_histogram(
    title: str, values: np.ndarray, *, x_name: str, y_name: str, marks: Sequence[tuple[float, str]] = ()
) -> Histogram | None:
    """Values (N,) counted in bins of a round width; None where there is none.

    The width is that of Freedman and Diaconis (1981), 2 IQR / cbrt(N), but for 8 to 40 bins.
    """
    if not len(values):
        return None
    edges = np.array(choose_ticks(float(values.min()), float(values.max()), choose_n_bins(values)))
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]  # ticks are rounded
    area, x_of, y_of = lay_out(title, x_name, y_name, (edges[0], edges[-1]), (0.0, float(counts.max())))
    bars = []
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        left, right, top = x_of(low), x_of(high), y_of(float(count))
        text = f"{format_tick(low)} to {format_tick(high)}: {count:,}"
        if count:
            bars.append((left + 0.5, top, round(right - left - 1, 2), round(BASE - top, 2), text))
    return Histogram(area, bars, [(x_of(value), text) for value, text in marks])


def choose_n_bins(values: np.ndarray) -> int:
    """About how many bins a histogram of the values needs.

    >>> choose_n_bins(np.arange(1000.0)), choose_n_bins(np.array([3.0]))
    (10, 8)
    """
    low, high = np.quantile(values, [0.25, 0.75])
    width = 2 * (high - low) / len(values) ** (1 / 3)
    n_bins = (values.max() - values.min()) / width if width > 0 else 8
    return int(np.clip(math.ceil(n_bins - 1e-9), 8, 40))


def draw_cloud(
    title: str, x: np.ndarray, y: np.ndarray, kind: np.ndarray, kinds: Sequence[str], *, x_name: str,
    y_name: str, tell: Callable[[int], str],
) -> Cloud | None:  # fmt: skip
    """Points (N,) of kinds (N,), indices into `kinds`; `tell(i)` names a point. None where there is none."""
    if not len(x):
        return None
    ranges = (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))
    area, x_of, y_of = lay_out(title, x_name, y_name, *ranges)
    names = (lambda i: tell(i)) if len(x) <= FEW_DOTS else (lambda i: "")
    return Cloud(
        area=area,
        dots=[(x_of(x[i]), y_of(y[i]), int(kind[i]), names(i)) for i in thin(y)],
        kinds=kinds,
        trend="".join(f"{'L' if i else 'M'}{x_of(a):g} {y_of(b):g}" for i, (a, b) in enumerate(trend(x, y))),
        correlation=correlate(x, y),
        n_points=len(x),
    )


def correlate(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation; None where one of both does not vary.

    >>> correlate(np.arange(3.0), np.array([0.0, 2.0, 4.0])), correlate(np.arange(3.0), np.ones(3))
    (1.0, None)
    """
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 1e-12 else None


def thin(y: np.ndarray, n: int = MAX_DOTS) -> np.ndarray:
    """Indices of at most n points, evenly over the order of y: the lowest and the highest are among them.

    >>> thin(np.array([5.0, 1.0, 4.0, 2.0, 3.0]), 3).tolist()
    [0, 1, 4]
    """
    order = np.argsort(y, kind="stable")
    return np.sort(order[np.unique(np.linspace(0, len(y) - 1, min(n, len(y))).round().astype(int))])


def trend(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Medians of x and y in parts of as many points each, from low to high x; none for under 100 points."""
    n_parts = min(N_TRENDS, len(x) // 20)
    if n_parts < 5:
        return []
    parts = np.array_split(np.argsort(x, kind="stable"), n_parts)
    return [(float(np.median(x[part])), float(np.median(y[part]))) for part in parts]


def lay_out(
    title: str, x_name: str, y_name: str, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Area, Scale, Scale]:
    """The area that spans both ranges, and the scales from data to the view box."""
    x_ticks, y_ticks = choose_ticks(*x_range, 8), choose_ticks(*y_range)
    x_of = make_scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    y_of = make_scale(y_ticks[0], y_ticks[-1], BASE, TOP)
    area = Area(
        title, x_name, y_name,
        x_ticks=[(x_of(x), format_tick(x)) for x in x_ticks],
        y_ticks=[(y_of(y), format_tick(y)) for y in y_ticks],
    )  # fmt: skip
    return area, x_of, y_of
