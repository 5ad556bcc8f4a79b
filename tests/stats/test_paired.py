"""Paired tests: of the right size, as powerful as theory says, and what other routes give."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from speechkit.stats import Comparison, compare_means, compare_ratios, matched_pairs

N_TRIALS = 2000
MARGIN = 0.015  # three standard errors of 2,000 trials at 5%
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # numbers of both, what they are divided by
Generator = np.random.Generator


def word_errors(generator: Generator, n: int, gain: float = 0.0) -> Pairs:
    """Errors of two recognisers that find the same utterances hard; the first has `gain` fewer a word."""
    words = generator.integers(1, 30, n)
    rates = generator.beta(0.5, 4.5, n)
    return generator.binomial(words, rates * (1 - gain / 0.1)), generator.binomial(words, rates), words


def decibels(generator: Generator, n: int, gain: float = 0.0) -> Pairs:
    """SI-SNRi of two separators, with the long tail of mixtures that one of them swaps."""
    hardness = generator.normal(10, 4, n)
    return hardness + generator.standard_t(4, n) + gain, hardness + generator.standard_t(4, n), np.ones(n)


def right_answers(generator: Generator, n: int, gain: float = 0.0) -> Pairs:
    """Two classifiers, which one clip in four tells apart."""
    chance = generator.random(n)
    one, other = chance < 0.125 + gain / 2, chance > 0.875 + gain / 2
    both = generator.random(n) < 0.8
    return np.where(one, 1, np.where(other, 0, both)), np.where(other, 1, np.where(one, 0, both)), np.ones(n)


DRAWS = {"wer": word_errors, "si_snri": decibels, "accuracy": right_answers}


def simulate(draw: Callable[[Generator, int], Pairs], n: int, seed: int = 11) -> list[Comparison]:
    generator = np.random.default_rng(seed)
    samples = (draw(generator, n) for _ in range(N_TRIALS))
    return [compare_ratios(*pairs, n_resamples=399, seed=trial) for trial, pairs in enumerate(samples)]


def share_rejected(found: list[Comparison]) -> float:
    return sum(each.p_value < 0.05 for each in found) / len(found)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_size_and_coverage_are_what_they_say(draw: Callable, n: int) -> None:
    """Two systems that do not differ: 5% are told apart, and 95% of the intervals hold 0."""
    found = simulate(draw, n)
    size = share_rejected(found)
    covered = sum(each.difference.low <= 0 <= each.difference.high for each in found) / N_TRIALS
    assert covered == 1 - size, "the interval and the p-value say the same"
    # Of 50 clips a dozen tell two classifiers apart: a count so small cannot be held at 5%, only below.
    assert (0.02 if (draw, n) == (right_answers, 50) else 0.05 - MARGIN) <= size <= 0.05 + MARGIN


def find_gain(draw: Callable, n: int) -> float:
    """The gain that is 2.8 standard errors of n utterances: by their spread, with it, in a large sample."""
    gain = 0.0
    for _ in range(4):
        first, second, sizes = draw(np.random.default_rng(0), 400_000, gain)
        value = (first - second).sum() / sizes.sum()
        gain = 2.8 * float(np.std(first - second - value * sizes) / sizes.mean()) / math.sqrt(n)
    return gain


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("draw", [decibels, word_errors])
def test_power_is_that_of_theory(draw: Callable, n: int) -> None:
    """A difference of 2.8 standard errors is found as often as Student's t, not central, says: in 80%."""
    gain = find_gain(draw, n)
    found = simulate(lambda generator, size: draw(generator, size, gain), n)
    reach = scipy.stats.t.ppf(0.975, n - 1)
    expected = scipy.stats.nct.sf(reach, n - 1, 2.8)
    true = gain if draw is decibels else -gain
    covered = sum(each.difference.low <= true <= each.difference.high for each in found) / N_TRIALS
    assert share_rejected(found) == pytest.approx(expected, abs=0.05)
    assert covered == pytest.approx(0.95, abs=MARGIN)


def test_the_interval_is_that_of_the_bootstrap_by_hand() -> None:
    """Draw by draw, by the definition: each draw's distance over its own standard error."""
    generator = np.random.default_rng(2)
    first, second, words = word_errors(generator, 80)
    found = compare_ratios(first, second, words, n_resamples=199, seed=5)
    draws = np.random.default_rng(5).integers(0, 80, size=(199, 80), dtype=np.int32)
    differences, total = first - second, words.sum()
    value = differences.sum() / total
    distances = []
    for draw in draws:
        ratio = differences[draw].sum() / words[draw].sum()
        residuals = differences[draw] - ratio * words[draw]
        distances.append(abs(ratio - value) / (residuals.std(ddof=1) * math.sqrt(80) / words[draw].sum()))
    assert np.count_nonzero(differences) >= 30, "no Student's t"
    residuals = differences - value * words
    error = residuals.std(ddof=1) * math.sqrt(80) / total
    reach = (
        sorted(distances)[-9] * error
    )  # p(t) = (1 + draws as far) / 200 < 0.05 beyond the 9th from the last
    assert found.difference.value == pytest.approx(value, rel=1e-12)
    assert (found.difference.low, found.difference.high) == pytest.approx((value - reach, value + reach))
    as_far = sum(distance >= abs(value) / error for distance in distances)
    assert found.p_value == pytest.approx((1 + as_far) / 200)


