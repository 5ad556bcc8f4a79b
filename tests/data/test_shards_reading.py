"""Shards are read in an order of their own, with nothing of them executed and no damage unnoticed."""

import contextlib
import copy
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechkit.data import CutBatches, Speed, read_cuts, write_cuts, write_shards
from speechkit.errors import UserError

from .batch_lists import IN_ORDER, SHUFFLED, assert_same, batches, flat


@pytest.mark.parametrize("n_workers", [0, 2])
def test_resume_and_workers_give_the_same_bits(corpus, tmp_path, n_workers):
    write_shards(corpus, tmp_path / "s", 3)
    transforms = [Speed(0.9, 1.1)]
    every = batches(tmp_path / "s", SHUFFLED, transforms=transforms)
    assert sorted(flat(batch.ids for batch in every)) == [f"clip{i:02d}" for i in range(23)]
    assert [batch.ids for batch in every] != [batch.ids for batch in batches(tmp_path / "s", SHUFFLED, 2)]
    for skip in (0, 1, 4, len(every) - 1, len(every)):
        options = {"transforms": transforms, "n_workers": n_workers, "skip": skip}
        assert_same(batches(tmp_path / "s", SHUFFLED, **options), every[skip:])


def test_each_cut_has_the_same_samples_from_shards_and_from_files(corpus, tmp_path):
    """The order is another, what is drawn for a cut is not."""
    write_shards(corpus, tmp_path / "s", 3)
    rows: list[dict[str, torch.Tensor]] = []
    for manifest in (corpus, tmp_path / "s"):
        found = batches(manifest, SHUFFLED, transforms=[Speed(0.9, 1.1)])
        rows.append(
            {
                name: row[:n]
                for batch in found
                for name, row, n in zip(batch.ids, batch.waveforms, batch.lengths, strict=True)
            }
        )
    assert rows[0].keys() == rows[1].keys()
    assert all(torch.equal(rows[0][name], rows[1][name]) for name in rows[0])


def test_skipping_opens_no_archive(corpus, tmp_path, monkeypatch):
    from speechkit.data.reading import TarAudio

    write_shards(corpus, tmp_path / "s", 3)
    every = batches(tmp_path / "s", SHUFFLED)
    opened = []
    original = TarAudio.read
    monkeypatch.setattr(TarAudio, "read", lambda self: opened.append(self.source) or original(self))
    last = batches(tmp_path / "s", SHUFFLED, skip=len(every) - 1)
    assert len(opened) == len(last[0]) < 23


