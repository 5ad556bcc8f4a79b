"""Corpora of one's own and of others, to manifests: the parts that every prepare.py uses."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.data import Clip, corpus, find_audio, find_folder, match_names, prepare_once, read_cuts
from speechkit.errors import UserError


def write_audio(path: Path, n_samples: int = 800, rate: int = 8000, n_channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((n_samples, n_channels), 0.1), rate)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    names = ("a", "b", "c")
    return [Clip(write_audio(tmp_path / "data" / f"{n}.wav"), n, "x", speaker=f"speaker-{n}") for n in names]


def prepare(folder: Path, clips: list[Clip], calls: list[int], **arguments: object) -> None:
    def make() -> dict[str, list[Clip]]:
        calls.append(1)
        return {"train": clips[:-1], "test": clips[-1:]}

    prepare_once(folder / "out", make, inputs=[folder / "data"], arguments=arguments)


def test_cuts_hold_what_is_known_of_a_clip(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", n_samples=1200, rate=8000, n_channels=2)
    clip = Clip(path, "some-id", "dog", speaker="s1", group="g1")
    (cut,) = corpus.make_cuts([clip])
    assert (cut.id, cut.duration, cut.sampling_rate, cut.num_samples) == ("some-id", 0.15, 8000, 1200)
    (segment,) = cut.supervisions
    assert (segment.text, segment.speaker, segment.custom) == ("dog", "s1", {"group": "g1"})
    assert cut.channel == [0, 1]
    assert cut.recording.sources[0].source == str(path)


def test_made_again_only_when_something_changed(tmp_path: Path, clips: list[Clip]) -> None:
    calls: list[int] = []
    prepare(tmp_path, clips, calls, labels=("x",))
    prepare(tmp_path, clips, calls, labels=["x"])
    assert len(calls) == 1
    prepare(tmp_path, clips, calls, labels=["x", "y"])
    assert len(calls) == 2
    write_audio(tmp_path / "data" / "deep" / "below" / "d.wav")
    prepare(tmp_path, clips, calls, labels=["x", "y"])
    assert len(calls) == 3
    (tmp_path / "data" / "b.wav").write_bytes(b"other")
    prepare(tmp_path, clips, calls, labels=["x", "y"])
    assert len(calls) == 4
    (tmp_path / "out" / "test.jsonl").unlink()
    prepare(tmp_path, clips, calls, labels=["x", "y"])
    assert len(calls) == 5
    prepare(tmp_path, clips, calls, labels=["x", "y"])
    assert len(calls) == 5


def test_an_interrupted_one_is_not_taken_for_done(tmp_path: Path, clips: list[Clip], monkeypatch) -> None:
    calls: list[int] = []
    prepare(tmp_path, clips, calls)
    write, written = corpus.write_cuts, []

    def interrupted(cuts, path):
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(cuts, path)

    monkeypatch.setattr(corpus, "write_cuts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, clips[1:], calls, other=1)
    monkeypatch.setattr(corpus, "write_cuts", write)
    prepare(tmp_path, clips, calls)  # as the first time: its mark must be gone
    assert [cut.id for cut in read_cuts(tmp_path / "out" / "train.jsonl")] == ["a", "b"]


def test_what_cannot_be_read_is_named_and_kept(tmp_path: Path, clips: list[Clip], caplog) -> None:
    clips[0].path.write_bytes(b"broken")
    write_audio(clips[1].path, n_samples=0)
    with caplog.at_level(logging.WARNING):
        cuts = corpus.make_cuts(clips)
    assert "2 files cannot be read as audio" in caplog.text
    assert str(clips[0].path) in caplog.text
    assert [cut.duration for cut in cuts] == [1.0, 1.0, 0.1]


def test_one_id_of_two_files_is_refused(tmp_path: Path, clips: list[Clip]) -> None:
    twin = Clip(write_audio(tmp_path / "data" / "a.flac"), "a", "x")
    with pytest.raises(UserError, match=r"two files of one clip, a: .*a\.wav and .*a\.flac"):
        prepare(tmp_path, [*clips, twin], [])
    assert not (tmp_path / "out").exists()


def test_a_subset_without_clips_is_refused(tmp_path: Path, clips: list[Clip]) -> None:
    with pytest.raises(UserError, match="no clips for train"):
        prepare(tmp_path, clips[:1], [])


def test_audio_is_found_by_its_suffix(tmp_path: Path) -> None:
    kept = [write_audio(tmp_path / name) for name in ("a.FLAC", "b.wav", "deep/c.ogg")]
    for name in (".hidden.wav", ".git/d.wav", "notes.txt", "e.wav/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no audio")
    assert find_audio(tmp_path) == kept


def test_names_of_another_form_are_told(tmp_path: Path, caplog) -> None:
    paths = [tmp_path / "1_x.wav", tmp_path / "readme.wav", tmp_path / "1_x_2.wav"]
    with caplog.at_level(logging.WARNING):
        assert list(match_names(paths, "(?P<n>[0-9])_x")) == [(paths[0], {"n": "1"})]
    assert "2 files have names of another form" in caplog.text
    assert "readme.wav" in caplog.text


def test_a_folder_that_is_another(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*none; expected a corpus"):
        find_folder(tmp_path / "none", expected="a corpus")
    with pytest.raises(UserError, match=r"data_folder: .* is empty"):
        find_folder(tmp_path, expected="a corpus")
    (tmp_path / "inner" / "audio").mkdir(parents=True)
    with pytest.raises(UserError, match=r"lacks audio; .*did you mean .*inner\?"):
        find_folder(tmp_path, "audio", expected="a corpus")
    assert find_folder(tmp_path / "inner", "audio", expected="a corpus") == (tmp_path / "inner").resolve()
