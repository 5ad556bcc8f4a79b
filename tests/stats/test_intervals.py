"""Intervals: do they cover, are they what other routes say, and are they honest at the edges?"""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from speechkit.stats import Interval, bootstrap_mean, bootstrap_ratio, count_pairs, student_t_quantile


def coverage(draw, truth: float, n_trials: int = 2000) -> float:
    """How often the interval of `draw(generator)` -> (numerators, denominators, groups) holds the truth."""
    generator = np.random.default_rng(7)
    hits = 0
    for trial in range(n_trials):
        numerators, denominators, groups = draw(generator)
        interval = bootstrap_ratio(numerators, denominators, groups=groups, seed=trial)
        hits += interval.low - 1e-12 <= truth <= interval.high + 1e-12
    return hits / n_trials


@pytest.mark.integration  # thousands of samples
@pytest.mark.parametrize(("n", "accuracy"), [(50, 0.8), (50, 0.95), (200, 0.98), (1000, 0.9)])
def test_intervals_of_an_accuracy_cover_at_least_what_they_say(n: int, accuracy: float) -> None:
    # Three standard errors of 2,000 trials are 1.5 points. Few errors cannot be told finely: it may be more.
    assert coverage(lambda g: (g.random(n) < accuracy, np.ones(n), None), accuracy) > 0.95 - 0.015


@pytest.mark.integration  # thousands of samples
def test_intervals_of_an_error_rate_cover_what_they_say() -> None:
    def draw(generator: np.random.Generator) -> tuple:
        n_words = generator.integers(1, 30, 100)
        return generator.binomial(n_words, generator.beta(0.5, 4.5, 100)), n_words, None

    assert 0.95 - 0.025 < coverage(draw, 0.1) < 0.95 + 0.015


@pytest.mark.integration  # thousands of samples
def test_intervals_over_speakers_cover_where_those_over_utterances_do_not() -> None:
    """Speakers differ: 30 of them with 10 utterances each tell less than 300 independent utterances."""

    def draw(generator: np.random.Generator, grouped: bool) -> tuple:
        rates = np.repeat(generator.beta(1.6, 0.4, 30), 10)
        groups = np.repeat(np.arange(30), 10).tolist()
        return generator.random(300) < rates, np.ones(300), groups if grouped else None

    assert coverage(lambda g: draw(g, True), 0.8) > 0.95 - 0.025
    assert coverage(lambda g: draw(g, False), 0.8) < 0.75


def test_ends_agree_with_scipy_bca() -> None:
    generator = np.random.default_rng(3)
    words = generator.integers(1, 20, 400)
    errors = generator.binomial(words, 0.15)
    ours = bootstrap_ratio(errors, words, n_resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (errors, words), lambda e, w, axis=-1: e.sum(axis) / w.sum(axis), paired=True, method="BCa",
        n_resamples=20_000, rng=np.random.default_rng(4),
    ).confidence_interval  # fmt: skip
    # Ours is wider by sqrt(n / (n - 1)) * t / z, 0.4% here; the rest is chance of the resamples.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_interval_of_a_mean_of_normal_numbers_is_student_t() -> None:
    values = np.random.default_rng(5).normal(10, 2, 2000)
    interval = bootstrap_mean(values, n_resamples=20_000)
    low, high = scipy.stats.t.interval(0.95, 1999, loc=values.mean(), scale=scipy.stats.sem(values))
    assert interval.value == pytest.approx(values.mean(), rel=1e-12)
    assert interval.low == pytest.approx(low, abs=0.04 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.04 * (high - low))


def test_groups_of_one_utterance_are_no_groups() -> None:
    correct = np.random.default_rng(0).random(40) < 0.8
    alone = bootstrap_ratio(correct, np.ones(40))
    assert bootstrap_ratio(correct, np.ones(40), groups=list(range(40))) == alone


def test_groups_are_summed_before_they_are_drawn() -> None:
    grouped = bootstrap_ratio([1, 0, 1, 1, 0], [1, 1, 2, 1, 1], groups=["a", "a", "b", "c", "c"])
    assert grouped == bootstrap_ratio([1, 1, 1], [2, 2, 2])
    assert grouped.n == 3