def test_lines_of_few_shards_are_in_memory(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("speechkit.data.shards.N_LINES_IN_MEMORY", 6)
    write_shards(corpus, tmp_path / "s", 3)
    data = CutBatches(tmp_path / "s", SHUFFLED, 16000)
    expected = batches(tmp_path / "s", SHUFFLED)
    for number, batch in enumerate(data.iterate(1, 1)):
        assert_same([batch], expected[number : number + 1])
        assert len(data._table._lines) <= 2


@pytest.fixture
def shards(corpus, tmp_path) -> Path:
    write_shards(corpus, tmp_path / "shards", 5)
    return tmp_path / "shards"


def replace_line(folder: Path, changed: dict) -> None:
    """The first line of the second shard, with an index that knows of it: by one who means harm."""
    path = folder / "shar" / "cuts.000001.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    lines[0] = json.dumps(json.loads(lines[0]) | changed) + "\n"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    index = json.loads((folder / "index.json").read_text())
    index["shards"][1]["cuts_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))


def hostile_sources(touched: Path) -> dict[str, tuple[dict, str]]:
    command = f"touch {touched}"
    return {
        "command": ({"type": "command", "source": command}, "an audio source of type 'command'"),
        "url": ({"type": "url", "source": "http://localhost/a.wav"}, "an audio source of type 'url'"),
        "pipe": ({"source": f"pipe:{command}"}, "a command where a path should be"),
        "kaldi": ({"source": f"{command} |"}, "a command where a path should be"),
        "another file": ({"type": "file", "source": "/etc/passwd"}, "is not one of a shard"),
        "memory": ({"type": "memory", "source": "UklGRg=="}, "is not one of a shard"),
        "path in the archive's place": ({"source": "../../secret:0:10:00000000"}, "has its audio at"),
        "negative": ({"source": "-5:10:00000000"}, "has its audio at"),
        "huge": ({"source": "0:9999999999999999:00000000"}, "has its audio at"),
        "lhotse's own": ({"source": ""}, "has its audio at"),
        "a number": ({"source": 5}, "has its audio at"),
    }


@pytest.mark.parametrize("kind", hostile_sources(Path("x")))
def test_hostile_lines_are_refused_with_file_and_line(shards, tmp_path, kind):
    touched = tmp_path / "touched"
    change, match = hostile_sources(touched)[kind]
    line = json.loads(
        gzip.decompress((shards / "shar" / "cuts.000001.jsonl.gz").read_bytes()).splitlines()[0]
    )
    recording = copy.deepcopy(line["recording"])
    recording["sources"][0].update(change)
    replace_line(shards, {"recording": recording})
    with pytest.raises(UserError, match=rf"cuts\.000001\.jsonl\.gz:1:1: .*{match}"):
        batches(shards)
    assert not touched.exists()


def test_pickles_are_not_loaded(shards, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'touched'}",)

    out = io.BytesIO()
    np.save(out, np.array([Bomb()] * 23, dtype=object), allow_pickle=True)
    for content in (out.getvalue(), pickle.dumps(Bomb())):
        (shards / "seconds.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"seconds\.npy is damaged"):
            batches(shards)
    features = {
        "type": "fbank", "num_frames": 1, "num_features": 1, "frame_shift": 0.01, "sampling_rate": 16000,
        "start": 0, "duration": 1, "storage_type": "memory_raw", "storage_path": "", "storage_key": "gASV",
    }  # fmt: skip
    write_cuts(read_cuts(tmp_path / "cuts.jsonl"), tmp_path / "m.jsonl")
    shutil.rmtree(shards)
    write_shards(tmp_path / "m.jsonl", shards, 5)
    replace_line(shards, {"features": features})
    with pytest.raises(UserError, match=r"cuts\.000001\.jsonl\.gz:1:1: storage of type 'memory_raw'"):
        batches(shards)
    assert not (tmp_path / "touched").exists()


def test_members_of_archives_are_not_interpreted(shards, monkeypatch):
    """Links, devices and names with .. in a tar are nothing to who takes bytes at a place."""
    import tarfile

    expected = batches(shards)

    def never(*args, **kwargs):
        raise AssertionError

    for name in ("open", "TarFile"):
        monkeypatch.setattr(tarfile, name, never)
    assert_same(batches(shards), expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: (f / "shar" / "recording.000002.tar").unlink(), r"no file .*recording\.000002\.tar"),
        (lambda f: (f / "shar" / "cuts.000002.jsonl.gz").unlink(), r"no file .*cuts\.000002"),
        (lambda f: os.truncate(f / "shar" / "recording.000001.tar", 1024), "has 1024 bytes; expected"),
        (lambda f: os.truncate(f / "shar" / "cuts.000001.jsonl.gz", 50), "not the file that the index knows"),
        (lambda f: shutil.copy(f / "shar" / "cuts.000000.jsonl.gz", f / "shar" / "cuts.000001.jsonl.gz"),
         "not the file that the index knows"),
        (lambda f: (f / "index.json").write_text("{"), r"index\.json is damaged"),
        (lambda f: (f / "index.json").write_text('{"schema": 2}'), r"index\.json is damaged: .*schema 2"),
        (lambda f: (f / "index.json").write_text('{"schema": 1, "digest": "", "shards": []}'), "seconds"),
        (lambda f: (f / "index.json").write_text("[" * 100_000), r"index\.json is damaged"),
        (lambda f: (f / "seconds.npy").unlink(), r"seconds\.npy is damaged"),
        (lambda f: os.truncate(f / "seconds.npy", 200), r"seconds\.npy is damaged"),
        (lambda f: np.save(f / "seconds.npy", np.full(23, np.nan)), "durations that make no sense"),
        (lambda f: np.save(f / "seconds.npy", np.ones(23)), r"cut .* where one of 1\.0 s was"),
    ],
)  # fmt: skip
def test_damaged_shards_are_told(shards, change, match):
    change(shards)
    with pytest.raises(UserError, match=match):
        batches(shards)


def test_damaged_audio_is_unreadable_audio(shards):
    path = shards / "shar" / "recording.000001.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1  # within the first clip: its header takes 512 bytes
    path.write_bytes(data)
    found = batches(shards)
    (skipped,) = [each for batch in found for each in batch.skipped]
    assert (skipped.id, skipped.reason) == ("clip05", "unreadable")
    assert "recording.000001.tar: damaged from byte 512 on" in skipped.detail
    assert sum(len(batch) for batch in found) == 22
    with pytest.raises(UserError, match="audio of cut clip05 cannot be used"):
        batches(shards, unreadable="stop")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_any_damage_to_the_index_is_told_or_does_nothing(shards, seed):
    draw = random.Random(seed)
    path = shards / "index.json"
    before = path.read_text()
    text = list(before)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text))
        text[at : at + draw.randint(0, 6)] = draw.choice(
            ["", "null", "-1", '"', "}", "[]", "1e999", "{}", "9"]
        )
    path.write_text("".join(text))
    with contextlib.suppress(UserError):
        found = CutBatches(shards, IN_ORDER, 16000)
        assert sum(len(batch) for batch in found.iterate(1, 1)) == 23
    path.write_text(before)


def test_the_order_is_told_by_the_digest(corpus, tmp_path):
    """A run from files cannot go on from shards, nor from shards of another size: the order is another."""
    write_shards(corpus, tmp_path / "a", 5)
    write_shards(corpus, tmp_path / "b", 6)
    write_shards(corpus, tmp_path / "c", 5)
    a, b, c, files = (
        CutBatches(path, IN_ORDER, 16000).digest()
        for path in (tmp_path / "a", tmp_path / "b", tmp_path / "c", corpus)
    )
    assert a == c
    assert len({a, b, files}) == 3
