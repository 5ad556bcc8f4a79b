"""The tool that compares windows: joined recordings are what they say, and so are the figures."""

import importlib.util
import itertools
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from speechkit.data import Clip, make_cuts, write_cuts

from .conftest import RATE

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_windows", PROJECT / "tools/compare_windows.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_recordings_are_utterances_with_pauses_as_loud_as_their_quietest_part(
    tool: ModuleType, tmp_path: Path
) -> None:
    random, clips = np.random.default_rng(0), []
    for number in range(5):
        loudness = np.where(np.arange(2 * RATE) // (RATE // 4) == 3, 0.01, 0.2)  # of 0.25 s each
        samples = loudness * random.uniform(-1, 1, 2 * RATE)
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE, subtype="FLOAT")
        clips.append(Clip(tmp_path / f"{number}.wav", f"{number}", f"text {number}"))
    write_cuts(make_cuts(clips), tmp_path / "cuts.jsonl")
    first, second = tool.join_utterances(tmp_path / "cuts.jsonl", RATE, (0.5, 1.0), seconds=6)
    assert (first.text, second.text) == ("text 0 text 1 text 2", "text 3 text 4")
    assert len(first.samples) >= 6 * RATE
    starts = [int(np.flatnonzero(first.samples == each[0])[0]) for each in first.utterances]
    for place, (start, end) in enumerate(itertools.pairwise([*starts, len(first.samples)])):
        true = soundfile.read(tmp_path / f"{place}.wav", dtype="float32")[0]
        assert np.array_equal(first.utterances[place], true)
        assert np.array_equal(first.samples[start : start + len(true)], true)
        pause = first.samples[start + len(true) : end]
        assert 0.5 * RATE <= len(pause) <= RATE
        assert np.sqrt(np.square(pause).mean()) == pytest.approx(0.01 / 3**0.5, rel=0.1)


@pytest.mark.integration
def test_rows_count_the_errors_of_each_plan(run: Path, tool: ModuleType, tmp_path: Path) -> None:
    """Of utterances that were learned by heart; windows of a second cut words in two."""
    manifest, results = run.parent / "words.jsonl", tmp_path / "new" / "windows.json"
    more = ["--plans", "30/5", "4/2p", "1/0", "--recordings", "2", "--pauses", "0.3", "1"]
    tool.main([str(run), str(manifest), str(results), *more])
    rows = json.loads(results.read_text())["rows"]
    names = [row["heard"] for row in rows]
    assert names[0] == "the utterances one by one"
    assert names[1].startswith("by default windows of ")
    assert names[2] == "windows of 30 s that share 5 s"
    assert len(names) == 5
    assert {(row["recordings"], row["pauses,_s"]) for row in rows} == {(2, "0.3 to 1.0")}
    rates = [float(row["WER,_%"].split()[0]) for row in rows]
    assert rates[0] < 2
    assert max(rates[1:4]) < 5
    assert rates[4] > 10
