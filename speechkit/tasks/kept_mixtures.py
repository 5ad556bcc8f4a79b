"""Mixtures kept while a test set is separated, for the report to play: from the worst to the best."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np

# S sources, N samples
N_SPARE = 20  # kept besides: the median is only known at the end


@dataclass
class KeptMixtures:
    """The audio of a few mixtures of any number: evenly from the worst to the best, in memory of a few.

    With each that is added too much, the one goes that is farthest from the places wanted among all seen so
    far; so the worst and the best are exact, and those between near their place.

    >>> kept = KeptMixtures(3)
    >>> for number in range(1000):
    ...     kept.add(f"m{number}", float(number * 37 % 1000), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> [round(kept.scores[name], -2) for name in kept.choose()]
    [0.0, 500.0, 1000.0]
    """

    n_wanted: int
    seen: list[float] = field(default_factory=list)  # scores, sorted
    scores: dict[str, float] = field(default_factory=dict)
    parts: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # by id, 16 bit

    def add(
        self,
        name: str,
        score: float | None,
        estimates: np.ndarray,
        references: np.ndarray,
        mixture: np.ndarray,
    ) -> None:
        """A mixture (N,) with its estimates and references (S, N); one without a score is not kept."""
        if score is None or self.n_wanted < 1:
            return
        insort(self.seen, score)
        self.scores[name] = score
        signals = {"mixture": mixture}
        signals |= {f"estimate {n}": _match_level(x, mixture) for n, x in enumerate(estimates, start=1)}
        signals |= {f"reference {n}": x for n, x in enumerate(references, start=1)}
        self.parts[name] = {part: _to_16_bit(x) for part, x in signals.items()}
        if len(self.scores) > self.n_wanted + N_SPARE:
            self._forget(max(self.scores, key=lambda each: (self._distance(each), each)))

    def join(self, other: "KeptMixtures", ids: Collection[str]) -> None:
        """What another process kept, of these ids."""
        self.seen = sorted(self.seen + other.seen)
        for name in [name for name in other.scores if name in ids]:
            self.scores[name], self.parts[name] = other.scores[name], other.parts[name]

    def choose(self) -> list[str]:
        """The ids nearest to the places wanted, from the worst to the best."""
        chosen: dict[str, None] = {}
        for place in self._places():
            left = [name for name in self.scores if name not in chosen]
            if left:
                chosen[min(left, key=lambda name: (abs(self._rank(name) - place), name))] = None
        return sorted(chosen, key=lambda name: (self.scores[name], name))

    def list_parts(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """(id, part, samples) of those chosen."""
        for name in self.choose():
            for part, x in self.parts[name].items():
                yield name, part, x

    def _places(self) -> list[float]:
        return [float(place) for place in np.linspace(0, max(0, len(self.seen) - 1), self.n_wanted)]

    def _rank(self, name: str) -> float:
        score = self.scores[name]
        return (bisect_left(self.seen, score) + bisect_right(self.seen, score) - 1) / 2

    def _distance(self, name: str) -> float:
        rank = self._rank(name)
        return min(abs(rank - place) for place in self._places())

    def _forget(self, name: str) -> None:
        del self.scores[name], self.parts[name]


def _match_level(estimate: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """An estimate, whose scale means nothing, as loud as it lies in the mixture: the least-squares factor."""
    energy = float(np.vdot(estimate, estimate))
    if not np.isfinite(energy) or energy <= 0:
        return estimate
    return estimate * np.float32(abs(np.vdot(estimate, mixture)) / energy)


def _to_16_bit(x: np.ndarray) -> np.ndarray:
    scaled = np.rint(np.nan_to_num(x.astype(np.float64)) * 32767)
    return np.clip(scaled, -32768, 32767).astype(np.int16)
