"""Shards hold the samples of the files, bit for bit, and are written whole or not at all."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import AudioSource, CutSet, MonoCut, MultiCut, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.dataset import SimpleCutSampler
from lhotse.utils import fastcopy

from speechkit.cli import main
from speechkit.data import CutBatches, read_cuts, write_cuts, write_shards
from speechkit.data import sharding as sharding_module
from speechkit.errors import UserError

from .batch_lists import assert_same, batches, flat


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
