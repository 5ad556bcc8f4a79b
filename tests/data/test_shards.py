"""Shards: the samples of the files, bit for bit; whole or not at all; nothing in them is executed."""

import contextlib
import copy
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lhotse import AudioSource, CutSet, MonoCut, MultiCut, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler
from lhotse.utils import fastcopy

from speechkit.cli import main
from speechkit.data import Batch, CutBatches, Speed, read_cuts, write_cuts, write_shards
from speechkit.data import sharding as sharding_module
from speechkit.errors import UserError

SHUFFLED = partial(DynamicBucketingSampler, max_duration=4.0, num_buckets=3, shuffle=True)
IN_ORDER = partial(SimpleCutSampler, max_cuts=4)


def batches(manifest: Path, sampler=IN_ORDER, epoch: int = 1, rate: int = 16000, **settings) -> list[Batch]:
    skip = settings.pop("skip", 0)
    return list(CutBatches(manifest, sampler, rate, **settings).iterate(1, epoch, skip))


def flat(lists: Iterable[list]) -> list:
    return list(chain.from_iterable(lists))


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.ids, ours.texts, ours.speakers) == (theirs.ids, theirs.texts, theirs.speakers)
        assert ours.seconds == theirs.seconds
        assert torch.equal(ours.waveforms, theirs.waveforms)
        assert torch.equal(ours.lengths, theirs.lengths)


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("audio_format", ["flac", "wav", "original"])
def test_shards_hold_the_samples_of_the_files(corpus, tmp_path, audio_format, n_workers):
    done = write_shards(corpus, tmp_path / "shards", 5, audio_format, n_workers)
    assert (done.n_cuts, done.n_shards, done.skipped) == (23, 5, [])
    assert done.seconds == pytest.approx(sum(cut.duration for cut in read_cuts(corpus)))
    assert_same(batches(tmp_path / "shards"), batches(corpus))


def test_lhotse_reads_the_same(corpus, tmp_path):
    write_shards(corpus, tmp_path / "shards", 5)
    theirs = list(CutSet.from_shar(in_dir=tmp_path / "shards" / "shar"))
    ours = list(read_cuts(corpus))
    assert [cut.id for cut in theirs] == [cut.id for cut in ours]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.supervisions == other.supervisions
        np.testing.assert_array_equal(mine.load_audio(), other.load_audio())


@pytest.mark.parametrize(
    "subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
)
@pytest.mark.parametrize("audio_format", ["flac", "wav", "original"])
def test_every_depth_is_held_exactly(tmp_path, make_cut, subtype, audio_format):
    x = np.random.default_rng(0).uniform(-1.2 if subtype in ("FLOAT", "DOUBLE") else -1, 1, 5001)
    write_cuts([make_cut("a", x, subtype=subtype)], tmp_path / "m.jsonl")
    write_shards(tmp_path / "m.jsonl", tmp_path / "shards", audio_format=audio_format)
    assert_same(batches(tmp_path / "shards"), batches(tmp_path / "m.jsonl"))


def odd_cuts(tmp_path: Path, make_cut) -> list[Cut]:
    """Parts of files, channels, several files, a rate that the manifest has wrong, compressed audio."""
    rng = np.random.default_rng(0)
    long, stereo = make_cut("long", rng.uniform(-1, 1, 16001)), make_cut("st", rng.uniform(-1, 1, (8001, 2)))
    right = fastcopy(stereo.recording.to_cut(), id="right")
    right = MonoCut("right", 0.1, 0.3, 1, recording=stereo.recording)
    both = MultiCut("both", 0, stereo.duration, [0, 1], recording=stereo.recording)
    sources = [
        AudioSource(
            "file", [index], make_cut(f"mic{index}", rng.uniform(-1, 1, 4000)).recording.sources[0].source
        )
        for index in range(3)
    ]
    array = Recording("array", sources, 16000, 4000, 0.25)
    wrong_rate = make_cut("wrong", rng.uniform(-0.5, 0.5, 4410), rate=44100)
    wrong_rate.recording = fastcopy(wrong_rate.recording, sampling_rate=16000, num_samples=1600)
    mono_says = make_cut("mono", rng.uniform(-1, 1, (800, 2)))
    mono_says = MonoCut(
        "mono",
        0,
        0.05,
        0,
        recording=fastcopy(
            mono_says.recording,
            channel_ids=[0],
            sources=[fastcopy(mono_says.recording.sources[0], channels=[0])],
        ),
    )
    soundfile.write(tmp_path / "v.ogg", rng.uniform(-0.5, 0.5, 16000), 16000)
    vorbis = Recording.from_file(tmp_path / "v.ogg").to_cut()
    short = fastcopy(long, id="short", duration=1.01)  # the file ends a little earlier, as tolerated
    short.recording = fastcopy(long.recording, duration=1.01, num_samples=16160)
    return [
        long, fastcopy(long, id="part", start=0.3333, duration=0.25), right, both, short, wrong_rate,
        mono_says,
        MultiCut("two mics", 0.05, 0.1, [0, 2], recording=array), fastcopy(vorbis, id="vorbis"),
        MonoCut("a mic", 0.05, 0.1, 1, recording=array),
        make_cut("slow", rng.uniform(-1, 1, 4000), rate=8000),
    ]  # fmt: skip


