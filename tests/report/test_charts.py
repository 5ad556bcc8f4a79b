"""Geometry of curves: where a value lies, ticks that span it, spikes that stay."""

import itertools
import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechkit.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    Line,
    choose_ticks,
    draw_bars,
    draw_lines,
    draw_scatter,
    format_tick,
)

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@example(0.95, 1e-12)  # narrower than numbers of that size can be told apart
@example(1.0, 1e-9)
@given(FINITE, st.floats(0, 1e9))
def test_ticks_span_the_range_with_few_round_steps(low: float, width: float) -> None:
    ticks = choose_ticks(low, low + width)
    steps = {
        round((after - before) / (ticks[1] - ticks[0]), 3) for before, after in itertools.pairwise(ticks)
    }
    slack = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + width - slack
    assert 3 <= len(ticks) <= 9
    assert steps == {1.0}


@given(st.lists(FINITE | st.sampled_from([math.nan, math.inf, None]), min_size=1, max_size=40))
def test_every_curve_stays_in_its_box(values: list) -> None:
    chart = draw_lines("Loss", [Line("training", list(enumerate(values)))], x_name="epoch")
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        assert chart is None
        return
    numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", chart.lines[0].path)]
    assert len(numbers) == 2 * len(finite)
    assert all(LEFT <= x <= WIDTH for x in numbers[::2])
    assert all(TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1 for y in numbers[1::2])
    assert chart.n_gaps == len(values) - len(finite)


def test_a_curve_that_does_not_move_is_drawn() -> None:
    for value in (0.0, 5e-324, 3.0, -2e9):
        chart = draw_lines("Loss", [Line("", [(1, value), (2, value)])], x_name="epoch")
        heights = {y for _, y, _ in chart.lines[0].dots}
        assert len(heights) == 1
        assert TOP < heights.pop() < HEIGHT - BOTTOM


def test_numbers_near_overflow_are_gaps() -> None:
    chart = draw_lines("Loss", [Line("", [(1, 1.0), (2, 1.7e308), (3, -1.7e308)])], x_name="epoch")
    assert chart.n_gaps == 2


def test_a_value_lies_where_its_tick_is() -> None:
    chart = draw_lines("Loss", [Line("", [(1, 0.0), (2, 2.0), (3, 4.0)])], x_name="epoch", mark=(2.0, "best"))
    ticks = {text: y for y, text in chart.y_ticks}
    (_, y_first, _), (x_middle, y_middle, _), (_, y_last, _) = chart.lines[0].dots
    assert (y_first, y_middle, y_last) == (ticks["0"], ticks["2"], ticks["4"])
    assert chart.marks == [(x_middle, "best")]
    assert {text: x for x, text in chart.x_ticks}["2"] == x_middle


def test_a_gap_lifts_the_pen() -> None:
    chart = draw_lines("Loss", [Line("", [(1, 1.0), (2, math.nan), (3, 2.0), (4, 3.0)])], x_name="epoch")
    assert re.sub(r"[\d. ]", "", chart.lines[0].path) == "MML"
    assert chart.n_gaps == 1


def test_a_spike_among_ten_thousand_steps_stays() -> None:
    points = [(step, 1.0 + 0.01 * (step % 7)) for step in range(10_000)]
    points[5678] = (5678, 9.0)
    chart = draw_lines("Loss", [Line("", points)], x_name="step")
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", chart.lines[0].path)]
    assert len(heights) <= 700
    assert sorted(heights)[1] - min(heights) > 100  # the spike stands alone, far above the others


def test_bars_stack_to_their_sum() -> None:
    chart = draw_bars("Time", ("training", "validation"), [(1, (6.0, 2.0)), (2, (4.0, 0.0))], unit="s")
    first, second = [bar for bar in chart.bars if bar["x"] == chart.bars[0]["x"]]
    assert first["y"] == pytest.approx(second["y"] + second["height"], abs=0.02)
    assert first["height"] == pytest.approx(3 * second["height"], rel=0.01)
    assert second["y"] == pytest.approx({text: y for y, text in chart.y_ticks}["8"], abs=0.02)
    assert first["text"] == "epoch 1: training 6.0 s"


def test_bars_without_height_do_not_fail() -> None:
    chart = draw_bars("Time", ("training",), [(1, (0.0,))], unit="s")
    assert chart.bars[0]["height"] == 0


@given(st.floats(1e-12, 1e12) | st.just(0.0))
def test_tick_texts_are_short_and_true(value: float) -> None:
    text = format_tick(value)
    number = float(text[:-1]) * 1000 if text.endswith("k") else float(text)
    assert number == pytest.approx(value, rel=5e-3)
    assert len(text) <= 9


def test_arrows_stand_where_their_units_say() -> None:
    """Zero across is in the middle; the scales are linear, and everything is inside."""
    arrows = [((-3.0, 0.02), (4.0, 0.11), "filter 0"), ((1.0, 0.2), (1.0, 0.2), "filter 1")]
    chart = draw_scatter("Modulation", arrows, x_name="Hz", y_name="cycles/band")
    assert chart is not None
    for axis, ticks in ((0, chart.x_ticks), (1, chart.y_ticks)):
        at = {float(text): place for place, text in ticks}
        slope = (max(at.items())[1] - min(at.items())[1]) / (max(at) - min(at))
        for (start, end, _), drawn in zip(arrows, chart.arrows, strict=True):
            for value, place in ((start[axis], drawn[axis]), (end[axis], drawn[2 + axis])):
                assert place == pytest.approx(at[0.0] + slope * value, abs=0.02)
    assert dict(map(reversed, chart.x_ticks))["0"] == pytest.approx((chart.left + chart.right) / 2, abs=0.02)
    assert all(chart.left <= x <= chart.right for arrow in chart.arrows for x in (arrow[0], arrow[2]))
    assert all(chart.top <= y <= chart.bottom for arrow in chart.arrows for y in (arrow[1], arrow[3]))
    assert [arrow[4] for arrow in chart.arrows] == [
        "filter 0: -3, 0.02 at the start, now 4, 0.11", "filter 1: 1, 0.2",
    ]  # fmt: skip
    assert draw_scatter("Modulation", [], x_name="", y_name="") is None
