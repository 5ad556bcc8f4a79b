"""From one YAML to a trained model and its report."""

import json
import subprocess
from pathlib import Path

import pytest
import soundfile

from speechkit import load, report

from .conftest import Train, settings

pytestmark = pytest.mark.integration

WORDS = ["yes", "stop", "left"]
N_EPOCHS = 8


@pytest.fixture(scope="module")
def arguments(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    output = tmp_path_factory.mktemp("keywords") / "run"
    folders = ["--data_folder", str(corpus), "--output_folder", str(output)]
    return [*folders, *settings(WORDS), "--n_epochs", str(N_EPOCHS)]


@pytest.fixture(scope="module")
def finished(train: Train, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    return train(*arguments)


@pytest.fixture(scope="module")
def output(finished: "subprocess.CompletedProcess[str]", arguments: list[str]) -> Path:
    assert finished.returncode == 0, finished.stderr
    return Path(arguments[arguments.index("--output_folder") + 1])


def test_unseen_voices_are_understood(output: Path) -> None:
    result = report.read_json(output / "report.json", "report")
    accuracy = result["metrics"]["accuracy"]
    assert accuracy["n"] == 72
    assert accuracy["value"] >= 90  # chance is 33
    for name in ("ci95", "ci95_speakers"):
        low, high = accuracy[name]
        assert 0 <= low <= accuracy["value"] <= high <= 100
    assert result["skipped"] == {}


def test_the_voices_of_the_test_are_unseen(output: Path) -> None:
    speakers = {}
    for subset in ("train", "valid", "test"):
        lines = (output / "manifests" / f"{subset}.jsonl").read_text().splitlines()
        speakers[subset] = {json.loads(line)["supervisions"][0]["speaker"] for line in lines}
    assert len(speakers["test"]) == 12
    assert speakers["train"].isdisjoint(speakers["test"])
    assert speakers["train"].isdisjoint(speakers["valid"])


def test_all_files_of_the_run_are_there_and_valid(output: Path) -> None:
    run = report.read_run(output)
    assert [line["epoch"] for line in run.epochs] == list(range(1, N_EPOCHS + 1))
    losses = [line["train"]["loss"] for line in run.epochs]
    assert losses[-1] < 0.5 * losses[0]
    assert run.model["parameters"] == run.description["parameters"]
    assert run.model["multiply_adds"] > 100_000
    assert len(run.predictions["test"]) == 72
    assert {record["speaker"] for record in run.predictions["test"]} != {None}
    assert run.description["dataset"] == "SpeechCommands"
    assert run.events[-1]["event"] == "finished"
    page = (output / "report.html").read_text()
    assert len(page) > 50_000
    assert "https://" not in page.replace("https://www.w3.org", ""), "the page opens offline"


def test_the_terminal_tells_the_result_and_where_the_report_is(
    finished: "subprocess.CompletedProcess[str]", output: Path
) -> None:
    result = report.read_json(output / "report.json", "report")
    assert f"{result['metrics']['accuracy']['value']:.1f}%" in finished.stdout
    assert finished.stdout.rstrip().endswith(f"report: {output / 'report.html'}")
    assert "\r" not in finished.stderr, "a progress bar where nobody looks"
    assert len([line for line in finished.stderr.splitlines() if line.startswith("epoch")]) == N_EPOCHS


def test_once_more_is_finished_at_once(output: Path, train: Train, arguments: list[str]) -> None:
    names = ("log.jsonl", "predictions/test.jsonl", "clips/index.json", "model.json")
    before = {name: (output / name).read_bytes() for name in names}
    metrics = report.read_json(output / "report.json", "report")["metrics"]
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    assert {name: (output / name).read_bytes() for name in names} == before
    assert report.read_json(output / "report.json", "report")["metrics"] == metrics
    events = [event["event"] for event in report.read_run(output).events]
    assert events[-3:] == ["started", "resumed", "finished"]


def test_debug_takes_seconds(output: Path, train: Train, arguments: list[str]) -> None:
    done = train(*arguments, "--debug")
    assert done.returncode == 0, done.stderr
    run = report.read_run(output / "debug")
    assert [line["epoch"] for line in run.epochs] == [1, 2]
    assert run.events[-1]["time"] - run.events[0]["time"] < 20
    assert (output / "debug" / "report.html").is_file()


def test_the_trained_model_is_used(output: Path) -> None:
    model = load(output)
    for record in report.read_run(output).predictions["test"][::9]:
        samples, sample_rate = soundfile.read(record["audio"], dtype="float32")
        prediction = model.predict(samples, sample_rate)
        assert prediction.label == record["hypothesis"]
        assert prediction.probability == pytest.approx(record["scores"]["probability"], abs=1e-5)


def test_real_speech_is_understood(real_speech_commands: Path, train: Train, tmp_path: Path) -> None:
    folders = ["--data_folder", str(real_speech_commands), "--output_folder", str(tmp_path / "run")]
    done = train(*folders, *settings(["yes", "no", "stop", "go"]), "--batch_size", "16", "--n_epochs", "9")
    assert done.returncode == 0, done.stderr
    accuracy = report.read_json(tmp_path / "run" / "report.json", "report")["metrics"]["accuracy"]
    assert accuracy["n"] == 110
    assert accuracy["value"] >= 65  # chance is 25
