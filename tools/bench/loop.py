"""What the training loop costs over a bare one: `python tools/bench/loop.py [--rounds 15] [--steps 500]`.

Both train Linear(40,40)-ReLU-Linear(40,10) by Adam on the same in-memory batches of 16, on one thread. Bare
is what one writes by hand: zero_grad, forward, loss, backward, clip_grad_norm_, one transfer of the loss and
of isfinite(norm) to the host, step, scheduler step. Ours is the training part of `Brain.fit`, with keyed
reseeding, the JSONL log and the progress bar (drawn into a pseudo-terminal, so that it does draw). Rounds
alternate.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from speechkit.ops.sharing import ALONE, Share, Turn
from speechkit.training import Brain, Loss, OneCycle, Stage


@dataclass
class MemoryBatch:
    features: Tensor
    targets: Tensor
    turn: Turn = ALONE
    notices: tuple[str, ...] = ()
    skipped: tuple[()] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "MemoryBatch":
        return self


class MemoryBatches:
    """The same batches every epoch."""

    def __init__(self, n_batches: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.batches = [
            MemoryBatch(
                torch.randn(16, 40, generator=generator), torch.randint(10, (16,), generator=generator)
            )
            for _ in range(n_batches)
        ]

    def iterate(self, seed: int, epoch: int, skip: int, share: Share) -> Iterator[MemoryBatch]:
        return iter(self.batches[skip:])

    def n_cuts(self) -> int:
        return 16 * len(self.batches)


class BenchBrain(Brain):
    def compute_forward(self, batch: MemoryBatch, stage: Stage) -> Tensor:
        return self.modules["net"](batch.features)

    def compute_objectives(self, predictions: Tensor, batch: MemoryBatch, stage: Stage) -> Loss:
        return Loss(nn.functional.cross_entropy(predictions, batch.targets, reduction="sum"), len(batch))

    def run_epoch_of_training(self) -> None:
        """Only the training part of an epoch: validation and checkpoints are not steps."""
        self.modules.train()
        self._train_epoch(time.monotonic())
        self.progress.begin_epoch()


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 10))


def make_ours(data: MemoryBatches, folder: Path, n_rounds: int) -> BenchBrain:
    brain = BenchBrain(
        modules={"net": make_net()},
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        schedule=OneCycle(n_steps=n_rounds * len(data.batches) + 1),
        train_data=data,
        valid_data=MemoryBatches(1),
        output_folder=folder,
        n_epochs=n_rounds,
        max_gradient_norm=5.0,
        device="cpu",
    )
    brain.begin()
    return brain


def make_bare(data: MemoryBatches, n_rounds: int):
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=n_rounds * len(data.batches) + 1, cycle_momentum=False
    )

    def run() -> None:
        net.train()
        for batch in data.batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(batch.features), batch.targets)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            _, finite = torch.stack([loss.detach(), torch.isfinite(norm)]).tolist()
            if finite:
                optimizer.step()
            scheduler.step()

    return run


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """stderr into a pseudo-terminal that a thread empties, so that the bar is drawn."""
    reader, writer = os.openpty()
    threading.Thread(target=_drain, args=(reader,), daemon=True).start()
    before, sys.stderr = sys.stderr, os.fdopen(writer, "w")
    try:
        yield
    finally:
        sys.stderr = before


def _drain(handle: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(handle, 65536):
            pass


def measure(n_rounds: int, n_steps: int) -> dict:
    torch.set_num_threads(1)
    data = MemoryBatches(n_steps)
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder, terminal():
        ours = make_ours(data, Path(folder), n_rounds + 1)
        runs = {"bare": make_bare(data, n_rounds + 1), "ours": ours.run_epoch_of_training}
        for each in runs.values():
            each()  # warm-up
        for number in range(n_rounds):
            for name in sorted(runs, reverse=bool(number % 2)):
                started = time.perf_counter()
                runs[name]()
                times[name].append((time.perf_counter() - started) / n_steps)
    ratios = sorted(ours / bare for ours, bare in zip(times["ours"], times["bare"], strict=True))
    return {
        "bare_us": round(1e6 * statistics.median(times["bare"]), 1),
        "ours_us": round(1e6 * statistics.median(times["ours"]), 1),
        "overhead_percent": round(100 * (statistics.median(ratios) - 1), 1),
        "overhead_percent_quartiles": [round(100 * (ratios[len(ratios) * k // 4] - 1), 1) for k in (1, 3)],
        "rounds": n_rounds,
        "steps": n_steps,
        "torch": torch.__version__,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.steps), indent=1))
