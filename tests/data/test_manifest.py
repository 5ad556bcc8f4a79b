import copy
import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lhotse import CutSet

from speechkit.data import read_cuts, write_cuts
from speechkit.errors import Place, UserError

MONO = {
    "id": "a", "start": 0.0, "duration": 1.0, "channel": 0, "type": "MonoCut",
    "supervisions": [{"id": "a", "recording_id": "a", "start": 0.0, "duration": 1.0, "text": "yes"}],
    "recording": {
        "id": "a", "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0, "channel_ids": [0],
        "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
    },
}  # fmt: skip


def _write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def _with(**changes: object) -> dict:
    return copy.deepcopy(MONO) | changes


def _source(**changes: object) -> dict:
    cut = copy.deepcopy(MONO)
    cut["recording"]["sources"][0].update(changes)
    return cut


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_cuts_come_back_as_written(tmp_path, make_cut, name):
    cuts = [make_cut("a", np.zeros(1600)), make_cut("b", np.zeros((800, 2)))]
    cuts.append(cuts[0].pad(duration=0.3).mix(cuts[0], snr=10, preserve_id="left"))
    write_cuts(cuts, tmp_path / name)
    assert list(read_cuts(tmp_path / name)) == list(CutSet.from_file(tmp_path / name)) == cuts
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == [name]


def test_a_failed_write_leaves_the_old_manifest(tmp_path, make_cut):
    path = tmp_path / "cuts.jsonl"
    write_cuts([make_cut("a", np.zeros(1600))], path)

    def broken():
        yield make_cut("b", np.zeros(1600))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_cuts(broken(), path)
    assert [cut.id for cut in read_cuts(path)] == ["a"]
    assert sorted(p.name for p in tmp_path.iterdir() if "jsonl" in p.name) == ["cuts.jsonl"]


def test_reading_is_lazy(tmp_path):
    cuts = iter(read_cuts(_write(tmp_path / "m.jsonl", MONO, "broken")))
    assert next(cuts).id == "a"
    with pytest.raises(UserError, match=r"m\.jsonl:2:1"):
        next(cuts)


def _hostile(command: str) -> dict[str, dict]:
    pickled = {
        "type": "fbank", "num_frames": 1, "num_features": 1, "frame_shift": 0.01, "sampling_rate": 16000,
        "start": 0, "duration": 1, "storage_type": "memory_raw", "storage_path": "", "storage_key": "gASV",
    }  # fmt: skip
    kaldi = pickled | {"storage_type": "kaldiio", "storage_path": f"{command} |"}
    inner = _source(type="command", source=command)
    recording = inner["recording"]
    return {
        "command": inner,
        "url": _source(type="url", source="http://localhost/a.wav"),
        "pipe": _source(source=f"pipe:{command}"),
        "kaldi pipe": _source(source=f"{command} |"),
        "leading pipe": _source(source=f"| {command}"),
        "pickle": _with(features=pickled),
        "kaldi features": _with(features=kaldi),
        "array": _with(custom={"x": {"array": {"shape": [1]}, "storage_type": "memory_raw", "shape": [1]}}),
        "array path": _with(custom={"x": {"storage_type": "numpy_files", "storage_path": f"pipe:{command}"}}),
        "custom recording": _with(custom={"target": recording}),
        "supervision's recording": _with(supervisions=[{"id": "a", "custom": {"r": recording}}]),
        "track": {"id": "m", "type": "MixedCut", "tracks": [{"cut": inner, "type": "MonoCut", "offset": 0}]},
        "inner track": {
            "id": "m",
            "type": "MixedCut",
            "tracks": [{"type": "MixedCut", "cut": {"id": "n", "tracks": [{"cut": inner}]}}],
        },
        "impulse response": _with(recording=MONO["recording"] | {
            "transforms": [{"name": "ReverbWithImpulseResponse", "kwargs": {"rir": recording}}]}),
        "sources as an object": _with(recording=MONO["recording"] | {"sources": {"type": "command"}}),
    }  # fmt: skip


@pytest.mark.parametrize("kind", _hostile(""))
def test_what_would_execute_is_refused_with_its_line(tmp_path, kind):
    touched = tmp_path / "touched"
    path = _write(tmp_path / "m.jsonl", MONO, "", _hostile(f"touch {touched}")[kind])
    with pytest.raises(UserError, match=r"m\.jsonl:3:1: (an audio source|a command|storage|sources)"):
        list(read_cuts(path))
    assert not touched.exists()


def test_a_pipe_in_place_of_a_manifest_is_not_run(tmp_path):
    with pytest.raises(UserError, match="no manifest"):
        read_cuts(f"pipe:touch {tmp_path / 'touched'}")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r":1:2: not JSON"),
        ('{"id": "a", }', r":1:13: not JSON"),
        ("[1]", ":1:1: not a cut"),
        ("{}", ":1:1: not a cut"),
        ("[" * 100_000, "nested too deeply"),
        ({"type": "Nonsense"}, "not a cut: ValueError"),
        (_with(nonsense=1), "not a cut: TypeError"),
        (_with(duration=float("nan")), "duration of nan"),
        (_with(duration=-1), "duration of -1"),
        (_with(duration="long"), "make no sense"),
        (_with(start=0.5), r"0.5 to 1.5 s of a recording of 1.0 s"),
        (_with(channel=1), r"channels \{1\}"),
        (_with(id=5), "id that is not text"),
        (_with(recording=MONO["recording"] | {"sampling_rate": 0}), "sampling rate of 0"),
        ({"id": "m", "type": "MixedCut", "tracks": []}, "tracks|make no sense|not a cut"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    with pytest.raises(UserError, match=message) as error:
        list(read_cuts(_write(tmp_path / "m.jsonl", line)))
    assert error.value.place.file.endswith("m.jsonl")


def test_broken_files(tmp_path):
    with pytest.raises(UserError, match="no manifest"):
        read_cuts(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match="no manifest"):
        read_cuts(tmp_path)
    cut_short = tmp_path / "a.jsonl.gz"
    cut_short.write_bytes(gzip.compress(json.dumps(MONO).encode() * 50)[:-20])
    with pytest.raises(UserError, match=r"a\.jsonl\.gz:1:1: cannot read on"):
        list(read_cuts(cut_short))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match=r"b\.jsonl:1:1: cannot read on"):
        list(read_cuts(tmp_path / "b.jsonl"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_damaged_lines_are_cuts_or_messages(tmp_path, seed):
    draw = random.Random(seed)
    text = list(json.dumps(draw.choice(list(_hostile("true").values())[-4:] + [MONO] * 4)))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text))
        text[at : at + draw.randint(0, 6)] = draw.choice(["", "null", "-1", '"', "}", "[]", "1e999", "{}"])
    place = Place("none", 1)
    try:
        list(read_cuts(_write(tmp_path / "m.jsonl", "".join(text).replace("\n", ""))))
    except UserError as error:
        place = error.place
    assert place.line == 1
