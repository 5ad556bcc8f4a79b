"""Seeds, Student's t and Pareto fronts beside scipy and plain loops."""

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from speechkit.stats import compare_seeds, pareto_front, student_t_quantile, student_t_tail, summarize_seeds

DEGREES = [0.5, 1, 1.7, 2, 3, 10, 100.5, 5000]


@pytest.mark.parametrize("degrees", DEGREES)
def test_tails_and_quantiles_agree_with_scipy(degrees: float) -> None:
    for t in (0.0, 1e-4, 0.5, 2.0, 12.0, -3.0):
        assert student_t_tail(t, degrees) == pytest.approx(2 * scipy.stats.t.sf(abs(t), degrees), rel=1e-9)
    for probability in (0.0005, 0.05, 0.5, 0.9, 0.975):
        expected = scipy.stats.t.ppf(probability, degrees)
        assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert student_t_tail(math.inf, degrees) == 0


def test_no_degrees_of_freedom_are_refused() -> None:
    for degrees in (0, -1, math.nan):
        with pytest.raises(ValueError, match="more than 0"):
            student_t_quantile(0.9, degrees)


def test_seeds_have_student_t_of_scipy() -> None:
    values = [91.2, 93.0, 92.1, 90.0]
    found = summarize_seeds(values)
    low, high = scipy.stats.t.interval(0.95, 3, loc=found.mean, scale=scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.deviation == pytest.approx(scipy.stats.tstd(values))
    alone = summarize_seeds([90.0])
    assert (alone.mean, alone.n) == (90.0, 1)
    assert math.isnan(alone.deviation)
    assert math.isnan(alone.low)
    with pytest.raises(ValueError, match="no run"):
        summarize_seeds([])


@pytest.mark.filterwarnings("ignore:Precision loss")  # of scipy, where all seeds are alike
@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=5),
    st.lists(st.integers(0, 99), min_size=2, max_size=5),
)
def test_two_groups_of_seeds_have_welch_of_scipy(values: list[int], baseline: list[int]) -> None:
    found = compare_seeds(values, baseline)
    if len(set(values)) == len(set(baseline)) == 1:
        assert math.isnan(found.difference.low)
        return
    theirs = scipy.stats.ttest_ind(values, baseline, equal_var=False)
    interval = theirs.confidence_interval()
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    assert found.difference.n == len(values) + len(baseline)


def test_one_seed_a_side_tells_nothing() -> None:
    found = compare_seeds([92.0], [90.0, 91.0])
    assert found.difference.value == pytest.approx(1.5)
    assert math.isnan(found.p_value)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_what_no_other_beats(costs: list[tuple[float, float]]) -> None:
    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[0] and a[1] <= b[1] and a != b

    expected = [i for i, cost in enumerate(costs) if not any(beats(other, cost) for other in costs)]
    assert pareto_front(costs) == expected


def test_a_cost_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        pareto_front([(1, math.nan)])