def test_few_units_that_differ_get_student_t_of_scipy() -> None:
    values = np.array([3.1, 2.0, 4.4, 3.9, 2.2, 5.0])
    baseline = np.array([2.9, 2.1, 3.1, 3.2, 2.0, 3.9])
    found = compare_means(values, baseline)
    theirs = scipy.stats.ttest_rel(values, baseline)
    interval = theirs.confidence_interval()
    assert found.p_value >= theirs.pvalue - 1e-12
    assert found.difference.low <= interval.low + 1e-12
    assert found.difference.high >= interval.high - 1e-12


def test_many_normal_differences_are_those_of_scipy() -> None:
    generator = np.random.default_rng(1)
    values, baseline = generator.normal(0.1, 1, 2000), generator.normal(0, 1, 2000)
    found, theirs = compare_means(values, baseline), scipy.stats.ttest_rel(values, baseline)
    interval = theirs.confidence_interval()
    width = interval.high - interval.low
    assert found.difference.low == pytest.approx(interval.low, abs=0.05 * width)
    assert found.difference.high == pytest.approx(interval.high, abs=0.05 * width)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.01)


@given(st.integers(0, 2**31), st.integers(2, 60), st.sampled_from([0.5, 0.9, 0.95]), st.floats(-0.5, 0.5))
def test_the_p_value_and_the_interval_agree(seed: int, n: int, confidence: float, shift: float) -> None:
    generator = np.random.default_rng(seed)
    values, zeros = generator.normal(shift, 1, n).round(1), np.zeros(n)
    found = compare_means(values, zeros, n_resamples=99, confidence=confidence)
    ends = found.difference.low, found.difference.high
    if not math.isnan(ends[0]):
        assert (found.p_value < 1 - confidence - 1e-9) == (ends[0] > 0 or ends[1] < 0)
    mirrored = compare_means(zeros, values, n_resamples=99, confidence=confidence)
    assert mirrored.p_value == pytest.approx(found.p_value, nan_ok=True)
    assert mirrored.difference.low == pytest.approx(-found.difference.high, nan_ok=True)


def test_what_both_find_hard_cancels() -> None:
    """Rates that spread over all of 0 to 1, of which one recogniser has always one error less."""
    words = np.full(60, 10)
    errors = np.random.default_rng(0).integers(1, 11, 60)
    found = compare_ratios(errors - (np.arange(60) % 2), errors, words)
    assert found.difference.value == pytest.approx(-0.05)
    assert found.difference.high < -0.03
    assert found.p_value < 0.001


def test_groups_are_summed_before_they_are_drawn() -> None:
    first, second, sizes = word_errors(np.random.default_rng(4), 100)
    groups = (np.arange(100) // 2).tolist()
    grouped = compare_ratios(first, second, sizes, groups=groups)
    summed = [each.reshape(50, 2).sum(axis=1) for each in (first, second, sizes)]
    assert grouped == compare_ratios(*summed)
    assert grouped.difference.n == 50


def test_one_speaker_who_is_better_is_no_better_recogniser() -> None:
    """200 utterances say so, but they are of two speakers."""
    first, second = np.zeros(200), np.ones(200)
    second[100:] = 0
    speakers = ["a"] * 100 + ["b"] * 100
    assert compare_ratios(first, second, np.full(200, 5)).p_value < 0.001
    assert compare_ratios(first, second, np.full(200, 5), groups=speakers).p_value > 0.05


@pytest.mark.parametrize("n", [1, 5, 6, 100])
def test_all_alike_is_an_exact_test(n: int) -> None:
    """All n right where the other is wrong: n coins alike; and none differs: what n draws may miss."""
    better = compare_ratios([1] * n, [0] * n, [1] * n)
    assert better.p_value == pytest.approx(scipy.stats.binomtest(n, n).pvalue)
    assert (better.difference.low > 0) == (better.p_value < 0.05)
    same = compare_ratios([1] * n, [1] * n, [1] * n)
    unseen = 1 - scipy.stats.binomtest(n, n).proportion_ci(0.95, method="exact").low
    assert (same.difference.low, same.difference.high) == pytest.approx((-unseen, unseen))
    assert same.p_value == 1


def test_nothing_to_compare_is_no_difference_known() -> None:
    for found in (compare_ratios([], [], []), compare_ratios([0], [0], [0]), matched_pairs([], [])):
        assert math.isnan(found.difference.value)
        assert math.isnan(found.p_value)
    assert math.isnan(compare_means([3.0], [1.0]).p_value)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (([1], [1, 2], [1]), "not two equal rows"),
        (([math.nan], [1], [1]), "not finite"),
        (([1], [1], [-1]), "negative"),
    ],
)
def test_wrong_arguments_are_told(numbers: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_ratios(*numbers)


def test_matched_pairs_are_a_paired_t_test_of_segments() -> None:
    generator = np.random.default_rng(3)
    errors, baseline = generator.integers(0, 4, 90), generator.integers(0, 5, 90)
    found, theirs = matched_pairs(errors, baseline), scipy.stats.ttest_rel(errors, baseline)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    # The paper's: the normal distribution, the same for many segments.
    normal = 2 * NormalDist().cdf(-abs(theirs.statistic))
    assert found.p_value == pytest.approx(normal, abs=0.01)
    assert matched_pairs([2] * 8, [1] * 8).p_value == pytest.approx(2**-7)
