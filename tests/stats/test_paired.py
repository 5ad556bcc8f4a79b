"""Paired tests: of the right size, as powerful as theory says, and what other routes give."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from speechkit.stats import Comparison, compare_ratios

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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize(("draw", "spread"), [(decibels, 2.0), (word_errors, None)])
def test_power_is_that_of_theory(draw: Callable, spread: float | None, n: int) -> None:
    """A difference of so many standard errors is found as often as the normal distribution says."""
    if (
        spread is None
    ):  # of the errors' difference in a sample of a million, as a share of the mean number of words
        first, second, words = draw(np.random.default_rng(0), 1_000_000, 0.0)
        spread = float(np.std(first - second) / words.mean())
    gain = 2.8 * spread / math.sqrt(n)  # 2.8 standard errors: 80% power
    draw_better = lambda generator, size: draw(generator, size, gain)  # noqa: E731
    normal = NormalDist()
    expected = normal.cdf(2.8 - normal.inv_cdf(0.975))
    found = simulate(draw_better, n)
    true = gain if draw is decibels else -gain
    covered = sum(each.difference.low <= true <= each.difference.high for each in found) / N_TRIALS
    assert share_rejected(found) == pytest.approx(expected, abs=0.05)
    assert covered == pytest.approx(0.95, abs=MARGIN)
