"""Ctrl-C and SIGTERM: saved, told how to go on, and gone on from to the same bits."""

import os
import signal
import time

import pytest

from .runs import Experiment, differences, wait_for, wait_until_gone


def steps_saved(experiment: Experiment) -> int:
    """The step of the checkpoint within an epoch, 0 where there is none."""
    names = [path.name for path in experiment.folder.glob("checkpoints/recovery-*")]
    return max((int(name.split("-")[1]) for name in names), default=0)


@pytest.mark.integration
def test_saves_tells_how_to_go_on_and_goes_on(experiment: Experiment, undisturbed: dict[str, object]) -> None:
    """Ctrl-C goes to the group of processes, workers included, as a terminal sends it."""
    step = 0
    for number, send in ((signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)):
        process = experiment.start()
        wait_for(lambda step=step: steps_saved(experiment) > step, "a checkpoint within an epoch")
        send(process.pid, number)
        assert process.wait(timeout=60) == 130, experiment.told()
        wait_until_gone(process.pid)
        step = steps_saved(experiment)
        assert "the same command goes on from there" in experiment.told()
        assert "Traceback" not in experiment.told()
    experiment.run()
    assert experiment.events("interrupted") == 2
    assert differences(experiment.results(), undisturbed) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_any_moment_of_a_run(
    number: signal.Signals, experiment: Experiment, undisturbed: dict[str, object]
) -> None:
    """Sent to the whole group, as batch systems do; on a fast machine the last may come too late."""
    for start, delay in enumerate((0.1, 0.6, 1.1, 1.6), start=1):
        process = experiment.start()
        wait_for(lambda start=start: experiment.events("started") == start, "the start")
        time.sleep(delay)
        os.killpg(process.pid, number)
        # Before and after training a signal ends the process as it does any other.
        ended = process.wait(timeout=60)
        assert ended in (130, -number) or experiment.finished(), experiment.told()
        assert "Traceback" not in experiment.told()
        wait_until_gone(process.pid)
        if ended == 0:
            break
    assert start > 1, "no process was interrupted: the run is over within the first delay"
    experiment.run()
    assert differences(experiment.results(), undisturbed) == []
