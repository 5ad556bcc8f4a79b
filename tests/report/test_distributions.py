"""Histograms and clouds: as numpy counts, all within the box, of many points some that stand for all."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechkit.report.distributions import MAX_DOTS, choose_n_bins, draw_cloud, draw_histogram, thin, trend

DECIBELS = st.lists(st.floats(-300, 300), min_size=1, max_size=12).map(np.array)


@example(np.array([1.0, -4e-188]))
@settings(max_examples=30)
@given(DECIBELS)
def test_every_value_is_in_one_bar_within_the_box(values: np.ndarray) -> None:
    drawn = draw_histogram("", values, x_name="", y_name="", marks=[(float(values.mean()), "mean")])
    area = drawn.area
    counts = [int(text.rsplit(": ", 1)[1].replace(",", "")) for *_, text in drawn.bars]
    assert sum(counts) == len(values)
    assert len(drawn.bars) <= 100
    for x, y, width, height, _ in drawn.bars:
        assert area.left <= x <= x + width <= area.right
        assert area.top - 0.1 <= y <= y + height <= area.bottom + 0.1
    assert area.left <= drawn.marks[0][0] <= area.right


def test_bars_are_as_high_as_counts_between_their_edges() -> None:
    values = np.random.default_rng(0).normal(10, 3, 500)
    drawn = draw_histogram("", values, x_name="dB", y_name="mixtures")
    for *_, height, text in drawn.bars:
        edges, count = text.split(": ")
        low, high = map(float, edges.split(" to "))
        assert int(count) == np.sum((values >= low) & (values < high))
        top = max(int(each.split(": ")[1]) for *_, each in drawn.bars)
        highest = max(height for *_, height, _ in drawn.bars)
        assert height == pytest.approx(highest * int(count) / top, abs=0.05)
    assert draw_histogram("", np.array([]), x_name="", y_name="") is None


def test_bins_are_those_of_freedman_and_diaconis() -> None:
    values = np.random.default_rng(1).normal(size=400)
    expected = math.ceil(np.ptp(values) / np.diff(np.histogram_bin_edges(values, "fd"))[0])
    assert abs(choose_n_bins(values) - expected) <= 1
    assert (choose_n_bins(np.full(9, 3.0)), choose_n_bins(np.r_[np.arange(99), 1e9])) == (8, 40)


@settings(max_examples=30)
@given(DECIBELS, st.integers(1, 3), st.randoms())
def test_points_lie_where_they_are(values: np.ndarray, n_kinds: int, chance) -> None:
    kind, kinds = np.array([chance.randrange(n_kinds) for _ in values]), list("abc")[:n_kinds]
    cloud = draw_cloud(
        "", values, -values, kind, kinds, x_name="", y_name="", tell=lambda i: f"<{values[i]}>"
    )  # fmt: skip
    assert [(kind, text) for _, _, kind, text in cloud.dots] == [
        (each, f"<{value}>") for each, value in zip(kind, values, strict=True)
    ]
    area = cloud.area
    assert all(area.left <= x <= area.right and area.top <= y <= area.bottom for x, y, _, _ in cloud.dots)
    places = np.array([[x, y] for x, y, _, _ in cloud.dots])
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(places[order], axis=0) >= -0.011), (
        "x rises, and so does y, which is drawn downwards"
    )


def test_of_many_points_some_are_drawn_that_stand_for_all() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0, 9, 20_000), generator.gamma(2, 3, 20_000)
    kept = thin(y)
    assert len(kept) == MAX_DOTS
    assert {int(y.argmin()), int(y.argmax())} <= set(kept)
    levels = np.linspace(0, 1, 9)
    np.testing.assert_allclose(np.quantile(y[kept], levels), np.quantile(y, levels), rtol=0.02)
    cloud = draw_cloud("", x, y, np.zeros(len(x), int), [""], x_name="", y_name="", tell=lambda i: "?" * 1000)
    assert (len(cloud.dots), cloud.n_points) == (MAX_DOTS, 20_000)
    assert not any(text for *_, text in cloud.dots)
    assert cloud.correlation == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_a_trend_joins_medians() -> None:
    x = np.random.default_rng(0).permutation(1000) / 1000.0
    points = trend(x, np.where(np.arange(1000) % 7 == 0, 1e6, 3 * x))  # outliers that a mean would follow
    assert len(points) == 10
    for number, (at, value) in enumerate(points):
        assert at == pytest.approx((number + 0.5) / 10, abs=0.001)
        assert value == pytest.approx(3 * at, abs=0.05)
    assert trend(x[:99], x[:99]) == []
