"""Runs used again: evaluated on other voices, and fine-tuned to more labels."""

from pathlib import Path

import pytest

from speechkit import report
from speechkit.data import synthesize_speech_commands

from .conftest import Train, settings

pytestmark = pytest.mark.integration

FEW = ["yes", "stop"]
MORE = [*FEW, "_unknown_", "_silence_"]  # as 10 words become 12


@pytest.fixture(scope="module")
def trained(corpus: Path, train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two words."""
    output = tmp_path_factory.mktemp("reuse") / "few"
    folders = ["--data_folder", str(corpus), "--output_folder", str(output)]
    done = train(*folders, *settings(FEW), "--n_epochs", "6")
    assert done.returncode == 0, done.stderr
    return output


def first_accuracy(run: Path) -> float:
    """On the validation clips, after one epoch."""
    return report.read_run(run).epochs[0]["valid"]["accuracy"]


def test_other_voices_are_understood(trained: Path, run_cli, tmp_path: Path) -> None:
    names = ("checkpoints/epoch-0006/modules.safetensors", "report.json", "run.json", "manifests/test.jsonl")
    before = {name: (trained / name).read_bytes() for name in names}
    words = ("yes", "stop", "left")
    others = synthesize_speech_commands(
        tmp_path / "others", n_voices=30, words=words, noise_seconds=3.0, seed=7
    )
    done = run_cli("evaluate", trained, "--data_folder", others)
    assert done.returncode == 0, done.stderr
    folder = trained / "evaluations" / "others"
    assert done.stdout.rstrip().endswith(f"report: {folder / 'report.html'}")
    second = report.read_json(folder / "report.json", "report")
    assert second["metrics"]["accuracy"]["value"] >= 80  # chance is 50
    audio = {Path(record["audio"]).parents[1] for record in report.read_run(folder).predictions["test"]}
    assert audio == {others}
    assert {name: (trained / name).read_bytes() for name in names} == before


def test_fine_tuning_to_more_labels_begins_ahead(
    trained: Path, corpus: Path, train: Train, tmp_path: Path
) -> None:
    """After one epoch it is where training from scratch is not yet."""
    folders = ["--data_folder", str(corpus), "--manifest_folder", str(tmp_path / "manifests")]
    given = [*folders, *settings(MORE), "--n_epochs", "1", "--optimizer.lr", "0.003"]
    done = train(*given, "--output_folder", str(tmp_path / "tuned"), "--init_from", str(trained))
    assert done.returncode == 0, done.stderr
    assert "begins afresh" in done.stderr
    (event,) = [each for each in report.read_run(tmp_path / "tuned").events if each["event"] == "initialized"]
    assert len(event["other_shape"]) == 2
    assert all(shapes.endswith(" here") and "(4" in shapes for shapes in event["other_shape"].values())
    assert not event["only_here"]
    assert not event["only_there"]
    done = train(*given, "--output_folder", str(tmp_path / "scratch"))
    assert done.returncode == 0, done.stderr
    assert first_accuracy(tmp_path / "tuned") >= first_accuracy(tmp_path / "scratch") + 10
