"""Intervals for figures measured on a sample of utterances (numpy only).

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

from speechkit.stats.student import student_t_quantile

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
    often as it says (`tests/stats/test_intervals.py`), where plain percentiles hold it too rarely; with
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
    units = check_units(numerators, denominators, groups)
    bounded = bool(np.all((units[0] >= 0) & (units[0] <= units[1])))
    if groups is not None:
        units = sum_groups(*units, groups)
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
    units = check_units(values, np.ones(len(values)), groups)
    if groups is not None:
        units = sum_groups(*units, groups)
    return _interval(units, bounded=False, n_resamples=n_resamples, confidence=confidence, seed=seed)


def check_units(
    numerators: Numbers, denominators: Numbers, groups: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators (U,) in float64; raises ValueError where `bootstrap_ratio` says so."""
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


def sum_groups(
    numerators: np.ndarray, denominators: np.ndarray, groups: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the utterances of each group, in the order in which groups first appear."""
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
    unseen = share_unseen(n_units, confidence)
    return value * (1 - unseen), value * (1 - unseen) + unseen


def share_unseen(n_units: int, confidence: float) -> float:
    """The share of units of another kind that n draws may well miss.

    >>> round(share_unseen(50, 0.95), 3)
    0.071
    """
    return 1 - ((1 - confidence) / 2) ** (1 / n_units)


def _resample(
    numerators: np.ndarray, denominators: np.ndarray, n_resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Ratios of resampled units, in pieces that fit in memory."""
    for sums in resample_sums(np.stack([numerators, denominators]), n_resamples, seed):
        usable = sums[1] > 0  # a draw of empty references alone has no ratio
        yield sums[0, usable] / sums[1, usable]


def resample_sums(units: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Sums over as many units (K, U), drawn with replacement: (K, N) each, in pieces that fit in memory."""
    generator = np.random.default_rng(seed)
    n_units = units.shape[1]
    kinds, counts = np.unique(units, axis=1, return_counts=True)
    # Drawing n units is drawing how often each kind of unit comes: for 100,000 utterances that are right or
    # wrong two numbers a resample, not 100,000. Where units are of many kinds, drawing units is faster.
    few_kinds = 4 * len(counts) < n_units
    n_at_once = max(1, _CELLS_AT_ONCE // (len(counts) if few_kinds else n_units))
    for start in range(0, n_resamples, n_at_once):
        size = min(n_at_once, n_resamples - start)
        if few_kinds:
            yield kinds @ generator.multinomial(n_units, counts / n_units, size=size).T
        else:
            chosen = generator.integers(0, n_units, size=(size, n_units), dtype=np.int32)
            yield np.stack([row[chosen].sum(axis=1) for row in units])


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
