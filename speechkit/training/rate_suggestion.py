"""A learning rate from the losses of a range test."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

N_FIRST = 10  # steps at a rate too low to learn anything: the loss before training, and its noise
DECAY = 0.9  # of the running mean that tells divergence
BANDWIDTH = 0.4  # decades, standard deviation of the kernel that smooths the curve
N_DEVIATIONS = 5  # of the first losses, that a running mean must rise by to be called diverged
BEGUN = 0.9  # of the fall, that is left where the way down begins
N_SURE = 3.5  # of what noise makes of a fall: of curves that are nothing else 3 in 100 fall by more


@dataclass(frozen=True)
class Suggestion:
    """What a curve of losses over rates says.

    steepest: the rate at which the smoothed loss falls fastest; None where it does not fall.
    tenth: a tenth of the rate at its minimum; None too where the curve ends before its minimum.
    smoothed: the smoothed loss at each rate. ceiling: what lies above counts as that much.
    notes: what the user should know.
    """

    steepest: float | None
    tenth: float | None
    smoothed: list[float] = field(default_factory=list)
    ceiling: float = float("inf")
    notes: list[str] = field(default_factory=list)


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """The rate where the loss of a range test falls fastest.

    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3, chooses by
    eye between the rate at which the loss begins to fall and the one at which it becomes ragged. Here the
    curve is smoothed over the logarithm of the rate by local linear regression, which does not lag as a
    running mean does; losses too high to be drawn count as the `ceiling`. The answer is the same for the loss
    times a positive factor and plus a constant: decibels have no zero.

    rates: ascending, equally spaced in their logarithm. losses: as many, finite.

    >>> import numpy as np
    >>> rates = np.logspace(-7, 1, 200)
    >>> found = suggest_rate(rates, 2 - np.tanh(2 * np.log10(rates / 1e-3)) + (rates / 0.3) ** 4)
    >>> bool(0.8e-3 < found.steepest < 1.2e-3)
    True
    """
    if len(losses) < 2 * N_FIRST:
        return Suggestion(None, None, notes=[f"{len(losses)} steps are too few to tell anything"])
    x, y = np.log10(np.asarray(rates, dtype=float)), np.asarray(losses, dtype=float)
    ceiling = find_ceiling(losses)
    y = np.minimum(y, ceiling)
    smoothed, slopes = _regress(x, y)
    lowest = int(smoothed.argmin())
    n_together = 2 * np.sqrt(np.pi) * _bandwidth(x) / (x[1] - x[0])  # independent losses of as little noise
    n_first = max(N_FIRST, len(y) // 10)
    noise = float((y - smoothed).std() * np.sqrt(1 / n_first + 1 / n_together))
    told = Suggestion(None, None, smoothed.tolist(), ceiling)
    fall = float(y[:n_first].mean() - smoothed[lowest])
    if not fall > N_SURE * noise:
        told.notes.append("at no rate did the loss fall by more than its noise: take more steps")
        return told
    # Only the last way down counts: before it slopes are noise, the more so at the end of the curve.
    high = np.flatnonzero(smoothed[: lowest + 1] >= smoothed[lowest] + BEGUN * fall)
    begin = int(high[-1]) if len(high) else 0
    steepest = float(rates[begin + int(slopes[begin : lowest + 1].argmin())])
    tenth = float(rates[lowest]) / 10
    if lowest == len(y) - 1:
        told.notes.append("the loss still fell at the largest rate: try larger ones")
    return Suggestion(steepest, tenth if lowest < len(y) - 1 else None, told.smoothed, ceiling, told.notes)


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the running mean of losses, the last one newest, is above the ceiling.

    >>> has_diverged([2.0, 2.1] * 10 + [1.5] * 20), has_diverged([2.0, 2.1] * 10 + [50.0] * 3)
    (False, True)
    """
    return len(losses) > N_FIRST and _running_means(losses)[-1] > find_ceiling(losses)


def find_ceiling(losses: Sequence[float]) -> float:
    """As far above the first losses as the best running mean is below, at least 5 of their deviations.

    >>> round(find_ceiling([2.0] * 10 + [1.0] * 200), 6)
    3.0
    """
    first = np.asarray(losses[:N_FIRST], dtype=float)
    level = float(first.mean())
    fall = level - min(_running_means(losses))
    return level + max(fall, N_DEVIATIONS * float(first.std()), 1e-6 * abs(level))


def _running_means(losses: Sequence[float]) -> list[float]:
    """Exponentially weighted, without the bias of a start from zero, from the end of the first losses on."""
    mean, means = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = DECAY * mean + (1 - DECAY) * loss
        means.append(mean / (1 - DECAY**number))
    return means[N_FIRST - 1 :] or means


def _bandwidth(x: np.ndarray) -> float:
    """Of few steps two of them at least."""
    return max(BANDWIDTH, 2 * float(x[1] - x[0]))


def _regress(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At each x the value and the slope of the line that fits its neighbourhood best."""
    away = x[None] - x[:, None]
    weights = np.exp(-0.5 * (away / _bandwidth(x)) ** 2)
    weights /= weights.sum(1, keepdims=True)
    mean_x, mean_y = (weights * away).sum(1), weights @ y
    centred = away - mean_x[:, None]
    slopes = (weights * centred * (y[None] - mean_y[:, None])).sum(1) / (weights * centred**2).sum(1)
    return mean_y - slopes * mean_x, slopes
