# ruff: noqa: E501  (tables of messages)
"""The recipe's prepare(): from the data set's layout to manifests."""

import importlib.util
import logging
import os
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from lhotse.dataset import SimpleCutSampler

from speechkit.data import CutBatches, read_cuts
from speechkit.errors import UserError

LABELS = ["yes", "no"]


@pytest.fixture(scope="module")
def recipe(project) -> ModuleType:
    path = project / "recipes" / "SpeechCommands" / "prepare.py"
    spec = importlib.util.spec_from_file_location("speech_commands_prepare", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make(folder: Path, suffix: str = ".wav", listed: str = ".wav") -> Path:
    rng = np.random.default_rng(0)
    for word in ("yes", "no", "cat"):
        (folder / word).mkdir(parents=True)
        for speaker in ("aaaa0000", "bbbb1111", "cccc2222"):
            for n in range(2):
                x = rng.uniform(-0.5, 0.5, 12000 + 1000 * n)
                soundfile.write(folder / word / f"{speaker}_nohash_{n}{suffix}", x, 16000)
    (folder / "_background_noise_").mkdir()
    soundfile.write(folder / "_background_noise_" / f"hum{suffix}", rng.uniform(-0.5, 0.5, 40000), 16000)
    (folder / "_background_noise_" / "README.md").write_text("about the noise")
    for name, speaker in (("validation_list.txt", "bbbb1111"), ("testing_list.txt", "cccc2222")):
        lines = [f"{word}/{speaker}_nohash_{n}{listed}\n" for word in ("yes", "no", "cat") for n in (0, 1)]
        (folder / name).write_text("".join(lines))
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    return _make(tmp_path / "data")


@pytest.mark.parametrize(("suffix", "listed"), [(".wav", ".wav"), (".flac", ".flac"), (".flac", ".wav")])
def test_the_lists_decide(recipe, tmp_path, suffix, listed, caplog):
    data, out = _make(tmp_path / "data", suffix, listed), tmp_path / "out"
    recipe.prepare(str(data), str(out), labels=LABELS)
    for subset, speaker in (("train", "aaaa0000"), ("valid", "bbbb1111"), ("test", "cccc2222")):
        cuts = list(read_cuts(out / f"{subset}.jsonl"))
        assert [cut.id for cut in cuts] == [f"{word}/{speaker}_nohash_{n}" for word in LABELS for n in (0, 1)]
        assert [cut.duration for cut in cuts] == [0.75, 0.8125, 0.75, 0.8125]
        for cut in cuts:
            (segment,) = cut.supervisions
            assert (segment.text, segment.speaker) == (cut.id.split("/")[0], speaker)
            path = Path(cut.recording.sources[0].source)
            assert path.is_absolute()
            assert path == (data / cut.id).with_suffix(suffix).resolve()
    (noise,) = read_cuts(out / "noise.jsonl")
    assert (noise.id, noise.duration, noise.supervisions) == ("_background_noise_/hum", 2.5, [])
    assert caplog.records == []


def test_done_again_only_when_something_changed(recipe, data, tmp_path):
    out = tmp_path / "out"

    def stamps() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted(out.iterdir())]

    recipe.prepare(str(data), str(out), labels=LABELS)
    first = stamps()
    recipe.prepare(str(data), str(out), labels=LABELS)
    assert stamps() == first
    (data / "yes" / "aaaa0000_nohash_1.wav").unlink()
    recipe.prepare(str(data), str(out), labels=LABELS)
    assert len(list(read_cuts(out / "train.jsonl"))) == 3
    recipe.prepare(str(data), str(out), labels=["yes", "no", "cat"])
    assert len(list(read_cuts(out / "train.jsonl"))) == 5
    (out / "noise.jsonl").unlink()
    recipe.prepare(str(data), str(out), labels=["yes", "no", "cat"])
    assert (out / "noise.jsonl").exists()


