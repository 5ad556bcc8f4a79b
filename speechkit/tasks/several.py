"""Several runs of one recipe, each in a process and a folder of its own: folds, seeds, settings."""

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from speechkit import config, report
from speechkit.errors import UserError, UserErrors
from speechkit.tasks.entry import Command
from speechkit.training.bar import say

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Member:
    """One of several runs: its name, which is also its folder's, and its overrides as on a command line."""

    name: str
    overrides: tuple[str, ...]


def run_several(command: Command, members: Sequence[Member], folder: Path, n_jobs: int = 1) -> dict[str, int]:
    """Train the members one after another, or `n_jobs` at a time, in `folder/<name>`; code of each by name.

    command: the YAML, the flags and the overrides that all share. A member that ended before, with these very
        hyperparameters, is not run again; one that was stopped goes on (unless the flags hold --restart).
    The code is 0 for a run that has ended, else what its train.py ended with: a failed run stops no other.
    With one job a run prints here, with several into `folder/<name>.txt`. Ctrl-C and SIGTERM are passed on
    to the runs, which save.

    Raises:
        UserError: a YAML without train.py; mistakes in a member's overrides, before anything runs
        KeyboardInterrupt: a signal came, and all runs have ended
    """
    train_file = config.find_train_file(command.hparams)
    if train_file is None:
        raise UserError(f"{command.hparams} has no train.py beside it or one folder above")
    schema = config.brain_schema(train_file)
    codes: dict[str, int] = {}
    waiting: list[tuple[str, list[str]]] = []
    for member in members:
        output = ["--output_folder", str(folder / member.name)]
        overrides = [*command.overrides, *member.overrides, *output]
        _refuse_mistakes(command, overrides, schema)
        if "--restart" not in command.flags and _has_ended(folder / member.name, command, overrides, schema):
            say(f"{member.name}: has ended before")
            codes[member.name] = 0
        else:
            words = [str(train_file), str(command.hparams), *overrides, *sorted(command.flags)]
            waiting.append((member.name, [sys.executable, *words]))
    folder.mkdir(parents=True, exist_ok=True)
    codes |= _run_all(waiting, folder, n_jobs)
    return {member.name: codes[member.name] for member in members}


def _refuse_mistakes(command: Command, overrides: Sequence[str], schema: config.Schema) -> None:
    trust = "--trust-config" in command.flags
    problems = config.check(command.hparams, overrides, schema=schema, trust=trust)
    mistakes = [problem for problem in problems if not problem.warning]
    if mistakes:
        raise UserErrors(UserError(each.message, place=each.place, key=each.key) for each in mistakes)


def _has_ended(folder: Path, command: Command, overrides: Sequence[str], schema: config.Schema) -> bool:
    """Whether a run of the same resolved YAML stands there, to its report.

    Of one that differs the training itself tells whether it is another experiment.
    """
    if not all((folder / name).is_file() for name in ("run.json", "events.jsonl", "report.json")):
        return False
    text = config.read(command.hparams, overrides, schema=schema).dump()
    same = report.read_json(folder / "run.json", "run")["hparams_sha256"] == _sha256(text)
    events = report.read_events(folder / "events.jsonl")
    return same and bool(events) and events[-1]["event"] == "finished"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _run_all(waiting: list[tuple[str, list[str]]], folder: Path, n_jobs: int) -> dict[str, int]:
    waiting, codes = list(waiting), {}
    running: dict[str, subprocess.Popen] = {}
    with _passing_signals_on(running) as stopped:
        while running or (waiting and not stopped):
            while waiting and len(running) < n_jobs and not stopped:
                name, words = waiting.pop(0)
                say(f"{name}: {'goes on' if (folder / name / 'checkpoints').is_dir() else 'starts'}")
                running[name] = _start(words, folder / f"{name}.txt" if n_jobs > 1 else None)
                if stopped:  # it came while the process was started, which nobody knew of yet
                    running[name].send_signal(stopped[0])
            for name, process in list(running.items()):
                if (code := process.poll()) is not None:
                    codes[name] = code
                    del running[name]
                    if code and not stopped:
                        say(f"{name}: failed, with code {code}")
            time.sleep(POLL_SECONDS)
    if stopped:
        raise KeyboardInterrupt
    return codes


def _start(words: list[str], told: Path | None) -> subprocess.Popen:
    # In a group of its own: a terminal's Ctrl-C reaches a run once, from here; the second would end its save.
    if told is None:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, process_group=0)
    with open(told, "w") as file:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, process_group=0
        )


@contextmanager
def _passing_signals_on(running: dict[str, subprocess.Popen]) -> Iterator[list[int]]:
    """Within it Ctrl-C and SIGTERM are sent on to the processes, and noted in the list."""
    noted: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        for process in list(running.values()):
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
