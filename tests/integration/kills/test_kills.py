"""Promise 3: killed at any moment, a run ends with the bits of the run that was never killed.

Each kill is a SIGKILL of a real process (see `programs/sabotage.py` for the moments). Several may hit one
run, one after another: each process goes on from what the killed one before it left.
"""

import dataclasses
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from .runs import Experiment, differences, wait_for, wait_until_gone

IN_A_SAVE = {"weights", "state", "sync", "rename", "renamed"}

# A process saves first after 2 steps of 3 batches and has 7 steps an epoch, then 4 batches of validation.
SEQUENCES = {
    "within steps": ["batch:1", "batch:8", "step:9", "stepped:6"],
    "writing": ["weights:1", "weights:3", "state:2", "state:5"],
    "syncing": ["sync:3", "sync:9", "sync:16", "sync:1"],
    "renaming": ["rename:1", "rename:3", "renamed:2", "renamed:4"],
    "validating": ["validation:1", "validation:3", "validation:6", "epoch_written:2"],
    "pruning and testing": ["prune:2", "prune:1", "prune:5", "test:1"],
}


@pytest.mark.integration
def test_three_kills(experiment: Experiment, undisturbed: dict[str, object]) -> None:
    check_survives("three kills", experiment, ["batch:9", "rename:2", "validation:2"], undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEQUENCES)
def test_many_kills(name: str, experiment: Experiment, undisturbed: dict[str, object]) -> None:
    check_survives(name, experiment, SEQUENCES[name], undisturbed)


@pytest.mark.slow
def test_kills_by_the_clock(experiment: Experiment, undisturbed: dict[str, object]) -> None:
    """From outside, wherever the process happens to be once it has begun to train."""
    moments = random.Random(3)
    for number in range(1, 5):
        process = experiment.start()
        wait_for(lambda number=number: experiment.events("started") == number, "the start")
        time.sleep(moments.uniform(0, 3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until_gone(process.pid)
    experiment.run()
    assert differences(experiment.results(), undisturbed) == []
    record_survival("by the clock", ["a moment drawn"] * 4)


@pytest.mark.slow
def test_enough_kills_of_each_kind() -> None:
    kills = [kill.split(":")[0] for kills in SEQUENCES.values() for kill in kills]
    assert len(kills) >= 20
    assert sum(kill in IN_A_SAVE for kill in kills) >= 6
    assert set(kills) >= IN_A_SAVE
    assert kills.count("validation") >= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "kill", "noticed"),
    [("reseeding", "batch:9", "weights of epoch-0003"), ("log_cut", "rename:2", "log")],
)
def test_without_this_part_the_comparison_fails(
    part: str, kill: str, noticed: str, experiment: Experiment
) -> None:
    """The tests above can fail: with a part of the toolkit taken out, a kill leaves its mark."""
    whole = dataclasses.replace(experiment, folder=experiment.folder.with_name("whole"), without=part)
    broken = dataclasses.replace(experiment, without=part)
    whole.run()
    broken.run(kill)
    broken.run()
    assert noticed in differences(broken.results(), whole.results())


def check_survives(
    name: str, experiment: Experiment, kills: list[str], undisturbed: dict[str, object]
) -> None:
    for kill in kills:
        experiment.run(kill)
    experiment.run()
    assert differences(experiment.results(), undisturbed) == []
    record_survival(name, kills)


def record_survival(name: str, kills: list[str]) -> None:
    """For docs/benchmarks.md: a row for each run that ended with equal bits, where it is asked for."""
    if folder := os.environ.get("SPEECHKIT_RESULTS"):
        path = Path(folder) / "kills" / f"{name.replace(' ', '-')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"killed": name, "kills survived": len(kills), "moments": ", ".join(kills)}
        path.write_text(json.dumps(row, indent=1) + "\n")