def test_an_interrupted_prepare_is_not_taken_for_done(recipe, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    recipe.prepare(str(data), str(out), labels=LABELS)

    def interrupted(cuts, path):
        if "valid" in str(path):
            raise KeyboardInterrupt
        original(cuts, path)

    original = recipe.write_cuts
    monkeypatch.setattr(recipe, "write_cuts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipe.prepare(str(data), str(out), labels=["yes", "no", "cat"])
    monkeypatch.setattr(recipe, "write_cuts", original)
    recipe.prepare(str(data), str(out), labels=LABELS)
    assert len(list(read_cuts(out / "train.jsonl"))) == 4


def test_bad_audio_is_named_and_left_to_the_reader(recipe, data, tmp_path, caplog):
    (data / "yes" / "aaaa0000_nohash_0.wav").write_bytes(b"broken")
    soundfile.write(data / "no" / "aaaa0000_nohash_0.wav", np.zeros(0), 16000)
    soundfile.write(data / "no" / "aaaa0000_nohash_1.wav", np.zeros((8000, 2)), 8000)
    with caplog.at_level(logging.WARNING):
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert "2 files cannot be read as audio" in caplog.text
    assert "yes/aaaa0000_nohash_0.wav" in caplog.text
    sampler = partial(SimpleCutSampler, max_cuts=10)
    (batch,) = CutBatches(tmp_path / "out" / "train.jsonl", sampler, 16000).iterate(1, 1)
    assert batch.ids == ["yes/aaaa0000_nohash_1", "no/aaaa0000_nohash_1"]
    assert batch.lengths.tolist() == [13000, 16000]
    assert [skipped.id for skipped in batch.skipped] == ["yes/aaaa0000_nohash_0", "no/aaaa0000_nohash_0"]
    assert len(batch.notices) == 4  # two left out, another rate, two channels


def test_lists_may_name_clips_that_are_not_there(recipe, data, tmp_path, caplog):
    (data / "yes" / "cccc2222_nohash_0.wav").unlink()
    (data / "cat" / "cccc2222_nohash_0.wav").unlink()  # not one of the words: not worth a warning
    with caplog.at_level(logging.WARNING):
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    (record,) = caplog.records
    assert (
        "testing_list.txt names 1 clips that are not there, such as yes/cccc2222_nohash_0" in record.message
    )
    assert len(list(read_cuts(tmp_path / "out" / "test.jsonl"))) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("yess/cccc2222_nohash_0.wav", "no folder 'yess' in {data} (did you mean 'yes'?); mend or remove the line"),
        ("./yes/cccc2222_nohash_0.wav", "no folder '.' in {data}; mend or remove the line"),
        ("_background_noise_/hum.wav", "no folder '_background_noise_' in {data}; mend or remove the line"),
        ("yes\\cccc2222_nohash_0.wav", "no clip: 'yes\\\\cccc2222_nohash_0.wav'; expected lines such as yes/"),
        ("yes", "no clip: 'yes'; expected lines such as yes/"),
        ("yes/bbbb1111_nohash_1.wav", "yes/bbbb1111_nohash_1 is in both lists, here and at {data}/validation_list.txt:2:1"),
        ("cat/bbbb1111_nohash_0.flac", "cat/bbbb1111_nohash_0 is in both lists, here and at {data}/validation_list.txt:5:1"),
    ],
)  # fmt: skip
def test_a_line_of_a_list_that_names_no_clip(recipe, data, tmp_path, line, message):
    """Passed over, it would leave a clip of validation or test to training."""
    path = data / "testing_list.txt"
    path.write_text(path.read_text() + f"\n{line}\n")
    with pytest.raises(UserError) as error:
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert str(error.value).startswith(f"{path}:8:1: " + message.format(data=data))
    assert not (tmp_path / "out").exists()


def test_encodings_of_a_list(recipe, data, tmp_path):
    path = data / "testing_list.txt"
    right = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + right.replace(b"\n", b"\r\n"))  # as an editor of Windows saves it
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert len(list(read_cuts(tmp_path / "out" / "test.jsonl"))) == 4
    path.write_bytes(right + b"yes/\xe9t\xe9.wav\n")
    with pytest.raises(UserError, match=r"testing_list\.txt is not UTF-8: .*expected lines such as yes/"):
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)


