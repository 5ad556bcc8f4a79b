"""Runs that differ in nothing but the seed: what they say together (Student's t)."""

import math
from dataclasses import dataclass
from statistics import mean, stdev

from speechkit.stats.intervals import Interval, Numbers, check_units
from speechkit.stats.paired import Comparison
from speechkit.stats.student import student_t_quantile, student_t_tail


@dataclass(frozen=True)
class Seeds:
    """Mean and deviation (of a sample, n - 1) of n runs, and the interval of the mean over all seeds.

    Of one run deviation and interval are not known: NaN.
    """

    mean: float
    deviation: float
    low: float
    high: float
    n: int


def summarize_seeds(values: Numbers, confidence: float = 0.95) -> Seeds:
    """What runs with n seeds came to, (n,); the interval is Student's t, for values that are about normal.

    It says what other seeds would give on the same test set, nothing of other utterances.

    Raises:
        ValueError: no value, or one that is not finite.

    >>> summarize_seeds([90.0, 92.0, 94.0]).mean, summarize_seeds([90.0]).n
    (92.0, 1)
    """
    numbers = _check(values)
    centre = mean(numbers)
    if len(numbers) == 1:
        return Seeds(centre, math.nan, math.nan, math.nan, 1)
    deviation = stdev(numbers)
    reach = student_t_quantile((1 + confidence) / 2, len(numbers) - 1) * deviation / math.sqrt(len(numbers))
    return Seeds(centre, deviation, centre - reach, centre + reach, len(numbers))


def compare_seeds(values: Numbers, baseline: Numbers, confidence: float = 0.95) -> Comparison:
    """Mean of some runs less that of others, not paired and of unlike deviations.

    Welch, "The generalization of 'Student's' problem when several different population variances are
    involved" (1947). `n` of the difference counts the runs of both. NaN where each side has one run, or
    none deviates.

    >>> found = compare_seeds([92.0, 93.0, 94.0], [90.0, 91.0, 91.0])
    >>> round(found.difference.value, 3), round(found.p_value, 3)
    (2.333, 0.036)
    """
    first, second = _check(values), _check(baseline)
    value, n_runs = mean(first) - mean(second), len(first) + len(second)
    if min(len(first), len(second)) < 2:
        return Comparison(Interval(value, math.nan, math.nan, n_runs), math.nan)
    parts = [stdev(each) ** 2 / len(each) for each in (first, second)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Comparison(Interval(value, math.nan, math.nan, n_runs), math.nan if value else 1.0)
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1))
    reach = student_t_quantile((1 + confidence) / 2, degrees) * error
    return Comparison(
        Interval(value, value - reach, value + reach, n_runs), student_t_tail(value / error, degrees)
    )


def _check(values: Numbers) -> list[float]:
    numbers, _ = check_units(values, [1.0] * len(values), None)
    if not len(numbers):
        raise ValueError("no run")
    return [float(number) for number in numbers]