@pytest.mark.parametrize("audio_format", ["flac", "wav", "original"])
def test_odd_cuts_are_read_as_from_files(tmp_path, make_cut, audio_format):
    write_cuts(odd_cuts(tmp_path, make_cut), tmp_path / "m.jsonl")
    write_shards(tmp_path / "m.jsonl", tmp_path / "shards", 3, audio_format)
    found, expected = batches(tmp_path / "shards"), batches(tmp_path / "m.jsonl")
    assert [len(batch) for batch in expected] == [4, 4, 3]
    assert_same(found, expected)
    shutil.rmtree(tmp_path / "shards" / "unfinished", ignore_errors=True)
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    assert_same(batches(tmp_path / "shards"), expected)  # nothing is read from the files


def test_a_volume_is_held_with_the_samples(tmp_path, make_cut):
    """As `_silence_` has it, which is noise made softer."""
    loud = make_cut("loud", np.random.default_rng(0).uniform(-0.5, 0.5, 4000))
    write_cuts([loud.perturb_volume(0.3, affix_id=False)], tmp_path / "manifest.jsonl")
    write_shards(tmp_path / "manifest.jsonl", tmp_path / "shards")
    sampler = partial(SimpleCutSampler, max_cuts=1)
    (file,), (shard,) = (
        list(CutBatches(str(tmp_path / name), sampler, 16000).iterate(0, 1))
        for name in ("manifest.jsonl", "shards")
    )
    assert torch.equal(file.waveforms, shard.waveforms)
    assert 0.1 < file.waveforms.abs().max() < 0.2


def test_original_files_are_copied(tmp_path, make_cut):
    cut = make_cut("a", np.random.default_rng(0).uniform(-1, 1, 500))
    write_cuts([cut], tmp_path / "m.jsonl")
    write_shards(tmp_path / "m.jsonl", tmp_path / "shards", audio_format="original")
    data = (tmp_path / "a.wav").read_bytes()
    assert data in (tmp_path / "shards" / "shar" / "recording.000000.tar").read_bytes()


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