def test_changed_files_and_noises_are_prepared_anew(recipe, data, tmp_path):
    out, clip = tmp_path / "out", data / "yes" / "aaaa0000_nohash_0.wav"

    def prepared() -> bool:
        before = (out / "train.jsonl").stat().st_mtime_ns
        recipe.prepare(str(data), str(out), labels=LABELS)
        return (out / "train.jsonl").stat().st_mtime_ns != before

    recipe.prepare(str(data), str(out), labels=LABELS)
    assert not prepared()
    soundfile.write(clip, np.zeros(4000), 16000)  # in its place: the folder's time stays
    assert prepared()
    assert next(iter(read_cuts(out / "train.jsonl"))).duration == 0.25
    old = clip.stat()
    soundfile.write(clip, np.zeros(8000), 16000)
    os.utime(clip, ns=(old.st_atime_ns, old.st_mtime_ns))  # as cp -p would leave it
    assert prepared()
    soundfile.write(data / "_background_noise_" / "new.wav", np.ones(4000), 16000)
    assert prepared()
    assert [cut.id for cut in read_cuts(out / "noise.jsonl")] == [
        "_background_noise_/hum", "_background_noise_/new"
    ]  # fmt: skip
    (data / "_background_noise_" / "new.wav").unlink()
    assert prepared()
    soundfile.write(data / "cat" / "new_nohash_0.wav", np.ones(4000), 16000)  # not one of the words
    assert not prepared()


def test_unreadable_noise_is_left_out(recipe, data, tmp_path, caplog):
    """Mixed into clips, it would make each of them look unreadable."""
    (data / "_background_noise_" / "bad.wav").write_bytes(b"broken")
    soundfile.write(data / "_background_noise_" / "empty.wav", np.zeros(0), 16000)
    with caplog.at_level(logging.WARNING):
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    assert "2 files cannot be read as audio" in caplog.text
    assert "_background_noise_/bad.wav" in caplog.text
    assert [cut.id for cut in read_cuts(tmp_path / "out" / "noise.jsonl")] == ["_background_noise_/hum"]


def test_two_files_of_one_clip_and_suffixes_in_capitals(recipe, data, tmp_path):
    clip = data / "yes" / "cccc2222_nohash_0.wav"
    loud = clip.rename(clip.with_suffix(".WAV"))
    recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    cut = next(iter(read_cuts(tmp_path / "out" / "test.jsonl")))
    assert (cut.id, cut.recording.sources[0].source) == ("yes/cccc2222_nohash_0", str(loud))
    soundfile.write(clip.with_suffix(".flac"), np.zeros(16000), 16000)
    with pytest.raises(UserError) as error:
        recipe.prepare(str(data), str(tmp_path / "out"), labels=LABELS)
    both = f"{loud} and {clip.with_suffix('.flac')}"
    assert str(error.value) == f"two files of one clip: {both}; remove one of them"


def test_mistakes_are_explained(recipe, data, tmp_path):
    def message(folder: Path, labels: list = LABELS) -> str:
        with pytest.raises(UserError) as error:
            recipe.prepare(str(folder), str(tmp_path / "out"), labels=labels)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    assert "there is no data_folder" in message(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "is empty; expected folders of words" in message(tmp_path / "empty")
    assert f"did you mean {data.resolve()}?" in message(tmp_path)
    assert "no word 'yess'" in message(data, ["yess", "no"])
    assert "(did you mean 'yes'?)" in message(data, ["yess", "no"])
    assert "no word True" in message(data, [True])  # an unquoted yes, read by another YAML
    assert "no labels, or one twice" in message(data, [])
    assert "no labels, or one twice" in message(data, ["no", "no"])
    (data / "testing_list.txt").write_text("")
    assert "no clips for test of yes, no" in message(data)
    (data / "testing_list.txt").unlink()
    assert "is not Speech Commands: it lacks testing_list.txt" in message(data)


def test_the_real_subset(recipe, real_speech_commands, tmp_path):
    labels = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
    recipe.prepare(str(real_speech_commands), str(tmp_path), labels=labels)
    cuts = {name: list(read_cuts(tmp_path / f"{name}.jsonl")) for name in ("train", "valid", "test", "noise")}
    assert {name: len(found) for name, found in cuts.items()} == {
        "train": 1240, "valid": 261, "test": 299, "noise": 6
    }  # fmt: skip
    speakers = [{cut.supervisions[0].speaker for cut in cuts[name]} for name in ("train", "valid", "test")]
    assert not speakers[0] & speakers[1]
    assert not (speakers[0] | speakers[1]) & speakers[2]


def test_words_of_the_data_set_may_be_left_out(recipe, data, tmp_path) -> None:
    """Some folders of the data set with its own lists are a usual subset; a mistyped word is not."""
    with (data / "testing_list.txt").open("a") as file:
        file.write("marvin/0a0a0a0a_nohash_0.wav\n")
    recipe.prepare(str(data), str(tmp_path / "manifests"), labels=LABELS)
    assert (tmp_path / "manifests" / "test.jsonl").is_file()
