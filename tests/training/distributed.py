"""Toy trainings in several processes that talk by gloo.

`run` starts the processes, `python -m training.distributed CASE FOLDER`; each calls the function of that name
and leaves what came out as a file.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechkit.features import GlobalNorm
from speechkit.training import Loss, Stage
from speechkit.training.processes import joined_processes

from .toy import Regression, Skip, ToyBatch, ToyData, adam, net, sgd

TESTS = Path(__file__).resolve().parents[1]


class Faked(Regression):
    """With batches of its own making, as tasks have them."""

    criterion = ("loss", "min")

    def fake_batch(self, n_utterances: int = 2) -> ToyBatch:
        return ToyData((n_utterances,)).batch(0, 0, 0)

    def compute_records(self, predictions: Any, batch: ToyBatch, stage: Stage) -> list[dict[str, Any]]:
        errors = (predictions - batch.y)[:, 0].tolist()
        ids = [f"{value:.9f}" for value in batch.x[:, 0].tolist()]
        return [
            {"id": name, "error": error, "skipped": None} for name, error in zip(ids, errors, strict=True)
        ]

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        return {"mean_error": sum(each["error"] for each in records) / len(records)}


def brain(folder: Path, kind: type[Faked] = Faked, **changed: Any) -> Faked:
    """Two epochs of 8 batches of different sizes, groups of 3."""
    usual: dict[str, Any] = {
        "modules": {"net": changed.pop("net", None) or net()},
        "optimizer": adam(),
        "train_data": ToyData((3, 5, 2, 4, 6, 2, 3, 2)),
        "valid_data": ToyData((5, 4, 2)),
        "output_folder": folder,
        "device": "cpu",
        "log_steps": 1,
        "n_epochs": 2,
        "batches_per_step": 4,
    }
    return kind(**{**usual, **changed})


def outcome(trained: Faked) -> dict[str, Any]:
    """What must not depend on the number of processes."""
    metrics, records = trained.evaluate(ToyData((3, 1, 4, 2, 2)))
    progress = trained.progress
    return {
        "weights": {name: tensor.clone() for name, tensor in trained.modules.state_dict().items()},
        "metrics": metrics,
        "records": records,
        "progress": (progress.step, progress.epoch, progress.n_nonfinite, progress.batches_per_step),
    }


def run(case: str, folder: Path, n_ranks: int, timeout: float = 120) -> list[Any]:
    """What the case returns in each process, by rank."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = os.environ | {
        "WORLD_SIZE": str(n_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path[1:]]),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "training.distributed", case, str(folder)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=open(folder / f"error-{rank}", "w"),  # noqa: SIM115
        )
        for rank in range(n_ranks)
    ]
    for rank, process in enumerate(processes):
        assert process.wait(timeout) == 0, (folder / f"error-{rank}").read_text()
    return [torch.load(folder / f"outcome-{rank}.pt", weights_only=True) for rank in range(n_ranks)]


