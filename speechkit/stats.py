"""Intervals for figures measured on a sample of utterances, and the counting under them (numpy only).

>>> interval = bootstrap_ratio([1, 1, 0, 1, 1, 1, 1, 0], [1] * 8)
>>> interval.value, interval.n
(0.75, 8)
>>> bool(interval.low < 0.75 < interval.high)
True
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

Numbers = Sequence[float] | np.ndarray
_NORMAL = NormalDist()
_CELLS_AT_ONCE = 4_000_000  # drawn numbers held in memory at once: under 100 MB with what is made of them


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that holds the true one.

    `n` counts the units that were resampled: utterances, or groups where groups were given. A figure that
    cannot be known (no units, or nothing to divide by) is NaN; so are the ends of an interval of which the
    sample tells nothing (one unit without known limits).
    """

    value: float
    low: float
    high: float
    n: int


def bootstrap_ratio(
    numerators: Numbers,
    denominators: Numbers,
    *,
    groups: Sequence[Hashable] | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of sum(numerators) / sum(denominators), such as errors over words.

    Utterances are drawn with replacement (Bisani and Ney, "Bootstrap estimates for confidence intervals in
    ASR performance evaluation", 2004); with `groups` (one label for each utterance, such as its speaker)
    whole groups are, since utterances of one speaker succeed and fail together.

    The ends are those of the bias-corrected and accelerated interval (BCa: Efron, "Better bootstrap
    confidence intervals", 1987), widened for small samples by Student's t as Hesterberg does ("What teachers
    should know about the bootstrap", 2015). With hundreds of units it holds the true value about as
    often as it says (`tests/test_stats.py` simulates it), where plain percentiles hold it too rarely; with
    fewer than some 30 groups it is rough.

    Where all units have the same ratio (everything correct), resampling says nothing: every draw is the same.
    If besides each numerator lies between 0 and its denominator, the interval is the exact one: units of any
    other kind that are less frequent than 1 - ((1 - confidence) / 2) ** (1 / n) stay unseen in n draws too
    often to be ruled out. For 0/1 counts this is the interval of Clopper and Pearson (1934). Fifty of fifty
    correct then gives 92.9% to 100%, not 100% to 100%.

    Args:
        numerators: one number an utterance, (U,).
        denominators: at least 0 each, (U,); an utterance may have 0 (an empty reference).
        confidence: in (0, 1).

    Raises:
        ValueError: lengths that differ, numbers that are not finite, a negative denominator.
    """
    units = _check_units(numerators, denominators, groups)
    bounded = bool(np.all((units[0] >= 0) & (units[0] <= units[1])))
    if groups is not None:
        units = _sum_groups(*units, groups)
    return _interval(units, bounded=bounded, n_resamples=n_resamples, confidence=confidence, seed=seed)


def bootstrap_mean(
    values: Numbers,
    *,
    groups: Sequence[Hashable] | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of numbers without known limits, such as losses; see `bootstrap_ratio`.

    >>> bootstrap_mean([3.0])
    Interval(value=3.0, low=nan, high=nan, n=1)
    """
    units = _check_units(values, np.ones(len(values)), groups)
    if groups is not None:
        units = _sum_groups(*units, groups)
    return _interval(units, bounded=False, n_resamples=n_resamples, confidence=confidence, seed=seed)


def count_pairs(rows: Sequence[str], columns: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """How often each pair of labels occurs: (len(labels), len(labels)) int64.

    Raises:
        ValueError: sequences of different length, or a label that is not among `labels`.

    >>> count_pairs(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    index = {label: position for position, label in enumerate(labels)}
    unknown = sorted((set(rows) | set(columns)) - set(index))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not among the {len(index)} labels")
    size = len(labels)
    cells = [index[row] * size + index[column] for row, column in zip(rows, columns, strict=True)]
    return np.bincount(np.array(cells, dtype=np.int64), minlength=size * size).reshape(size, size)


def _check_units(
    numerators: Numbers, denominators: Numbers, groups: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    numerators = np.asarray(numerators, dtype=np.float64)
    denominators = np.asarray(denominators, dtype=np.float64)
    if numerators.ndim != 1 or numerators.shape != denominators.shape:
        raise ValueError(
            f"numerators {numerators.shape} and denominators {denominators.shape} are not two equal rows"
        )
    if groups is not None and len(groups) != len(numerators):
        raise ValueError(f"{len(groups)} groups for {len(numerators)} utterances")
    if not (np.isfinite(numerators).all() and np.isfinite(denominators).all()):
        raise ValueError("a numerator or denominator is not finite")
    if (denominators < 0).any():
        raise ValueError("a denominator is negative")
    return numerators, denominators


def _sum_groups(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(label, len(numbers)) for label in groups], dtype=np.int64)
    n_groups = len(numbers)
    return (
        np.bincount(group, weights=numerators, minlength=n_groups),
        np.bincount(group, weights=denominators, minlength=n_groups),
    )


def _interval(
    units: tuple[np.ndarray, np.ndarray], *, bounded: bool, n_resamples: int, confidence: float, seed: int
) -> Interval:
    numerators, denominators = units
    n_units, total = len(numerators), float(denominators.sum())
    if total == 0:
        return Interval(math.nan, math.nan, math.nan, n_units)
    value = float(numerators.sum() / total)
    if np.allclose(numerators, value * denominators, rtol=1e-12, atol=0):
        n_seen = int(np.count_nonzero(denominators))
        low, high = _same_everywhere(value, n_seen, confidence) if bounded else (math.nan, math.nan)
        return Interval(value, low, high, n_units)
    ratios = np.concatenate(list(_resample(numerators, denominators, n_resamples, seed)))
    low, high = np.quantile(ratios, _bca_levels(ratios, value, numerators - value * denominators, confidence))
    return Interval(value, float(low), float(high), n_units)


def _same_everywhere(value: float, n_units: int, confidence: float) -> tuple[float, float]:
    """Ends for n units of one and the same ratio, when any unit's lies within [0, 1]."""
    unseen = 1 - ((1 - confidence) / 2) ** (1 / n_units)  # share of other units that n draws may well miss
    return value * (1 - unseen), value * (1 - unseen) + unseen


def _resample(
    numerators: np.ndarray, denominators: np.ndarray, n_resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Ratios of resampled units, in pieces that fit in memory."""
    generator = np.random.default_rng(seed)
    n_units = len(numerators)
    pairs, counts = np.unique(np.stack([numerators, denominators]), axis=1, return_counts=True)
    # Drawing n units is drawing how often each kind of unit comes: for 100,000 utterances that are right or
    # wrong two numbers a resample, not 100,000. Where units are of many kinds, drawing units is faster.
    few_kinds = 4 * len(counts) < n_units
    n_at_once = max(1, _CELLS_AT_ONCE // (len(counts) if few_kinds else n_units))
    for start in range(0, n_resamples, n_at_once):
        size = min(n_at_once, n_resamples - start)
        if few_kinds:
            drawn = generator.multinomial(n_units, counts / n_units, size=size)
            sums = pairs @ drawn.T
        else:
            chosen = generator.integers(0, n_units, size=(size, n_units), dtype=np.int32)
            sums = np.stack([numerators[chosen].sum(axis=1), denominators[chosen].sum(axis=1)])
        usable = sums[1] > 0  # a draw of empty references alone has no ratio
        yield sums[0, usable] / sums[1, usable]


def _bca_levels(ratios: np.ndarray, value: float, influence: np.ndarray, confidence: float) -> list[float]:
    """Which quantiles of the resampled ratios are the ends of the interval.

    `influence` (U,) is how a unit moves the ratio, up to a factor: numerator - value * denominator.
    """
    n_units = len(influence)
    tolerance = 1e-12 * abs(value)
    below = np.mean(ratios < value - tolerance) + 0.5 * np.mean(np.abs(ratios - value) <= tolerance)
    bias = _NORMAL.inv_cdf(float(np.clip(below, 0.5 / len(ratios), 1 - 0.5 / len(ratios))))
    acceleration = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
    widened = student_t_quantile((1 + confidence) / 2, n_units - 1) * math.sqrt(n_units / (n_units - 1))
    levels = []
    for quantile in (-widened, widened):
        shifted = bias + quantile
        scale = max(1 - acceleration * shifted, 1e-9)  # past the pole of the correction: the extreme level
        levels.append(_NORMAL.cdf(bias + shifted / scale))
    return levels


def student_t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """Quantile of Student's t; for 3 and more degrees of freedom a series (Abramowitz and Stegun, 26.7.5).

    >>> round(student_t_quantile(0.975, 10), 3)
    2.228
    """
    if degrees_of_freedom < 1:
        raise ValueError(f"{degrees_of_freedom} degrees of freedom; at least 1 is needed")
    if degrees_of_freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees_of_freedom == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z, nu = _NORMAL.inv_cdf(probability), degrees_of_freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / nu**power for power, term in enumerate(terms, start=1))
