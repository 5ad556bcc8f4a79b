"""`speechkit transcribe` on synthetic speech whose words and times are known."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit import load, report
from speechkit.cli import main
from speechkit.report import TimedWord
from speechkit.tasks import WindowPlan

from .conftest import RATE, string_together

pytestmark = pytest.mark.integration

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture) -> Typed:
    """Run `speechkit transcribe ...`: its code, what it printed and what it complained of."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["transcribe", *map(str, arguments)])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, list[TimedWord]]:
    """About a minute; pauses up to 1 s."""
    return string_together(np.random.default_rng(2), 90, (0.06, 1.0))


def check_words(found: list[TimedWord], true: list[TimedWord]) -> None:
    """All words, in order, each said within its sound or a frame or two beside."""
    assert " ".join(word.word for word in found) == " ".join(word.word for word in true)
    for word, known in zip(found, true, strict=True):
        assert known.start - 0.15 < (word.start + word.end) / 2 < known.end + 0.15


@pytest.mark.parametrize(("seconds", "overlap"), [(200, 5), (10, 2.5), (6, 2), (3.3, 1.1)])
def test_all_words_are_found_at_their_times(
    seconds: float, overlap: float, run: Path, spoken: tuple[np.ndarray, list[TimedWord]], tmp_path: Path
) -> None:
    samples, words = spoken
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    found = load(run).transcribe(tmp_path / "a.wav", WindowPlan(seconds, overlap))
    check_words(found.words, words)
    at_pauses = load(run).transcribe(tmp_path / "a.wav", WindowPlan(seconds, overlap, at_pauses=True))
    check_words(at_pauses.words, words)
    assert (found.timing, found.seconds) == ("aligned", len(samples) / RATE)


def test_stereo_at_another_rate_in_a_compressed_file(
    run: Path, spoken: tuple[np.ndarray, list[TimedWord]], tmp_path: Path
) -> None:
    samples = np.repeat(spoken[0], 3) * 0.5  # 24 kHz
    with soundfile.SoundFile(tmp_path / "a.ogg", "w", 3 * RATE, 2) as file:
        for part in np.array_split(np.stack([samples, samples], 1), 100):  # libsndfile's Vorbis dies of more
            file.write(part)
    check_words(load(run).transcribe(tmp_path / "a.ogg", WindowPlan(10, 2.5)).words, spoken[1])