def free_port() -> int:
    """Of this machine, for a moment at least."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Cases.


def plain(folder: Path) -> Any:
    trained = brain(folder / "run")
    trained.fit()
    return outcome(trained)


def with_everything(folder: Path) -> Any:
    """Batch norm, dropout, clipping and a group that is raised from 3 to 4 by two processes."""
    trained = brain(
        folder / "run",
        net=net(dropout=0.3, batch_norm=True),
        batches_per_step=3 if os.environ["WORLD_SIZE"] != "1" else 4,
        max_gradient_norm=0.5,
        optimizer=sgd(0.05),
    )
    trained.fit()
    return outcome(trained)


def with_accidents(folder: Path) -> Any:
    """A batch that cannot be read, a group without any, a target that is NaN."""

    def change(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        if number in (1, 4, 5):
            skipped = [Skip(f"{number}-{row}", "unreadable") for row in range(len(batch))]
            return ToyBatch(batch.x[:0], batch.y[:0], skipped, [f"batch {number} is gone"])
        return ToyBatch(batch.x, batch.y * float("nan")) if epoch == 2 and number == 3 else batch

    data = ToyData((3, 5, 2, 4, 6, 2, 3, 2, 3), change=change)
    trained = brain(folder / "run", net=net(batch_norm=True), train_data=data, batches_per_step=2)
    trained.fit()
    return outcome(trained)


class TwoHeads(Faked):
    """A loss for each of two optimizers; the second one of other weight."""

    def compute_forward(self, batch: ToyBatch, stage: Stage) -> tuple[Tensor, Tensor]:
        return self.modules["first"](batch.x), self.modules["second"](batch.x)

    def compute_objectives(
        self, predictions: tuple[Tensor, Tensor], batch: ToyBatch, stage: Stage
    ) -> dict[str, Loss]:
        losses = [(each - batch.y).square().sum() for each in predictions]
        return {"a": Loss(losses[0], len(batch)), "b": Loss(losses[1] + losses[0], 3 * len(batch))}

    def compute_records(self, predictions: Any, batch: ToyBatch, stage: Stage) -> list[dict[str, Any]]:
        return super().compute_records(predictions[0], batch, stage)

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        return {"loss": sum(abs(each["error"]) for each in records)}


def two_optimizers(folder: Path) -> Any:
    optimizer = {
        "a": {"modules": ["first"], "optimizer": sgd(0.02)},
        "b": {"modules": ["second"], "optimizer": adam(0.01)},
    }
    heads = {"first": net(), "second": net(batch_norm=True)}
    trained = brain(folder / "run", kind=TwoHeads, modules=heads, optimizer=optimizer, max_gradient_norm=1.0)
    trained.fit()
    return outcome(trained)


class Branching(nn.Module):
    """By the number of rows: one layer or another, batch norm once, twice or not at all."""

    def __init__(self) -> None:
        super().__init__()
        torch.default_generator.manual_seed(5)
        self.norm = nn.BatchNorm1d(4)
        self.few, self.many = nn.Linear(4, 1), nn.Linear(4, 1)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 2:
            return self.few(x)
        return self.many(self.norm(self.norm(x) if len(x) == 3 else x))


def branching(folder: Path) -> Any:
    """Weights and running statistics that some batches leave alone, also all those of a process."""
    data = ToyData((2, 3, 2, 4, 3, 2, 2, 2, 2, 3))
    trained = brain(folder / "run", net=Branching(), train_data=data)
    trained.fit()
    return outcome(trained)


class Normed(nn.Module):
    """Rows brought to the mean and deviation of all training rows; batch norm behind it."""

    def __init__(self, n_epochs: int = 1) -> None:
        super().__init__()
        self.norm = GlobalNorm((None, None, 4), n_epochs=n_epochs)
        self.net = net(batch_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.norm(x[:, None])[0][:, 0])


def normed(folder: Path) -> Any:
    """Statistics of a training set, of which a batch is gone and a group is not taken."""

    def change(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        if number == 5:
            return ToyBatch(batch.x[:0], batch.y[:0], [Skip("5", "unreadable")], [])
        return ToyBatch(batch.x, batch.y * float("nan")) if number == 7 else batch

    data = ToyData((3, 5, 2, 4, 6, 2, 3, 2, 4), change=change)
    trained = brain(folder / "run", net=Normed(n_epochs=2), train_data=data, batches_per_step=2, n_epochs=3)
    trained.fit()
    assert trained.modules["net"].norm.n_frames == 2 * (3 + 5 + 2 + 4 + 6 + 4)
    return outcome(trained)


def big_net() -> nn.Module:
    """Large enough for parts of it to be sharded by themselves."""
    torch.default_generator.manual_seed(3)
    layers = [nn.Linear(4, 256), nn.Tanh(), nn.Linear(256, 512), nn.Tanh(), nn.Linear(512, 1)]
    return nn.Sequential(*layers).double()


def sharded(folder: Path) -> Any:
    trained = brain(folder / "run", net=big_net(), parallel="shards", max_gradient_norm=1.0)
    weights = list(trained.modules.parameters())
    share = sum(_local_size(each) for each in weights) / sum(each.numel() for each in weights)
    trained.fit()
    found = outcome(trained)
    from speechkit.training.parallel import whole

    return {**found, "weights": whole(found["weights"]), "share": share}


def _local_size(weight: Any) -> int:
    return int(weight.to_local().numel() if hasattr(weight, "to_local") else weight.numel())


def resumed(folder: Path) -> Any:
    """Goes on in the folder of another training, which may have had other processes."""
    trained = brain(folder / "run", net=net(dropout=0.3, batch_norm=True), batches_per_step=3, n_epochs=3)
    trained.fit()
    return outcome(trained)


def stopped_early(folder: Path) -> Any:
    """As `resumed`, but only its first epoch and a bit."""
    trained = brain(
        folder / "run",
        net=net(dropout=0.3, batch_norm=True),
        batches_per_step=3,
        n_epochs=3,
        checkpoint_steps=1,
    )
    if os.environ["RANK"] == "1" or os.environ["WORLD_SIZE"] == "1":  # the signal came to one of them
        take = trained._stepper.take

        def take_and_interrupt(step: int, epoch: float, signals: list[bool]) -> Any:
            return take(step, epoch, [step == 2, *signals[1:]])

        trained._stepper.take = take_and_interrupt  # type: ignore[method-assign]
    from speechkit.training import Interrupted

    try:
        trained.fit()
    except Interrupted:
        return {"step": trained.progress.step}
    return {"step": -1}


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, target = sys.argv[1:]
    with joined_processes() as everyone:
        torch.save(globals()[name](Path(target)), Path(target) / f"outcome-{everyone.rank}.pt")