@pytest.mark.parametrize("n", [1, 2, 50, 1000])
@pytest.mark.parametrize("correct", [0, 1])
def test_all_alike_gives_the_exact_binomial_interval(n: int, correct: int) -> None:
    interval = bootstrap_ratio([correct] * n, [1] * n)
    exact = scipy.stats.binomtest(correct * n, n).proportion_ci(0.95, method="exact")
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert interval.value == correct


def test_all_alike_without_limits_tells_nothing_of_the_spread() -> None:
    for interval in (bootstrap_mean([2.5] * 30), bootstrap_ratio([3, 6], [1, 2]), bootstrap_mean([0.4])):
        assert math.isfinite(interval.value)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


@pytest.mark.parametrize(("numerators", "denominators"), [([], []), ([0, 0], [0, 0])])
def test_nothing_to_divide_by_is_no_figure(numerators: list, denominators: list) -> None:
    interval = bootstrap_ratio(numerators, denominators)
    assert math.isnan(interval.value)
    assert math.isnan(interval.low)
    assert interval.n == len(numerators)


def test_empty_references_among_others() -> None:
    interval = bootstrap_ratio([1, 0, 2, 1], [4, 0, 5, 0])
    assert interval.value == pytest.approx(4 / 9)
    assert interval.low < 4 / 9 < interval.high
    # Five empty references add nothing to what one right answer tells.
    assert bootstrap_ratio([1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]).low == bootstrap_ratio([1], [1]).low


@pytest.mark.parametrize(
    ("numerators", "denominators", "groups", "message"),
    [
        ([1, 2], [1], None, "not two equal rows"),
        ([[1]], [[1]], None, "not two equal rows"),
        ([1, math.nan], [1, 1], None, "not finite"),
        ([1, 1], [1, -1], None, "negative"),
        ([1, 1], [1, 1], ["a"], "1 groups for 2"),
    ],
)
def test_wrong_arguments_are_told(numerators, denominators, groups, message) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_ratio(numerators, denominators, groups=groups)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12),
    st.floats(0.01, 0.99),
)
def test_the_figure_lies_in_its_interval_and_the_interval_in_the_ratios(pairs, confidence) -> None:
    numerators, denominators = zip(*[(min(a, b), b) for a, b in pairs], strict=True)
    interval = bootstrap_ratio(numerators, denominators, n_resamples=50, confidence=confidence)
    if sum(denominators) == 0:
        assert math.isnan(interval.value)
        return
    assert interval.value == pytest.approx(sum(numerators) / sum(denominators))
    assert 0 <= interval.low <= interval.high <= 1


@given(st.integers(2, 60), st.integers(0, 2**31))
def test_correct_and_wrong_mirror_each_other(n: int, seed: int) -> None:
    """Accuracy and error rate are one figure seen from two sides, and so are their intervals."""
    correct = np.random.default_rng(seed).random(n) < 0.7
    right = bootstrap_ratio(correct, np.ones(n), n_resamples=4000)
    wrong = bootstrap_ratio(~correct, np.ones(n), n_resamples=4000, seed=1)
    # One unit and the noise of resampling.
    assert right.low == pytest.approx(1 - wrong.high, abs=0.02 + 1.5 / n)
    assert right.high == pytest.approx(1 - wrong.low, abs=0.02 + 1.5 / n)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_a_hundred_thousand_utterances_fit_in_memory() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    tracemalloc.start()
    interval = bootstrap_mean(values, n_resamples=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # drawn all at once they would take over 200 MB
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / math.sqrt(100_000), rel=0.3)


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 10, 100])
def test_student_t_quantiles_agree_with_scipy(degrees: int) -> None:
    for probability in (0.05, 0.5, 0.9, 0.975):
        expected = scipy.stats.t.ppf(probability, degrees)
        assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=2e-3, abs=1e-9)
    with pytest.raises(ValueError, match="more than 0"):
        student_t_quantile(0.9, 0)


def test_intervals_are_plain_values() -> None:
    interval = bootstrap_ratio([1, 0, 1], [1, 1, 1])
    assert isinstance(interval, Interval)
    assert {type(value) for value in (interval.value, interval.low, interval.high)} == {float}


def test_pairs_outside_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="'c' is not among the 2 labels"):
        count_pairs(["a"], ["c"], ["a", "b"])
    with pytest.raises(ValueError, match="zip"):
        count_pairs(["a", "b"], ["a"], ["a", "b"])
    assert count_pairs([], [], ["a", "b"]).tolist() == [[0, 0], [0, 0]]
