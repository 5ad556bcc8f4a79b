import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.data import synthesize_speech_commands
from speechkit.data.speech_commands_synthesis import choose_voices
from speechkit.errors import UserError

SMALL = {"seed": 4, "n_voices": 8, "words": ["yes", "no"], "n_takes": 2, "noise_seconds": 2.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    pytest.importorskip("espeakng_loader", reason="speech synthesis needs the extra speechkit[synth]")
    return synthesize_speech_commands(tmp_path_factory.mktemp("synth") / "corpus", **SMALL)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_layout_is_the_data_sets(folder):
    clips = sorted(str(path.relative_to(folder)) for path in folder.glob("[a-z]*/*.wav"))
    assert len(clips) == 8 * 2 * 2
    assert all(re.fullmatch(r"(yes|no)/[0-9a-f]{8}_nohash_[01]\.wav", clip) for clip in clips)
    for clip in clips:
        info = soundfile.info(folder / clip)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, 16000, "PCM_16")
    noises = sorted(folder.glob("_background_noise_/*.wav"))
    assert len(noises) == 6
    assert all(soundfile.info(path).frames == 32000 for path in noises)


def test_no_speaker_is_in_two_subsets(folder):
    listed = {
        name: set((folder / f"{name}_list.txt").read_text().split()) for name in ("validation", "testing")
    }
    every = {str(path.relative_to(folder)) for path in folder.glob("[a-z]*/*.wav")}
    assert listed["validation"] | listed["testing"] < every
    subsets = [*listed.values(), every - listed["validation"] - listed["testing"]]
    speakers = [{clip.split("/")[1].split("_")[0] for clip in subset} for subset in subsets]
    assert list(map(len, speakers)) == [1, 2, 5]
    assert len(set.union(*speakers)) == 8


def test_no_timbre_is_in_two_subsets():
    voices = choose_voices(300, seed=1)
    timbres = {subset: set() for subset in ("train", "valid", "test")}
    for voice in voices:
        timbres[voice.subset].add(voice.name.split("+")[1])
    assert not timbres["train"] & timbres["valid"]
    assert not timbres["train"] & timbres["test"]
    assert not timbres["valid"] & timbres["test"]
    assert len({voice.speaker for voice in voices}) == len({voice.name for voice in voices}) == 300
    assert len({voice.name.split("+")[0] for voice in voices}) == 8


def test_clips_hold_speech_at_varying_levels(folder):
    clips = [soundfile.read(path)[0] for path in folder.glob("[a-z]*/*.wav")]
    power = np.array([np.square(x.reshape(50, -1)).mean(axis=1) for x in clips])  # of 20 ms
    assert (power.max(axis=1) > 10 * np.median(power, axis=1)).mean() > 0.8  # a word in a quieter second
    assert np.ptp(10 * np.log10(power.max(axis=1))) > 6  # dB
    assert len({x.tobytes() for x in clips}) == len(clips)


@pytest.mark.integration
def test_the_same_seed_writes_the_same_bytes_in_another_process(folder, tmp_path):
    code = "import sys, json; from speechkit.data import synthesize_speech_commands as s; "
    code += f"s(sys.argv[1], **json.loads({json.dumps(SMALL)!r}))"
    command = [sys.executable, "-c", code, str(tmp_path / "again")]
    environment = os.environ | {"PYTHONHASHSEED": "5"}
    subprocess.run(command, env=environment, check=True)
    assert digest(tmp_path / "again") == digest(folder)


def test_another_seed_writes_other_bytes(folder, tmp_path):
    other = digest(synthesize_speech_commands(tmp_path / "other", **SMALL | {"seed": 5}))
    assert not set(other.values()) & {v for k, v in digest(folder).items() if k.endswith(".wav")}


def test_a_finished_corpus_is_left_and_an_unfinished_one_finished(folder, tmp_path):
    before = digest(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    synthesize_speech_commands(folder, **SMALL)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    # As a killed run leaves it: settings written, some clips there.
    settings = json.loads((folder / "synthesis.json").read_text())
    unfinished = tmp_path / "unfinished"
    (unfinished / "yes").mkdir(parents=True)
    (unfinished / "synthesis.json").write_text(json.dumps(settings | {"complete": False}))
    synthesize_speech_commands(unfinished, **SMALL)
    assert digest(unfinished) == before


def test_other_folders_are_left_alone(folder, tmp_path):
    with pytest.raises(UserError, match=r"holds a corpus of another seed \(seed 4\); expected seed 9"):
        synthesize_speech_commands(folder, **SMALL | {"seed": 9})
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        synthesize_speech_commands(tmp_path, **SMALL)
    with pytest.raises(UserError, match="holds something else"):
        synthesize_speech_commands(tmp_path / "thesis.txt", **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


@pytest.mark.parametrize(
    "wrong",
    [{"n_voices": 2}, {"n_voices": 5000}, {"words": []}, {"words": ["yes", "yes"]}, {"words": ["../up"]},
     {"n_takes": 0}, {"noise_seconds": 0.1}],
)  # fmt: skip
def test_settings_that_cannot_be(tmp_path, wrong):
    with pytest.raises(UserError, match="expected"):
        synthesize_speech_commands(tmp_path / "corpus", **SMALL | wrong)
    assert not (tmp_path / "corpus").exists()
