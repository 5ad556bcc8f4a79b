"""The tasks, the splits and the download of Speech Commands, by the recipe's prepare()."""

import importlib.util
import io
import logging
import socket
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from lhotse.cut import Cut

from speechkit.data import read_cuts, speech_commands_labels
from speechkit.errors import UserError

LABELS = ["yes", "no", "_unknown_", "_silence_"]
WORDS = ("yes", "no", "cat", "bed", "dog")
SPEAKERS = {"train": ("a0", "a1", "a2"), "valid": ("b0", "b1"), "test": ("c0", "c1")}


@pytest.fixture(scope="module")
def recipe(project: Path) -> ModuleType:
    path = project / "recipes" / "SpeechCommands" / "prepare.py"
    spec = importlib.util.spec_from_file_location("speech_commands_prepare", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_corpus(folder: Path, seconds: float = 10.0) -> Path:
    """Two words and three others by seven speakers, and two noises."""
    for word in WORDS:
        (folder / word).mkdir(parents=True)
        for speaker in sum(SPEAKERS.values(), ()):
            soundfile.write(folder / word / f"{speaker}_nohash_0.wav", np.full(16000, 0.1), 16000)
    (folder / "_background_noise_").mkdir()
    for name in ("hum", "tap"):
        soundfile.write(
            folder / "_background_noise_" / f"{name}.wav", np.full(round(seconds * 16000), 0.1), 16000
        )
    for name, subset in (("validation_list.txt", "valid"), ("testing_list.txt", "test")):
        lines = [f"{word}/{speaker}_nohash_0.wav\n" for word in WORDS for speaker in SPEAKERS[subset]]
        (folder / name).write_text("".join(lines))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "speech_commands_v0.02")


def read(folder: Path) -> dict[str, list[Cut]]:
    return {path.stem: list(read_cuts(path)) for path in sorted(folder.glob("*.jsonl"))}


def texts(cuts: list[Cut]) -> list[str]:
    return [cut.supervisions[0].text for cut in cuts]


def test_unknown_and_silence_are_as_many_as_a_word(recipe, data, tmp_path) -> None:
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    cuts = read(tmp_path / "out")
    for subset, speakers in SPEAKERS.items():
        n = len(speakers)
        assert texts(cuts[subset]) == [label for label in LABELS for _ in range(n)]
        unknown = cuts[subset][2 * n : 3 * n]
        assert {cut.id.split("/")[0] for cut in unknown} <= {"cat", "bed", "dog"}
        assert {cut.supervisions[0].speaker for cut in unknown} <= set(speakers)
        assert len({cut.id for cut in cuts[subset]}) == 4 * n
    # Noise to mix with ends where the silence of validation begins.
    assert [(cut.start, cut.end) for cut in cuts["noise"]] == [(0, 6), (0, 6)]
    assert all(cut.end <= 6 for cut in cuts["train"] if cut.id.startswith("_silence_"))
    recipe.prepare(str(data), str(tmp_path / "again"), labels=LABELS)
    assert read(tmp_path / "again") == cuts
    recipe.prepare(str(data), str(tmp_path / "other"), labels=LABELS, data_seed=1)
    other = read(tmp_path / "other")
    assert other["train"] != cuts["train"]
    assert other["train"][:6] == cuts["train"][:6]  # the words are the same


def test_the_official_archive_has_its_own_unknown_and_silence(recipe, data, tmp_path) -> None:
    archive = data.with_name("speech_commands_test_set_v0.02")
    for name in ("_unknown_/bed_ffff0000_nohash_3.wav", "_silence_/hum_12.wav", "_silence_/tap_7.wav"):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(archive / name, np.zeros(16000), 16000)
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    cuts = read(tmp_path / "out")
    made = [(cut.id, cut.supervisions[0].text, cut.supervisions[0].speaker) for cut in cuts["test"][4:]]
    assert made == [
        ("_unknown_/bed_ffff0000_nohash_3", "_unknown_", "ffff0000"),
        ("_silence_/hum_12", "_silence_", "hum_12"),
        ("_silence_/tap_7", "_silence_", "tap_7"),
    ]
    assert texts(cuts["valid"]) == ["yes"] * 2 + ["no"] * 2 + ["_unknown_"] * 2 + ["_silence_"] * 2
    soundfile.write(archive / "_silence_" / "new.wav", np.zeros(16000), 16000)
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert len(read(tmp_path / "out")["test"]) == 8
    recipe.prepare(str(data), str(tmp_path / "random"), labels=["yes", "no", "_unknown_"], split="random")
    assert not any(cut.id.startswith("_") for cut in read(tmp_path / "random")["test"])


