"""Promise 8: by torchrun, and nothing else changed, the run of one process; killed, it goes on exactly."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from .runs import Experiment, differences, wait_for


def summary(experiment: Experiment) -> dict[str, Any]:
    """Curves, figures and weights of a run."""
    folder = experiment.folder
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    predictions = (folder / "predictions" / "test.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in predictions[1:]]
    return {
        "curve": [line["loss"] for line in lines if line["kind"] == "step"],
        "validation": [line["valid"]["accuracy"] for line in lines if line["kind"] == "epoch"],
        "ids": [record["id"] for record in records],
        "losses": [record["scores"]["loss"] for record in records],
        "answers": [record["hypothesis"] for record in records],
        "weights": load_file(folder / "checkpoints" / "epoch-0003" / "modules.safetensors"),
    }


@pytest.mark.integration
def test_two_processes_are_one_and_survive_a_kill(experiment: Experiment, tmp_path: Path) -> None:
    """Groups of 3 batches become groups of 4; batch norm, dropout, dynamic buckets, 2 workers."""
    alone = replace(experiment, folder=tmp_path / "one", overrides=("--batches_per_step", "4"))
    alone.run()
    together = replace(experiment, folder=tmp_path / "two", n_processes=2)
    together.run()
    assert "batches_per_step is 4 in place of 3" in together.told()
    assert together.told().count("epoch   1 |") == 1  # one process speaks
    assert_same_to_rounding(summary(together), summary(alone))

    killed = replace(together, folder=tmp_path / "killed")
    killed.run("renamed:2")  # in a save, so the main process; torchrun ends the other
    killed.run()
    assert differences(killed.results(), together.results()) == []


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_and_tells_once(experiment: Experiment, tmp_path: Path) -> None:
    together = replace(experiment, folder=tmp_path / "whole", n_processes=2)
    together.run()
    stopped = replace(together, folder=tmp_path / "stopped")
    process = stopped.start()
    wait_for(lambda: list(stopped.folder.glob("checkpoints/recovery-*")), "a checkpoint within an epoch")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert stopped.told().count("the same command goes on from there") == 1, stopped.told()
    assert stopped.events("interrupted") == 1
    stopped.run()
    assert differences(stopped.results(), together.results()) == []


@pytest.mark.slow
def test_shards_are_one_and_survive_a_kill(experiment: Experiment, tmp_path: Path) -> None:
    """FSDP2 by one key."""
    alone = replace(experiment, folder=tmp_path / "one", overrides=("--batches_per_step", "4"))
    alone.run()
    together = replace(experiment, folder=tmp_path / "two", n_processes=2, overrides=("--parallel", "shards"))
    together.run()
    assert_same_to_rounding(summary(together), summary(alone))
    killed = replace(together, folder=tmp_path / "killed")
    killed.run("weights:3")
    killed.run()
    assert differences(killed.results(), together.results()) == []


def assert_same_to_rounding(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """In float32, whose roundings some twenty steps have made larger."""
    for name in ("ids", "validation", "answers"):
        assert found[name] == expected[name]
    assert_close(found["curve"], expected["curve"], rtol=1e-3, atol=1e-4)
    assert_close(found["losses"], expected["losses"], rtol=1e-3, atol=1e-3)
    assert_close(found["weights"], expected["weights"], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_more_kills_of_two_processes(experiment: Experiment, tmp_path: Path) -> None:
    together = replace(experiment, folder=tmp_path / "whole", n_processes=2)
    together.run()
    killed = replace(together, folder=tmp_path / "killed")
    for moment in ("batch:7", "weights:2", "validation:1"):
        killed.run(moment)
    killed.run()
    assert differences(killed.results(), together.results()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("--n_epochz", "3"), "no key 'n_epochz'"),
        (("--train_data.unreadable", "stop"), "cannot be used"),
    ],
)
def test_a_mistake_is_told_once_and_ends_all(
    overrides: tuple[str, ...], message: str, experiment: Experiment, corpus: Path, tmp_path: Path
) -> None:
    """One that all find, and one that only the process finds that reads the file."""
    broken = tmp_path / "corpus"
    broken.mkdir()
    for manifest in corpus.glob("*.jsonl"):
        text = manifest.read_text()
        if manifest.name == "train.jsonl":
            first = json.loads(text.splitlines()[0])
            source = first["recording"]["sources"][0]["source"]
            text = text.replace(source, str(tmp_path / "gone.wav"), 1)
        (broken / manifest.name).write_text(text)
    run = replace(experiment, n_processes=2, corpus=broken, overrides=overrides)
    process = run.start()
    assert process.wait(timeout=120) == 1  # torchrun's own code
    assert run.told().count(message) == 1, run.told()
    assert "UserError" not in run.told()
