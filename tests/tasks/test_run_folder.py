"""Whose experiment a folder holds, and what a run leaves in it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechkit import report
from speechkit.tasks.run_folder import clear_run, find_commit, measure_utterances

from .conftest import Recipe, read_lines

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together


@pytest.fixture
def trained(finished: Recipe, tmp_path: Path) -> Recipe:
    """The finished recipe with its run, copied: to be written into."""
    recipe = Recipe(tmp_path / "recipe", finished.manifests)
    shutil.copytree(finished.folder, recipe.folder)
    # The run was made in another folder: a free key, as a run that was moved.
    recipe.hparams.write_text(recipe.hparams.read_text().replace(str(finished.output), str(recipe.output)))
    return recipe


SAME = ("--n_epochs", 6)  # as the fixture `finished` ran


def last_event(recipe: Recipe, kind: str) -> dict:
    return [event for event in read_lines(recipe.output / "events.jsonl") if event["event"] == kind][-1]


def test_all_that_a_run_writes_is_valid(finished: Recipe) -> None:
    run = report.read_run(finished.output)
    assert [line["epoch"] for line in run.epochs] == [1, 2, 3, 4, 5, 6]
    assert [record["id"] for record in run.predictions["test"]] == sorted(
        record["id"] for record in run.predictions["test"]
    )
    assert len(run.predictions["test"]) == 13
    assert run.description["task"] == "classification"
    assert run.description["seed"] == 3
    assert run.description["overrides"] == {"n_epochs": "6"}
    result = report.read_json(finished.output / "report.json", "report")
    correct = sum(record["counts"]["correct"] for record in run.predictions["test"])
    assert result["metrics"]["accuracy"]["value"] == pytest.approx(100 * correct / 13)
    low, high = result["metrics"]["accuracy"]["ci95"]
    assert low <= result["metrics"]["accuracy"]["value"] <= high
    assert (finished.output / "report.html").stat().st_size > 10_000
    assert len(run.clips) == 13
    assert [event["event"] for event in run.events] == ["started", "finished"]


def test_the_tones_are_learned(finished: Recipe) -> None:
    """Otherwise the tests here would be of a model that guesses."""
    result = report.read_json(finished.output / "report.json", "report")
    assert result["metrics"]["accuracy"]["value"] >= 85


def test_the_same_again_is_quick_and_changes_no_figure(trained: Recipe, run) -> None:
    names = ("predictions/test.jsonl", "log.jsonl", "model.json", "clips/index.json")
    before = {name: (trained.output / name).read_bytes() for name in names}
    figures = report.read_json(trained.output / "report.json", "report")["metrics"]
    assert run(trained, *SAME) == 0
    assert {name: (trained.output / name).read_bytes() for name in names} == before
    assert report.read_json(trained.output / "report.json", "report")["metrics"] == figures


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--seed", "4"], "seed: 3 -> 4"),
        (["--optimizer.lr", "0.5"], "optimizer.lr: 0.03 -> 0.5"),
        (["--clip_seconds", "0.6"], "clip_seconds: 0.5 -> 0.6"),
        (["--modules.features.low_hz", "50"], "modules.features.low_hz: (absent) -> 50"),
        (["--max_gradient_norm", "1.0"], "max_gradient_norm: (absent) -> 1.0"),
    ],
)
def test_another_experiment_is_refused_with_its_differences(
    change: list[str], told: str, trained: Recipe, run, capsys
) -> None:
    before = {path: path.read_bytes() for path in trained.output.rglob("*") if path.is_file()}
    assert run(trained, *SAME, *change) == 2
    message = capsys.readouterr().err
    assert f"{trained.output} holds another experiment" in message
    assert told in message
    assert "--restart" in message
    assert len(re.findall(r" -> ", message)) == 1
    after = {path: path.read_bytes() for path in trained.output.rglob("*") if path.is_file()}
    assert after == before, "a refused run wrote something"


@pytest.mark.parametrize(
    "change",
    [["--n_workers", "1"], ["--log_steps", "1"], ["--data_folder", "elsewhere"], ["--n_epochs", "7"]],
)
def test_free_keys_may_change_and_it_is_noted(change: list[str], trained: Recipe, run) -> None:
    assert run(trained, *SAME, *change) == 0
    told = " ".join(last_event(trained, "changed")["keys"])
    assert change[0].removeprefix("--") in told
    assert change[1] in told
    last = read_lines(trained.output / "log.jsonl")[-1]
    assert last["epoch"] == (7 if "7" in change else 6)


def test_a_folder_that_was_moved_goes_on(trained: Recipe, run) -> None:
    moved = trained.output.rename(trained.folder / "moved")
    assert run(trained, *SAME, "--output_folder", moved) == 0
    assert not trained.output.exists()
    events = read_lines(moved / "events.jsonl")
    assert "resumed" in [event["event"] for event in events]


def test_the_length_is_not_free_where_a_schedule_is_made_from_it(trained: Recipe, run, capsys) -> None:
    trained.hparams.write_text(
        trained.hparams.read_text()
        + "schedule: !new:speechkit.training.OneCycle\n    n_epochs: !ref <n_epochs>\n"
    )
    assert run(trained, "--restart", "--n_epochs", 1) == 0
    capsys.readouterr()
    assert run(trained, "--n_epochs", 2) == 2
    assert "n_epochs: 1 -> 2" in capsys.readouterr().err
    assert run(trained, "--n_epochs", 1) == 0


def test_a_start_that_failed_does_not_stand_in_the_way(recipe: Recipe, run, capsys) -> None:
    recipe.change("labels: [low, middle, high]", "labels: [low, middle, hihg]")
    assert run(recipe, "--n_epochs", 1) == 2
    assert "has the label 'high', which is not among labels (did you mean 'hihg'?)" in capsys.readouterr().err
    recipe.change("labels: [low, middle, hihg]", "labels: [low, middle, high]")
    assert run(recipe, "--n_epochs", 1) == 0
    assert len(report.read_run(recipe.output).epochs) == 1


def test_restart_removes_the_run_and_nothing_else(trained: Recipe, run) -> None:
    (trained.output / "notes.txt").write_text("mine")
    (trained.output / "manifests").mkdir()
    (trained.output / "clips" / "stale.wav").write_text("old")
    assert run(trained, "--restart", "--seed", 9, "--n_epochs", 1) == 0
    assert (trained.output / "notes.txt").read_text() == "mine"
    assert (trained.output / "manifests").is_dir()
    assert not (trained.output / "clips" / "stale.wav").exists()
    assert report.read_run(trained.output).description["seed"] == 9
    assert [line["epoch"] for line in report.read_run(trained.output).epochs] == [1]


def test_restart_leaves_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "holiday.wav").write_text("mine")
    clear_run(tmp_path)
    assert (tmp_path / "clips" / "holiday.wav").read_text() == "mine"


def test_restart_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "epoch-0001").write_text("mine")
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "run.json").write_text("{}")
    (run_folder / "checkpoints").symlink_to(tmp_path / "archive")
    clear_run(run_folder)
    assert list(run_folder.iterdir()) == []
    assert (tmp_path / "archive" / "epoch-0001").read_text() == "mine"


def test_debug_is_short_apart_and_anew_each_time(trained: Recipe, run) -> None:
    before = (trained.output / "log.jsonl").read_bytes()
    assert run(trained, "--debug") == 0
    first = report.read_run(trained.output / "debug")
    assert [line["epoch"] for line in first.epochs] == [1, 2]
    assert first.description["utterances"]["n"] == 48, "those of the whole training set"
    assert max(line["step"] for line in first.steps) == 4
    assert len(first.predictions["test"]) == 10  # two batches of five
    assert run(trained, "--debug", "--optimizer.lr", "0.5") == 0
    second = report.read_run(trained.output / "debug")
    assert second.steps[0]["learning_rate"] == {"main": 0.5}
    assert (trained.output / "log.jsonl").read_bytes() == before


def test_restart_loses_nothing_to_data_that_cannot_be_prepared(trained: Recipe, run, capsys) -> None:
    """A mistyped data_folder must not cost the run that was to be begun anew."""
    (trained.folder / "prepare.py").write_text(
        "from speechkit.errors import UserError\n\n\n"
        "def prepare(data_folder):\n    raise UserError(f'nothing in {data_folder}', key='data_folder')\n"
    )
    before = {path: path.read_bytes() for path in trained.output.rglob("*") if path.is_file()}
    assert run(trained, *SAME, "--restart", "--data_folder", "nowhere") == 2
    assert "nothing in nowhere" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in trained.output.rglob("*") if path.is_file()} == before


def test_other_cuts_than_the_run_began_with_are_refused(recipe: Recipe, run, capsys) -> None:
    """The same experiment by its YAML, but a manifest that has changed between."""
    shutil.copytree(recipe.manifests, recipe.folder / "manifests", ignore=shutil.ignore_patterns("*.wav"))
    recipe = Recipe(recipe.folder, recipe.folder / "manifests").write()
    assert run(recipe, "--n_epochs", 1) == 0
    path = recipe.manifests / "train.jsonl"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    log = (recipe.output / "log.jsonl").read_bytes()
    assert run(recipe, "--n_epochs", 2) == 2
    told = capsys.readouterr().err
    assert "was trained on other cuts than the manifest holds now" in told
    assert "--restart" in told
    assert (recipe.output / "log.jsonl").read_bytes() == log
    path.write_text(whole)
    assert run(recipe, "--n_epochs", 2) == 0


def test_hparams_of_a_run_make_the_same_run(finished: Recipe, tmp_path: Path, run) -> None:
    """What stands in the run folder, overrides included, is enough to do it once more."""
    again = Recipe(tmp_path / "again", finished.manifests).write()
    again.hparams.write_text((finished.output / "hparams.yaml").read_text())
    assert run(again, "--output_folder", again.output) == 0
    for name in ("predictions/test.jsonl", "model.json"):
        assert (again.output / name).read_bytes() == (finished.output / name).read_bytes()
    weights = "checkpoints/epoch-0006/modules.safetensors"
    assert (again.output / weights).read_bytes() == (finished.output / weights).read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(recipe: Recipe, run, capsys) -> None:
    recipe.output.mkdir()
    recipe.output.chmod(0o500)
    assert run(recipe) == 2
    assert "cannot write into" in capsys.readouterr().err


@pytest.mark.parametrize("below", ["file", "file/run", "/proc/run", "/dev/null/run"])
def test_an_output_folder_that_cannot_be(below: str, recipe: Recipe, run, capsys) -> None:
    (recipe.folder / "file").write_text("text")
    assert run(recipe, "--output_folder", recipe.folder / below) == 2
    assert "output_folder: cannot write into" in capsys.readouterr().err
    assert (recipe.folder / "file").read_text() == "text"


def test_a_damaged_run_json_is_told(trained: Recipe, run, capsys) -> None:
    (trained.output / "run.json").write_text('{"schema": 1,')
    assert run(trained, *SAME) == 2
    assert "run.json:1:" in capsys.readouterr().err


def test_of_very_many_utterances_some_are_measured() -> None:
    class Many:
        def durations(self) -> np.ndarray:
            return np.arange(1_000_000) / 100_000  # 0 to 10 s, in order, as some manifests are

    assert measure_utterances(Many()) == {
        "n": 1_000_000, "seconds": pytest.approx(5e6, rel=1e-5), "longest": 10.0,
        "percentile_99": pytest.approx(9.9, abs=1e-3),
    }  # fmt: skip
    assert measure_utterances(object()) is None


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert find_commit(tmp_path) is None
    assert find_commit(tmp_path / "not there") is None
    monkeypatch.setenv("PATH", "")
    assert find_commit(tmp_path) is None


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    assert find_commit(tmp_path) is None, "no commit yet"
    (tmp_path / "train.py").write_text("1\n")
    git("add", "train.py")
    git("commit", "-qm", "first")
    assert find_commit(tmp_path) == {"hash": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "log").write_text("untracked files are no change")
    assert find_commit(tmp_path / "runs") == {"hash": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "train.py").write_text("2\n")
    assert find_commit(tmp_path) == {"hash": git("rev-parse", "HEAD"), "dirty": True}


def test_run_json_knows_what_it_was_made_with(finished: Recipe) -> None:
    import platform

    import torch

    description = json.loads((finished.output / "run.json").read_text())
    assert torch.__version__.startswith(description["versions"]["torch"])
    assert description["versions"]["python"] == platform.python_version()
    assert description["device"] == "cpu"
    assert description["recipe"] == str(finished.train)
    lengths = [cut["duration"] for cut in read_lines(finished.manifests / "train.jsonl")]
    assert description["utterances"] == {
        "n": 48,
        "seconds": pytest.approx(sum(lengths), abs=1e-3),
        "longest": pytest.approx(max(lengths), abs=1e-3),
        "percentile_99": pytest.approx(np.quantile(lengths, 0.99), abs=1e-3),
    }