def test_the_command_prints_and_writes(run: Path, typed: Typed, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    texts = {}
    for name in ("one", "two"):
        samples, words = string_together(random, 12, (0.06, 1.0))
        soundfile.write(tmp_path / f"{name}.flac", samples, RATE)
        texts[name] = " ".join(word.word for word in words)
    one, two = tmp_path / "one.flac", tmp_path / "two.flac"
    small = ("--window_seconds", 5, "--overlap_seconds", 2, "--no-at_pauses")

    code, told, complaints = typed(run, one, *small)
    assert (code, complaints) == (0, "")
    assert " ".join(re.sub(r"^\[\S+ - \S+\] ", "", line) for line in told.splitlines()) == texts["one"]

    code, told, _ = typed(run, one, two, "--format", "json", "--window_seconds", 30)
    rows = [json.loads(line) for line in told.splitlines()]
    assert [(row["file"], row["text"]) for row in rows] == [
        (str(one), texts["one"]),
        (str(two), texts["two"]),
    ]
    assert rows[0]["text"] == load(run).predict(*soundfile.read(one, dtype="float32")).text

    assert typed(run, one, *small, "--at_pauses")[1].count("[") > 1
    assert typed(run, one, *small, "--search", "null")[:2] == typed(run, one, *small)[:2]
    code, told, complaints = typed(run, one, "--search.beam.beam_size", "many")
    assert (code, told, "beam_size" in complaints) == (2, "", True)

    code, told, _ = typed(run, one, two, "--format", "srt", "--out", tmp_path / "new" / "out", *small)
    assert [line for line in told.splitlines() if line[0] != "["] == [f"{one}:", f"{two}:"]
    for name, text in texts.items():
        blocks = (tmp_path / "new" / "out" / f"{name}.srt").read_text().split("\n\n")[:-1]
        assert " ".join(" ".join(block.split("\n")[2:]) for block in blocks) == text
    assert len(list((tmp_path / "new" / "out").iterdir())) == 2


def test_windows_are_as_long_as_the_utterances_of_the_training(
    run: Path, typed: Typed, tmp_path: Path
) -> None:
    """Which the run's folder tells; of a run of an older version they are long, and that is told."""
    seconds = [soundfile.info(path).duration for path in run.parent.glob("*.wav")]
    told = report.read_json(run / "run.json", "run")["utterances"]
    expected = len(seconds), sum(seconds), max(seconds), np.quantile(seconds, 0.99)
    assert tuple(told.values()) == pytest.approx(expected, abs=2e-3)
    length = round(told["percentile_99"], 1)
    assert load(run).plan_windows() == WindowPlan(length, length / 2, at_pauses=True)

    samples, words = string_together(np.random.default_rng(6), 60, (0.3, 1.0))
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    check_words(load(run).transcribe(tmp_path / "a.wav").words, words)
    _, printed, complaints = typed(run, tmp_path / "a.wav", "--format", "json")
    assert json.loads(printed)["text"] == " ".join(word.word for word in words)
    assert re.fullmatch(rf"windows of {length:g} s that end in a pause .* at most .* s\n", complaints)

    old = shutil.copytree(run, tmp_path / "old")
    description = json.loads((old / "run.json").read_text())
    (old / "run.json").write_text(json.dumps(description | {"utterances": None}))
    code, _, complaints = typed(old, tmp_path / "a.wav")
    assert (code, len(complaints.splitlines())) == (0, 1)
    assert complaints.startswith("windows of 30 s that share 5 s: the run does not tell how long")
    assert typed(old, tmp_path / "a.wav", "--window_seconds", 4)[2].startswith("windows of 4 s that end")


def test_files_that_cannot_be_heard_do_not_stop_the_others(run: Path, typed: Typed, tmp_path: Path) -> None:
    samples, words = string_together(np.random.default_rng(4), 3)
    soundfile.write(tmp_path / "good.wav", samples, RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (tmp_path / "broken.flac").write_bytes(b"fLaC but no more")
    (tmp_path / "samples.raw").write_bytes(b"1234")
    names = ("silent.wav", "empty.wav", "nan.wav", "broken.flac", "samples.raw", "none.wav", ".")
    bad = [tmp_path / name for name in names]
    code, told, complaints = typed(run, *bad, tmp_path / "good.wav", "--format", "json", "--out", tmp_path)
    assert code == 2
    told_of_windows, *lines = complaints.splitlines()
    assert told_of_windows.startswith("windows of ")
    assert [str(path) in line for path, line in zip(bad, lines, strict=True)] == [True] * len(bad)
    assert told.startswith(f"{tmp_path / 'good.wav'}:\n[")
    assert json.loads((tmp_path / "good.json").read_text())["text"] == " ".join(word.word for word in words)
    assert [path.name for path in tmp_path.glob("*.json")] == ["good.json"]


def test_what_is_typed_wrong_is_told_before_anything_is_heard(
    run: Path, typed: Typed, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", string_together(np.random.default_rng(5), 1)[0], RATE)
    file, other = tmp_path / "a.wav", tmp_path / "b" / "a.flac"
    for arguments, told in (
        ((run, file, other, "--format", "srt"), "give --out DIR"),
        ((run, file, other, "--out", tmp_path), "would all be written to"),
        ((run, file, "--window_seconds", 0), "window_seconds: windows of 0.0 s"),
        ((run, file, "--window_seconds", 30, "--overlap_seconds", 20), "overlap_seconds: windows of 30.0 s"),
        ((run, file, "--modules.ctc.n_neurons", 3), "the model stays as it is"),
        ((tmp_path, file), "expected the output folder of a training run"),
    ):
        code, printed, complaints = typed(*arguments)
        assert (code, printed) == (2, "")
        assert told in complaints
    assert not list(tmp_path.glob("*.txt"))


# Not getrusage: its peak is also that of the process that started this one.
PEAK = """
import re, sys, speechkit
from speechkit.tasks import WindowPlan
model = speechkit.load(sys.argv[1])
found = [model.transcribe(path, WindowPlan()) for path in sys.argv[2:]]
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(int(peak[1]) // 1024, *(len(each.words) for each in found))
"""


def peak_megabytes(run: Path, *files: Path) -> tuple[int, list[int]]:
    """Of a process that transcribes these files, and how many words it found in each."""
    command = [sys.executable, "-c", PEAK, str(run), *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    peak, *n_words = map(int, told.split())
    return peak, n_words


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_file(
    run: Path, spoken: tuple[np.ndarray, list[TimedWord]], tmp_path: Path
) -> None:
    """Of 2, 10 and 60 minutes of speech: the whole of an hour at 8 kHz in float32 alone is 115 MB."""
    samples, words = spoken
    minute = np.resize(samples, 60 * RATE)
    peaks = {}
    for minutes in (2, 10, 60):
        with soundfile.SoundFile(tmp_path / f"{minutes}.wav", "w", RATE, 1, subtype="PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        peaks[minutes], (n_words,) = peak_megabytes(run, tmp_path / f"{minutes}.wav")
        assert n_words == pytest.approx(minutes * len(words) * 60 * RATE / len(samples), rel=0.02)
    assert peaks[60] < peaks[10] + 20, peaks
    assert peaks[10] < peaks[2] + 60, peaks  # batches are whole only from some minutes on