def test_unreadable_audio_is_named_counted_and_left_out(corpus, tmp_path, capsys):
    folder = corpus.parent
    (folder / "clip03.wav").unlink()
    (folder / "clip05.wav").write_bytes(b"no audio")
    soundfile.write(folder / "clip07.wav", np.zeros(0), 16000)
    soundfile.write(folder / "clip20.wav", np.full(30000, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(SystemExit) as stop:
        main(["shard", str(corpus), str(tmp_path / "s"), "--shard_size", "4", "--n_workers", "1"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "cut clip03 is left out: " in out
    assert "clip03.wav: no such file" in out
    assert "left out: 2 unreadable, 1 empty, 1 not finite" in out
    assert "19 cuts" in out
    shards = batches(tmp_path / "s")
    files = batches(corpus)
    assert flat(batch.ids for batch in shards) == flat(batch.ids for batch in files)
    index = json.loads((tmp_path / "s" / "index.json").read_text())
    assert [name for name, _, _ in index["skipped"]] == ["clip03", "clip05", "clip07", "clip20"]


def refuse(corpus: Path, cut: Cut, match: str, folder: Path) -> None:
    write_cuts([*read_cuts(corpus), cut], folder / "m.jsonl")
    with pytest.raises(UserError, match=match):
        write_shards(folder / "m.jsonl", folder / "refused", 4)
    with pytest.raises(UserError, match=r"no shards in .*: it has no index\.json"):
        batches(folder / "refused")


def test_what_shards_cannot_hold_is_refused(corpus, tmp_path):
    cut = next(iter(read_cuts(corpus)))
    mixed = fastcopy(cut, id="a").mix(fastcopy(cut, id="b"), snr=5, preserve_id="left")
    refuse(corpus, mixed, r"m\.jsonl:24:1: cut 'a' is a MixedCut", tmp_path)
    (tmp_path / "1").mkdir(), (tmp_path / "2").mkdir()
    faster = fastcopy(cut, id="fast", recording=cut.recording).perturb_speed(0.9)
    refuse(corpus, faster, "has a recording with transforms, which shards cannot hold", tmp_path / "1")
    target = fastcopy(cut, id="t", custom={"target": cut.recording})
    refuse(corpus, target, "further recordings among its custom fields", tmp_path / "2")


def test_folders_of_others_are_left_alone(corpus, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("text")
    with pytest.raises(UserError, match="is not empty"):
        write_shards(corpus, tmp_path / "full")
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="is a file"):
        write_shards(corpus, corpus)
    write_shards(corpus, tmp_path / "s", 5)
    for changed in ({"shard_size": 6}, {"audio_format": "wav"}):
        with pytest.raises(UserError, match="shards of another manifest or other settings"):
            write_shards(corpus, tmp_path / "s", **({"shard_size": 5} | changed))
    before = (tmp_path / "s" / "index.json").stat()
    assert write_shards(corpus, tmp_path / "s", 5).n_cuts == 23  # is there: nothing is written
    assert (tmp_path / "s" / "index.json").stat() == before
    lines = corpus.read_text().splitlines(keepends=True)
    corpus.write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="another manifest"):
        write_shards(corpus, tmp_path / "s", 5)
    for bad in ({"shard_size": 0}, {"audio_format": "mp3"}):
        with pytest.raises(UserError, match="expected"):
            write_shards(corpus, tmp_path / "new", **bad)


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("n_written", [0, 1, 3, 5])
def test_a_stopped_command_goes_on(corpus, tmp_path, monkeypatch, n_written):
    write_shards(corpus, tmp_path / "whole", 5)
    original, calls = sharding_module.pack, []

    def stopping(folder, number, lines, audio_format):
        if len(calls) == n_written:
            (folder / "shar" / f".unfinished.recording.{number:06d}.tar").write_bytes(b"half")
            raise KeyboardInterrupt
        calls.append(number)
        return original(folder, number, lines, audio_format)

    monkeypatch.setattr(sharding_module, "pack", stopping)
    if n_written < 5:
        with pytest.raises(KeyboardInterrupt):
            write_shards(corpus, tmp_path / "s", 5)
        with pytest.raises(UserError, match=r"no index\.json; write shards by .*same command goes on"):
            batches(tmp_path / "s")
    monkeypatch.setattr(sharding_module, "pack", lambda *a: calls.append(a[1]) or original(*a))
    write_shards(corpus, tmp_path / "s", 5)
    assert calls == [0, 1, 2, 3, 4]  # each shard once
    assert digests(tmp_path / "s") == digests(tmp_path / "whole")


def slowly(corpus: Path, folder: Path) -> None:
    original = sharding_module.pack
    sharding_module.pack = lambda *a: (time.sleep(0.02), original(*a))[1]
    write_shards(corpus, folder, 2)


@pytest.mark.integration
def test_killed_at_any_moment_it_ends_in_the_same_bytes(corpus, tmp_path):
    write_shards(corpus, tmp_path / "whole", 2)
    draw = random.Random(0)
    context = multiprocessing.get_context("fork")
    n_killed = 0
    for _ in range(40):
        process = context.Process(target=slowly, args=(corpus, tmp_path / "s"))
        process.start()
        process.join(draw.uniform(0.02, 0.12))
        if process.exitcode == 0:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        n_killed += 1
    write_shards(corpus, tmp_path / "s", 2)
    assert n_killed > 2
    assert digests(tmp_path / "s") == digests(tmp_path / "whole")


def test_two_at_once_are_refused(corpus, tmp_path):
    write_shards(corpus, tmp_path / "s", 5)
    with sharding_module._alone(tmp_path / "s"), pytest.raises(UserError, match="another process is writing"):
        write_shards(corpus, tmp_path / "s", 5)


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


def test_the_command(corpus, tmp_path, capsys):
    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["shard", *map(str, arguments)])
        return stop.value.code

    assert run(corpus, tmp_path / "s", "--shard_size", 10, "--format", "wav", "--n_workers", 2) == 0
    out = capsys.readouterr().out
    assert "no cut is left out" in out
    assert f"in 3 shards: {tmp_path / 's'}" in out
    assert run(tmp_path / "absent.jsonl", tmp_path / "t") == 2
    assert "no manifest" in capsys.readouterr().err
    assert run(corpus, tmp_path / "t", "--format", "mp3") == 2
    assert run(corpus, tmp_path / "t", "--shard_size", 0) == 2
    assert not (tmp_path / "t").exists()


def test_speech_of_a_corpus(real_speech_commands, tmp_path):
    paths = sorted(real_speech_commands.glob("*/*"))[:30]
    paths = [path for path in paths if path.is_file()]
    cuts = []
    for path in paths:
        cut = Recording.from_file(path).to_cut()
        cut.id = f"{path.parent.name}/{path.stem}"
        cut.supervisions = [SupervisionSegment(cut.id, cut.id, 0, cut.duration, text=path.parent.name)]
        cuts.append(cut)
    write_cuts(cuts, tmp_path / "m.jsonl")
    assert write_shards(tmp_path / "m.jsonl", tmp_path / "s", 7).skipped == []
    assert_same(batches(tmp_path / "s"), batches(tmp_path / "m.jsonl"))
