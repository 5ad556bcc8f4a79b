"""Kills of the own process at a chosen call, and parts of the toolkit taken out: all from outside of it."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import speechkit.training.brain
import speechkit.training.checkpoint as checkpoint
import speechkit.training.recorder
from speechkit.tasks import ASR, Classification, LanguageModeling
from speechkit.training import Brain, RunLog, Stage
from speechkit.training.recorder import Recorder
from speechkit.training.step import Stepper


def die() -> None:
    """The end of a process that nothing can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill_at: str) -> None:
    """Die at `<moment>:<number>`, the number of the call from 1 on; "" is never."""
    if kill_at:
        moment, number = kill_at.split(":")
        MOMENTS[moment](Countdown(int(number)))


class Countdown:
    """Counts calls; tells at which one to die."""

    def __init__(self, number: int) -> None:
        self.left = number

    def is_over(self) -> bool:
        self.left -= 1
        return self.left == 0


def before(
    owner: Any, name: str, countdown: Countdown, counts: Callable[..., bool] = lambda *_: True
) -> None:
    """Die before a call of `owner.name`, of those that count."""
    original = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        if counts(*arguments) and countdown.is_over():
            die()
        return original(*arguments, **named)

    setattr(owner, name, replaced)


def after(
    owner: Any,
    name: str,
    countdown: Countdown,
    spoil: Callable[..., None] = lambda *_: None,
    counts: Callable[..., bool] = lambda *_: True,
) -> None:
    """Die after a call of `owner.name`; `spoil` gets its arguments and undoes part of it before."""
    original = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if counts(*arguments) and countdown.is_over():
            spoil(*arguments)
            die()
        return result

    setattr(owner, name, replaced)


def in_forward(stage: Stage) -> Callable[[Countdown], None]:
    """Within the forward pass of a batch of a stage, of any task; trials before the training do not count."""

    def counts(brain: Brain, batch: Any, now: Stage) -> bool:
        return now is stage and brain.progress.batches_per_step > 0

    def plant(countdown: Countdown) -> None:
        for task in (ASR, Classification, LanguageModeling):
            before(task, "compute_forward", countdown, counts)

    return plant


def halve(thing: Any, path: Path) -> None:
    """Leave half of a file, as a write that was under way."""
    os.truncate(path, path.stat().st_size // 2)


def of_a_save(source: Path, *_: Any) -> bool:
    return Path(source).name.startswith(checkpoint.ASIDE)


def of_a_checkpoint(handle: int) -> bool:
    """Whether an open file is the log, or belongs to a checkpoint: what a save syncs."""
    path = Path(os.readlink(f"/proc/self/fd/{handle}"))
    return path.name == "log.jsonl" or "checkpoints" in path.parts


def in_prune(countdown: Countdown) -> None:
    """While an old checkpoint is removed: one of its files is gone, the others are there."""
    original = shutil.rmtree

    def replaced(folder: Path, **named: Any) -> None:
        if folder.is_dir() and countdown.is_over():
            next(folder.iterdir()).unlink()
            die()
        original(folder, **named)

    shutil.rmtree = replaced  # type: ignore[assignment]


MOMENTS: dict[str, Callable[[Countdown], None]] = {
    "batch": in_forward(Stage.TRAIN),
    "validation": in_forward(Stage.VALID),
    "test": in_forward(Stage.TEST),
    "step": lambda countdown: before(Stepper, "take", countdown),
    "stepped": lambda countdown: after(Stepper, "take", countdown),
    # In a save: the weights half written, the rest half written, before a sync (of the log, of the three
    # files, of the folder aside, of the folder of all), before and after the rename.
    "weights": lambda countdown: after(checkpoint, "save_file", countdown, halve),
    "state": lambda countdown: after(checkpoint.torch, "save", countdown, halve),
    "sync": lambda countdown: before(os, "fsync", countdown, of_a_checkpoint),
    "rename": lambda countdown: before(os, "rename", countdown, of_a_save),
    "renamed": lambda countdown: after(os, "rename", countdown, counts=of_a_save),
    "prune": in_prune,
    "epoch_written": lambda countdown: after(Recorder, "write_epoch", countdown),
}


def take_out(part: str) -> None:
    """Break the toolkit where a test must notice it; "" breaks nothing."""
    if part == "reseeding":
        speechkit.training.brain.seed_torch = lambda seed, device: None
    elif part == "log_cut":

        class UncutLog(RunLog):
            def __init__(self, path: Path, offset: int = 0) -> None:
                super().__init__(path, path.stat().st_size if path.exists() else 0)

        speechkit.training.recorder.RunLog = UncutLog  # type: ignore[misc]
    elif part:
        raise ValueError(f"there is no {part!r} to take out")