def test_a_random_split_shares_clips_out_and_needs_no_lists(recipe, data, tmp_path) -> None:
    for name in ("validation_list.txt", "testing_list.txt"):
        (data / name).unlink()
    recipe.prepare(str(data), str(tmp_path / "out"), labels=list(WORDS), split="random")
    cuts = read(tmp_path / "out")
    ids = [cut.id for subset in SPEAKERS for cut in cuts[subset]]
    assert len(ids) == len(set(ids)) == 35
    assert {cut.end for cut in cuts["noise"]} == {10}
    soundfile.write(data / "yes" / "new_nohash_0.wav", np.zeros(16000), 16000)
    recipe.prepare(str(data), str(tmp_path / "out"), labels=list(WORDS), split="random")
    for subset, before in cuts.items():
        assert {cut.id for cut in before} <= {cut.id for cut in read(tmp_path / "out")[subset]}


def test_fewer_other_words_than_wanted_are_told(recipe, data, tmp_path, caplog) -> None:
    for word in ("bed", "dog"):
        for path in (data / word).glob("*.wav"):
            path.unlink()
    (data / "cat" / "a0_nohash_0.wav").unlink()
    with caplog.at_level(logging.WARNING):
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert "train: 2 clips of other words for _unknown_, where 3 are wanted" in caplog.text


def test_mistakes_are_explained(recipe, data, tmp_path) -> None:
    def message(**keys: object) -> str:
        with pytest.raises(UserError) as error:
            recipe.prepare(str(data), str(tmp_path / "out"), **keys)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    assert "split: split is 'speakers'; expected official or random" in message(
        labels=LABELS, split="speakers"
    )
    several = message(labels=speech_commands_labels(12))
    assert "no words up, down, left, right, on, off, stop, go in" in several
    assert "expected some of bed, cat, dog, no, yes" in several
    assert "no labels" in message(labels=["_unknown_", "_silence_"])
    for name in ("hum", "tap"):
        soundfile.write(data / "_background_noise_" / f"{name}.wav", np.zeros(32000), 16000)
    assert "no noise for valid; expected recordings of noise of 5 s or more" in message(labels=LABELS)


def test_a_download_without_a_network(recipe, tmp_path, monkeypatch) -> None:
    """Lhotse's own downloader, where no name can be looked up."""

    def no_names(*_: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    folder = tmp_path / "absent"
    with pytest.raises(UserError) as error:
        recipe.prepare(str(folder), str(tmp_path / "out"), labels=LABELS, download=True)
    told = str(error.value)
    assert told.startswith("Speech Commands cannot be downloaded: no network (")
    assert "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz" in told
    assert "speech_commands_test_set_v0.02.tar.gz by hand" in told
    assert socket.getdefaulttimeout() is None


def archive_of(folder: Path, *more: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder), recursive=False)
        for name in more:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


@pytest.fixture
def served(monkeypatch, data, tmp_path) -> dict[str, bytes]:
    """What the network would give, by the name of the archive."""
    test = tmp_path / "test"
    for name in ("_unknown_/bed_f0_nohash_3.wav", "_silence_/hum_12.wav"):
        (test / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(test / name, np.zeros(16000), 16000)
    archives = {
        "speech_commands_v0.02.tar.gz": archive_of(data),
        "speech_commands_test_set_v0.02.tar.gz": archive_of(test),
    }

    def fetch(url: str, filename: Path, **_: object) -> None:
        filename.write_bytes(archives[url.rpartition("/")[2]])

    monkeypatch.setattr("lhotse.recipes.speechcommands.resumable_download", fetch)
    return archives


def test_what_was_downloaded_is_prepared_then_and_later(recipe, served, tmp_path) -> None:
    folder = tmp_path / "fresh"
    recipe.prepare(str(folder), str(tmp_path / "out"), labels=LABELS, download=True)
    cuts = read(tmp_path / "out")
    assert [cut.id for cut in cuts["test"][4:]] == ["_unknown_/bed_f0_nohash_3", "_silence_/hum_12"]
    served.clear()  # all is there: nothing is asked for again
    for download in (True, False):
        recipe.prepare(str(folder), str(tmp_path / f"out-{download}"), labels=LABELS, download=download)
        assert read(tmp_path / f"out-{download}") == cuts


def test_a_folder_with_data_is_left_as_it_is(recipe, data, served, tmp_path) -> None:
    served.clear()
    before = sorted(data.rglob("*"))
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS, download=True)
    assert sorted(data.rglob("*")) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("not to be touched")
    with pytest.raises(UserError, match="is not Speech Commands"):
        recipe.prepare(str(other), str(tmp_path / "none"), labels=LABELS, download=True)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_archives_that_are_damaged_or_reach_out(recipe, data, served, tmp_path) -> None:
    def message() -> str:
        with pytest.raises(UserError) as error:
            recipe.prepare(str(tmp_path / "fresh"), str(tmp_path / "out"), labels=LABELS, download=True)
        return str(error.value)

    whole = served["speech_commands_v0.02.tar.gz"]
    served["speech_commands_v0.02.tar.gz"] = whole[: len(whole) // 2]
    assert "an archive of Speech Commands is damaged or not whole" in message()
    served["speech_commands_v0.02.tar.gz"] = b"<html>log in first</html>"
    assert "delete the .tar.gz files below" in message()
    served["speech_commands_v0.02.tar.gz"] = archive_of(data, "../../../outside")
    assert "outside" in message()
    assert not list(tmp_path.rglob("outside"))
