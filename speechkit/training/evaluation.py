"""What evaluation and training note of batches, and how several processes put it together."""

from dataclasses import dataclass, field
from typing import Any

from speechkit.training.objective import Loss
from speechkit.training.processes import Processes
from speechkit.training.progress import averages


@dataclass
class News:
    """Of batches: how many utterances could not be used, by reason, and what to tell the user."""

    skipped: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def add(self, batch: Any) -> None:
        self.notices += batch.notices
        for each in batch.skipped:
            self.skipped[each.reason] = self.skipped.get(each.reason, 0) + 1

    def __bool__(self) -> bool:
        return bool(self.skipped or self.notices)


@dataclass
class Evaluation:
    """Losses, records and notices of a subset; n_batches and n_cuts are those of all processes."""

    totals: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    n_batches: int = 0
    n_cuts: int = 0

    def begin_turn(self, batch: Any) -> None:
        """Before a batch is evaluated; what could not be read of it becomes records."""
        self.n_batches += batch.turn.n_batches
        self.n_cuts += batch.turn.n_cuts
        self.notices += batch.notices
        self.records += [{"id": each.id, "skipped": each.reason} for each in batch.skipped]

    def add(self, losses: Loss | dict[str, Loss], records: list[dict[str, Any]]) -> None:
        """After it."""
        self._sum(
            {name: float(loss.total) for name, loss in _named(losses).items()},
            {name: loss.count for name, loss in _named(losses).items()},
        )
        self.records += records

    def joined(self, processes: Processes) -> "Evaluation":
        """Everybody's, the records sorted by id."""
        together = Evaluation(n_batches=self.n_batches, n_cuts=self.n_cuts)
        for each in processes.gather(self):
            together._sum(each.totals, each.counts)
            together.records += each.records
            together.notices += each.notices
        together.records.sort(key=lambda record: record["id"])
        return together

    def averages(self) -> dict[str, float]:
        """Of the losses, by name."""
        return averages(self.totals, self.counts)

    def _sum(self, totals: dict[str, float], counts: dict[str, float]) -> None:
        for sums, own in ((self.totals, totals), (self.counts, counts)):
            for name, value in own.items():
                sums[name] = sums.get(name, 0.0) + value


def _named(losses: Loss | dict[str, Loss]) -> dict[str, Loss]:
    return {"": losses} if isinstance(losses, Loss) else losses
