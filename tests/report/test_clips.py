"""Clips: chosen, written, found again, and never read from elsewhere."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.report import choose_worst, write_clip, write_clips
from speechkit.report.clips import AudioBudget, file_name, read_index


def make_record(name: str, loss: float | None, skipped: str | None = None) -> dict:
    return {"id": name, "scores": None if skipped else {"loss": loss}, "skipped": skipped}


def test_the_worst_come_first_and_skipped_ones_never() -> None:
    records = [make_record("b", 1.0), make_record("a", 1.0), make_record("c", 3.0), make_record("d", 0.1)]
    records += [
        make_record("x", None, "unreadable"),
        make_record("nan", float("nan")),
        make_record("none", None),
    ]
    assert [record["id"] for record in choose_worst(records, 5)] == ["nan", "none", "c", "a", "b"]
    assert choose_worst([{"id": "a", "scores": {}, "skipped": None}], 3) == []


def test_int16_comes_back_bit_for_bit(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 32767, -32768, 1234], dtype=np.int16)
    write_clip(tmp_path / "a.wav", samples, 8000)
    back, sample_rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert sample_rate == 8000
    assert np.array_equal(back, samples)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"


def test_floats_are_scaled_and_clipped(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.wav", np.array([0.5, -0.5, 2.0, -2.0, np.nan], dtype=np.float32), 16000)
    back, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert back.tolist() == [16384, -16384, 32767, -32768, 0]


def test_stereo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 2\)"):
        write_clip(tmp_path / "a.wav", np.zeros((5, 2)), 16000)


@pytest.mark.parametrize(
    "name", ["yes/a_nohash_0", "../../etc/passwd", "..", "", "a\0b", "ß" * 300, "a:b*c?"]
)
def test_any_id_has_a_file_within_the_folder(tmp_path: Path, name: str) -> None:
    write_clips(tmp_path, "test", [(name, np.zeros(10), 16000)])
    (entry,) = read_index(tmp_path)
    assert entry["id"] == name
    path = (tmp_path / entry["path"]).resolve()
    assert path.parent == (tmp_path / "clips/test").resolve()
    assert path.is_file()


@settings(max_examples=25)  # each writes and syncs files
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, max_size=6))
def test_different_ids_have_different_files(tmp_path_factory, names: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "ids"
    write_clips(folder, "test", [(name, np.zeros(1), 16000) for name in names])
    assert len({entry["path"] for entry in read_index(folder)}) == len(names)


IDS = st.text(st.characters(exclude_categories=()) | st.sampled_from("ab_ %./"), max_size=8)


@given(IDS, IDS, st.sampled_from([1, 30, 200]))
def test_files_of_any_two_names_stay_two(one: str, two: str, n_times: int) -> None:
    names = {file_name(name * n_times) for name in (one, two)}
    assert len(names) == len({one, two})
    for name in names:
        assert name.isascii()
        assert name.isprintable()
        assert "/" not in name
        assert name[0] != "."
        assert len(name) <= 180


def test_names_that_look_like_files_of_others_are_others() -> None:
    names = ["", ".", "%", "%2E", "a" * 180, "a" * 181, "a" * 182]
    names += [file_name(name) for name in names if file_name(name) not in names]
    assert len({file_name(name) for name in names}) == len(names)


def test_subsets_stand_side_by_side_and_are_replaced(tmp_path: Path, fake) -> None:
    write_clips(tmp_path, "test", [("a", fake.make_tone(300), 16000), ("b", fake.make_tone(400), 16000)])
    write_clips(tmp_path, "other", [("a", fake.make_tone(500, seconds=0.5), 16000)])
    write_clips(tmp_path, "test", [("c", fake.make_tone(300), 16000)])
    entries = [(entry["subset"], entry["id"], entry["seconds"]) for entry in read_index(tmp_path)]
    assert entries == [("other", "a", 0.5), ("test", "c", 1.0)]


def test_the_parts_of_an_utterance_are_clips_of_their_own(tmp_path: Path) -> None:
    """Also beside ids that look like the names of the parts' folders and files."""
    names = [
        ("a",),
        ("a", "mixture"),
        ("a", "estimate 1"),
        ("a.parts",),
        ("a.parts/mixture",),
        ("", ""),
        ("a", ".."),
    ]
    clips = [(each[0], np.full(4, number / 8), 8000, *each[1:]) for number, each in enumerate(names)]
    write_clips(tmp_path, "test", clips)
    entries = read_index(tmp_path)
    assert [(each["id"], *([each["part"]] if "part" in each else [])) for each in entries] == names
    for number, entry in enumerate(entries):
        samples, _ = soundfile.read(tmp_path / entry["path"])
        np.testing.assert_allclose(samples, number / 8, atol=1e-4)


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/passwd", "clips/../run.json", "hparams.yaml"])
def test_an_index_cannot_point_out_of_the_clips(tmp_path: Path, path: str) -> None:
    (tmp_path / "clips").mkdir()
    entry = {"subset": "test", "id": "a", "path": path, "sample_rate": 16000, "seconds": 1.0}
    (tmp_path / "clips/index.json").write_text(json.dumps({"schema": 1, "clips": [entry]}))
    with pytest.raises(UserError, match=r"clips\[0\]\.path: .*expected a file within the run's clips folder"):
        read_index(tmp_path)


def test_a_link_out_of_the_clips_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    write_clips(tmp_path / "run", "test", [("a", np.zeros(1), 16000)])
    clip = tmp_path / "run/clips/test/a.wav"
    clip.unlink()
    clip.symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="within the run's clips folder"):
        read_index(tmp_path / "run")


def test_a_page_takes_audio_while_there_is_room(tmp_path: Path, fake) -> None:
    for name in "abc":
        write_clip(tmp_path / name, fake.make_tone(440), 16000)  # 32 kB, 43 kB in base 64
    (tmp_path / "text").write_text("no audio")
    budget = AudioBudget(100_000)
    embedded = [budget.embed(tmp_path / name) for name in ("a", "text", "gone", "b", "c")]
    assert [bool(uri) for uri in embedded] == [True, False, False, True, False]
    content = base64.b64decode(embedded[0].removeprefix("data:audio/wav;base64,"))
    samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    assert np.array_equal(samples, fake.make_tone(440))
