"""A corpus as one meets them: what cannot be used is left out, counted and told once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechkit import report
from speechkit.ops.resample import resample
from speechkit.tasks import Classification, main

from .conftest import settings

pytestmark = pytest.mark.integration


@pytest.fixture
def bad_corpus(corpus: Path, tmp_path: Path) -> Path:
    """Two of the words with damage: in training as well as in the test."""
    folder = tmp_path / "bad"
    for name in ("yes", "stop", "_background_noise_"):
        shutil.copytree(corpus / name, folder / name)
    for name in ("testing_list.txt", "validation_list.txt"):
        shutil.copy(corpus / name, folder / name)
    for subset in ("train", "test"):
        damage(clips(folder, subset))
    with open(folder / "testing_list.txt", "a") as file:
        file.write("yes/00000000_nohash_0.wav\n")  # a clip that is not there
    return folder


def clips(folder: Path, subset: str) -> list[Path]:
    """Paths of the clips of the two words that train, or of those in the list of the test."""
    listed = {
        name: {folder / line for line in (folder / f"{name}_list.txt").read_text().split()}
        for name in ("testing", "validation")
    }
    here = {*folder.glob("yes/*.wav"), *folder.glob("stop/*.wav")}
    if subset == "test":
        return sorted(here & listed["testing"])
    return sorted(here - listed["testing"] - listed["validation"])


def damage(paths: list[Path]) -> None:
    samples, rate = soundfile.read(paths[0], dtype="float32")
    paths[0].write_text("this is no audio")
    paths[1].write_bytes(b"")
    soundfile.write(paths[2], np.zeros(0), rate)
    soundfile.write(paths[3], np.full(rate, np.nan), rate, subtype="FLOAT")
    paths[4].unlink()
    soundfile.write(paths[4].with_suffix(".flac"), samples, rate)
    content = paths[4].with_suffix(".flac").read_bytes()
    paths[4].with_suffix(".flac").write_bytes(content[: len(content) // 3])
    # From here on all can be used.
    for path in paths[5:7]:
        low = resample(torch.from_numpy(samples.copy()), rate, 8000).numpy()
        soundfile.write(path, low, 8000)
    for path in paths[7:9]:
        soundfile.write(path, np.stack([samples, 0.5 * samples], 1), rate)
    paths[9].write_bytes(paths[10].read_bytes()[:12000])  # its header promises more than comes


def run(corpus: Path, output: Path, recipe: Path, *more: str) -> int:
    folders = ["--data_folder", str(corpus), "--output_folder", str(output)]
    hparams = recipe / "hparams" / "quickstart.yaml"
    arguments = [str(hparams), *folders, *settings(["yes", "stop"]), "--n_epochs", "2", *more]
    try:
        main(Classification, str(recipe / "train.py"), arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_training_ends_and_the_report_counts_what_was_left_out(
    bad_corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    n_test = len(clips(bad_corpus, "test"))
    assert run(bad_corpus, tmp_path / "run", recipe) == 0
    result = report.read_json(tmp_path / "run" / "report.json", "report")
    assert sum(result["skipped"].values()) == 5
    assert result["skipped"]["not finite"] == 1
    assert result["metrics"]["accuracy"]["n"] == n_test + 1 - 5  # the .flac is not counted by `clips`
    assert sum(result["skipped_in_training"]["utterances"].values()) == 2 * 5  # in each of two epochs
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert len([line for line in lines if "resampled to 16000 Hz" in line]) <= 3  # once a subset
    assert len([line for line in lines if "mean of the channels is taken" in line]) <= 3
    left_out = [line for line in lines if "is left out" in line]
    assert len(left_out) == len(set(left_out)) == 10  # five of training, five of the test: each once
    warnings = [e["text"] for e in report.read_run(tmp_path / "run").events if e["event"] == "warning"]
    assert len([text for text in warnings if "is left out" in text]) == 10
    assert "skipped" in told.out


def test_one_may_ask_to_stop_instead(
    bad_corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(bad_corpus, tmp_path / "run", recipe, "--train_data.unreadable", "stop") == 2
    told = capsys.readouterr().err
    assert "cannot be used" in told
    assert "mend or remove the audio, or set unreadable: skip" in told


def test_an_unknown_word_in_a_list_is_told_with_its_line(
    bad_corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Left as it is, the clip that it means would train."""
    with open(bad_corpus / "testing_list.txt", "a") as file:
        file.write("stpo/00000000_nohash_0.wav\n")
    n_lines = len((bad_corpus / "testing_list.txt").read_text().splitlines())
    assert run(bad_corpus, tmp_path / "run", recipe) == 2
    told = capsys.readouterr().err
    assert f"testing_list.txt:{n_lines}:1: no folder 'stpo'" in told
    assert "did you mean 'stop'?" in told


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_folder_without_data(
    is_empty: bool, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if is_empty:
        (tmp_path / "data").mkdir()
    assert run(tmp_path / "data", tmp_path / "run", recipe) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path / 'data'}" in told
    assert "unpack Speech Commands there" in told


def test_a_word_that_the_data_do_not_have(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(corpus, tmp_path / "run", recipe, "--labels", "[yes, stpo]") == 2
    assert "labels: no word 'stpo'" in capsys.readouterr().err.replace('"', "'")
    assert run(corpus, tmp_path / "run", recipe, "--debug") == 0, "the failed start stands in the way"
