"""Language models in two processes and after kills: the figures of one process, the bits of the whole run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.testing import assert_close

from .corpus import write_sentences
from .runs import Experiment, differences


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run of one process that nobody killed."""
    folder = tmp_path_factory.mktemp("sentences")
    write_sentences(folder / "corpus")
    experiment = Experiment(
        folder / "whole",
        folder / "corpus",
        overrides=("--batches_per_step", "4"),
        program="train_language_model.py",
        hparams="language_model.yaml",
    )
    experiment.run()
    return experiment


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def figures(experiment: Experiment) -> dict[str, Any]:
    """What must be equal to rounding."""
    lines = read_lines(experiment.folder / "log.jsonl")
    records = read_lines(experiment.folder / "predictions" / "test.jsonl")
    report = json.loads((experiment.folder / "report.json").read_text())
    return {
        "curve": [line["loss"] for line in lines if line["kind"] == "step"],
        "validation": [line["valid"] for line in lines if line["kind"] == "epoch"],
        "log-probabilities": [each["scores"]["log_probability"] for each in records if not each["skipped"]],
        "metrics": {name: metric["value"] for name, metric in report["metrics"].items()},
    }


def counts(experiment: Experiment) -> dict[str, Any]:
    """What must be equal."""
    records = read_lines(experiment.folder / "predictions" / "test.jsonl")
    report = json.loads((experiment.folder / "report.json").read_text())
    epochs = [line for line in read_lines(experiment.folder / "log.jsonl") if line["kind"] == "epoch"]
    return {
        "left out of training": [line["skipped"] for line in epochs],
        "left out of the test": report["skipped"],
        "ids": [(each["id"], each["skipped"], each.get("counts")) for each in records],
        "best": [line["best"] for line in epochs],
        "n": {name: metric["n"] for name, metric in report["metrics"].items()},
    }


@pytest.mark.integration
def test_two_processes_give_the_figures_of_one(whole: Experiment, tmp_path: Path) -> None:
    """Groups of 3 batches become groups of 4."""
    together = replace(whole, folder=tmp_path / "two", n_processes=2, overrides=())
    together.run()
    assert "batches_per_step is 4 in place of 3" in together.told()
    assert together.told().count("left out: ") == 2  # each once, whichever process met it
    assert counts(whole)["left out of the test"] == {"unknown symbol": 2}
    assert counts(together) == counts(whole)
    assert len(figures(whole)["log-probabilities"]) == 11
    assert_close(figures(together), figures(whole), rtol=1e-3, atol=1e-3)


@pytest.mark.integration
def test_killed_and_begun_again_it_is_the_whole_run(whole: Experiment, tmp_path: Path) -> None:
    killed = replace(whole, folder=tmp_path / "killed")
    killed.run("batch:27")
    killed.run()
    assert killed.events("resumed") == 1
    assert differences(killed.results(), whole.results()) == []


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [1, 2])
def test_many_kills(n_processes: int, whole: Experiment, tmp_path: Path) -> None:
    undisturbed = replace(whole, folder=tmp_path / "whole", n_processes=n_processes)
    undisturbed.run()
    killed = replace(undisturbed, folder=tmp_path / "killed")
    for moment in ("batch:7", "weights:2", "validation:2", "renamed:1", "test:1"):
        killed.run(moment)
    killed.run()
    assert differences(killed.results(), undisturbed.results()) == []
