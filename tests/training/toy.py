"""Data in memory, models of a few weights, and a Brain for them: trains in milliseconds."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speechkit.ops.sharing import ALL, ALONE, Share, Turn, take_turns
from speechkit.training import Brain, Loss, Stage

WIDTH = 4


class Skip(NamedTuple):
    """An utterance that could not be read, as the data room has them."""

    id: str
    reason: str


@dataclass
class ToyBatch:
    """Rows x (B, 4) with targets y (B, 1)."""

    x: Tensor
    y: Tensor
    skipped: list[Skip] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    turn: Turn = ALONE

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> "ToyBatch":
        return replace(self, x=self.x.to(device), y=self.y.to(device))


class ToyData:
    """Batches of the given sizes, other ones each epoch; a linear task with noise.

    on_batch: called with (epoch, number) before a batch is handed out; may raise, as a process may die.
    change: (epoch, number, batch) -> the batch handed out instead.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (3, 5, 2, 4, 6, 1, 3),
        *,
        dtype: torch.dtype = torch.float64,
        on_batch: Callable[[int, int], None] = lambda epoch, number: None,
        change: Callable[[int, int, ToyBatch], ToyBatch] = lambda epoch, number, batch: batch,
    ) -> None:
        self.sizes, self.dtype, self.on_batch, self.change = tuple(sizes), dtype, on_batch, change

    def n_cuts(self) -> int:
        return sum(self.sizes)

    def batch(self, seed: int, epoch: int, number: int, size: int | None = None) -> ToyBatch:
        random = torch.Generator().manual_seed(1000 * seed + 100 * epoch + number)
        x = torch.randn(
            self.sizes[number] if size is None else size, WIDTH, generator=random, dtype=self.dtype
        )
        noise = torch.randn(len(x), 1, generator=random, dtype=self.dtype)
        return ToyBatch(x, x.sum(1, keepdim=True) + 0.1 * noise)

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Share = ALL) -> Iterator[ToyBatch]:
        rows = [range(number, number + size) for number, size in enumerate(self.sizes)]
        for own, turn in take_turns(rows[skip:], share):
            if own is None:
                yield replace(self.batch(seed, epoch, 0, size=0), turn=turn)
                continue
            self.on_batch(epoch, own.start)
            yield replace(self.change(epoch, own.start, self.batch(seed, epoch, own.start)), turn=turn)


class Regression(Brain):
    """Squared error summed over rows; the record of a row is its error."""

    def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
        return self.modules["net"](batch.x)

    def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
        return Loss((predictions - batch.y).square().sum(), len(batch))


class Killed(BaseException):
    """Stands for the end of the process: nothing in the toolkit may catch it and tidy up."""


def net(*, dropout: float = 0.0, batch_norm: bool = False, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The same weights each time."""
    torch.default_generator.manual_seed(11)
    norm = [nn.BatchNorm1d(8)] if batch_norm else []
    return nn.Sequential(nn.Linear(WIDTH, 8), *norm, nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1)).to(
        dtype
    )


def adam(lr: float = 0.01) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda weights: torch.optim.Adam(weights, lr=lr)


def sgd(lr: float = 0.1) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda weights: torch.optim.SGD(weights, lr=lr)


def regression(folder: Path, **changed: Any) -> Regression:
    """A Brain that differs from the usual one in what is given."""
    usual: dict[str, Any] = {
        "modules": {"net": changed.pop("net", None) or net()},
        "optimizer": adam(),
        "train_data": ToyData(),
        "valid_data": ToyData((5, 4)),
        "output_folder": folder,
        "device": "cpu",
        "log_steps": 1,
    }
    if not {"n_epochs", "n_steps"} & set(changed):
        usual["n_epochs"] = 2
    return Regression(**{**usual, **changed})


def weights_of(brain: Brain) -> dict[str, Tensor]:
    """A copy of weights and buffers."""
    return {name: tensor.clone() for name, tensor in brain.modules.state_dict().items()}


def same_bits(first: Any, second: Any) -> bool:
    """Whether two nests of tensors and plain values are equal, bit for bit."""
    if isinstance(first, Tensor):
        return first.dtype == second.dtype and torch.equal(
            first.contiguous().view(-1).view(torch.uint8), second.contiguous().view(-1).view(torch.uint8)
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_bits(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same_bits, first, second))
    return bool(first == second)


def log_of(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The lines of a log without their fields of the clock, of one kind or all."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key != "time" and not key.endswith("_seconds")}
        for line in lines
        if kind in (None, line["kind"])
    ]


def events_of(folder: Path) -> list[str]:
    lines = (folder / "events.jsonl").read_text().splitlines() if (folder / "events.jsonl").exists() else []
    return [json.loads(line)["event"] for line in lines]


def checkpoints_of(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / "checkpoints").iterdir())
