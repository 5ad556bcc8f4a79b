"""Where a run stands: all that the loop must know to go on, in plain values."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from speechkit.errors import UserError


class Length(NamedTuple):
    """Of a training: in epochs or steps, and the epochs without gain that end it early."""

    n_epochs: int | None
    n_steps: int | None
    patience: int | None


@dataclass
class Progress:
    """Position and running sums of a run; `asdict` of it goes into every checkpoint.

    epoch: the one under way, from 1. n_batches, n_cuts: consumed of it. step: steps taken or skipped;
    first_step: those before this epoch.
    batches_per_step: of the run from its beginning on, whatever the number of processes; 0 before.
    value, best, ranking: of the criterion, the last one, the best one, the best few, each with its epoch.
    totals, counts: the epoch's losses so far. window_*: those since the last line of the log.
    """

    epoch: int = 1
    n_batches: int = 0
    n_cuts: int = 0
    step: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    window_totals: dict[str, float] = field(default_factory=dict)
    window_counts: dict[str, float] = field(default_factory=dict)
    n_nonfinite: int = 0
    n_nonfinite_in_a_row: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    value: float | None = None
    best: float | None = None
    best_epoch: int = 0
    ranking: list[list[float]] = field(default_factory=list)
    n_epochs_without_gain: int = 0
    train_seconds: float = 0.0
    finished: bool = False
    batches_per_step: int = 0
    first_step: int = 0

    def add_step(self, totals: dict[str, float], counts: dict[str, float]) -> None:
        for name, total in totals.items():
            for sums, value in ((self.totals, total), (self.window_totals, total)):
                sums[name] = sums.get(name, 0.0) + value
            for sums, value in ((self.counts, counts[name]), (self.window_counts, counts[name])):
                sums[name] = sums.get(name, 0.0) + value

    def pop_window(self) -> dict[str, float]:
        losses = averages(self.window_totals, self.window_counts)
        self.window_totals, self.window_counts = {}, {}
        return losses

    def note_criterion(self, value: float, direction: str, n_best: int) -> tuple[bool, float]:
        """Rank the epoch under way; whether it is the best so far, and its relative gain over the last one.

        A value that is no number is never best, and no gain. Of equal values the first is better.
        """
        sign = 1.0 if direction == "max" else -1.0
        finite = math.isfinite(value)
        better = finite and (self.best is None or sign * value > sign * self.best)
        gain = math.inf if finite else -math.inf
        if finite and self.value is not None:
            gain = sign * (value - self.value) / max(abs(self.value), 1e-12)
        if finite:
            self.value = value
            ranking = [*self.ranking, [value, self.epoch]]
            self.ranking = sorted(ranking, key=lambda entry: (-sign * entry[0], entry[1]))[:n_best]
        if better:
            self.best, self.best_epoch = value, self.epoch
        self.n_epochs_without_gain = 0 if better else self.n_epochs_without_gain + 1
        return better, gain

    def choose_group(self, wanted: int, n_ranks: int) -> str:
        """The batches of a step: as the run began, or as `wanted`, raised so that all processes have one.

        Returns what the user should know.
        """
        if not self.batches_per_step:
            self.batches_per_step = chosen = -(-wanted // n_ranks) * n_ranks
            told = f"batches_per_step is {chosen} in place of {wanted}, a multiple of {n_ranks} processes"
            return told if chosen != wanted else ""
        group = self.batches_per_step
        told = f"the run began with {group} batches a step, which do not keep {n_ranks} processes busy"
        return told if group % n_ranks else ""

    def is_last_epoch(self, length: Length) -> bool:
        """Whether training ends with the epoch under way."""
        by_epochs = length.n_epochs is not None and self.epoch >= length.n_epochs
        return self._has_stopped(length) or by_epochs or self.steps_are_done(length.n_steps)

    def is_over(self, length: Length) -> bool:
        """Whether no epoch is left. The length may have grown since: each end is judged anew."""
        by_epochs = length.n_epochs is not None and self.epoch > length.n_epochs
        by_steps = self.finished and self.steps_are_done(length.n_steps)
        return self._has_stopped(length) or by_epochs or by_steps

    def steps_are_done(self, n_steps: int | None) -> bool:
        return n_steps is not None and self.step >= n_steps

    def _has_stopped(self, length: Length) -> bool:
        return length.patience is not None and self.n_epochs_without_gain >= length.patience

    def average_epoch(self, n_steps: int | None) -> dict[str, float]:
        """Mean losses of the epoch's training; an error where no batch had anything to learn from."""
        if self.step == self.first_step and not self.steps_are_done(n_steps):
            found = f"no step was taken in epoch {self.epoch}: nothing could be learned from any of it"
            raise UserError(found, do="look at what was left out, and why", key="train_data")
        return averages(self.totals, self.counts)

    def begin_epoch(self) -> None:
        self.epoch += 1
        self.first_step = self.step
        self.n_batches = self.n_cuts = self.n_nonfinite = 0
        self.totals, self.counts, self.skipped = {}, {}, {}
        self.train_seconds = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


def averages(totals: dict[str, float], counts: dict[str, float]) -> dict[str, float]:
    """`{"loss": x}`, or `{"loss_generator": x, ...}` where losses have names.

    >>> averages({"": 6.0}, {"": 3})
    {'loss': 2.0}
    """
    return {
        f"loss_{name}" if name else "loss": total / counts[name] if counts[name] else math.nan
        for name, total in totals.items()
    }
