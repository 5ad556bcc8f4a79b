"""The sequence of batches: a function of seed and epoch, on any number of workers."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler

from speechkit.data import (
    Batch,
    CutBatches,
    FixDuration,
    Noise,
    Speed,
    TimeShift,
    read_cuts,
    write_cuts,
    write_shards,
)
from speechkit.errors import UserError
from speechkit.ops.sharing import Share

SAMPLERS = {
    "simple": partial(SimpleCutSampler, max_cuts=3, shuffle=True),
    "bucketing": partial(DynamicBucketingSampler, max_duration=4.0, num_buckets=3, shuffle=True),
}


def augmented(corpus: Path, sampler: str = "simple", n_workers: int = 0, **settings) -> CutBatches:
    transforms = [Speed(0.9, 1.1), TimeShift(0.1), Noise(str(corpus.parent / "noise.jsonl"), (5, 20), 0.8)]
    return CutBatches(str(corpus), SAMPLERS[sampler], 16000, transforms, n_workers, **settings)


def digest(batches: list[Batch]) -> str:
    """Of all that a batch holds, bit for bit."""
    text = hashlib.sha256()
    for batch in batches:
        rest = (batch.ids, batch.texts, batch.speakers, batch.seconds, batch.lengths.tolist(), batch.skipped)
        text.update(repr(rest).encode() + batch.waveforms.numpy().tobytes())
    return text.hexdigest()


def equal(first: list[Batch], second: list[Batch]) -> bool:
    return digest(first) == digest(second)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_epoch_has_every_cut_once_and_its_own_order(corpus, noise, sampler):
    data = augmented(corpus, sampler)
    first, second = (list(data.iterate(seed=1, epoch=epoch)) for epoch in (1, 2))
    assert len(first) > 5
    ids = [name for batch in first for name in batch.ids]
    assert sorted(ids) == [f"clip{i:02d}" for i in range(23)]
    assert data.n_cuts() == 23
    assert sum(data.durations()) == pytest.approx(sum(cut.duration for cut in read_cuts(corpus)))
    assert ids != sorted(ids)
    assert ids != [name for batch in second for name in batch.ids]
    assert not equal(first, list(data.iterate(seed=2, epoch=1)))
    # Neither seed + epoch nor their order of addition is the key.
    assert not equal(list(data.iterate(seed=2, epoch=1)), second)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_went_before_changes_nothing(corpus, noise, sampler):
    expected = list(augmented(corpus, sampler).iterate(seed=1, epoch=2))
    data = augmented(corpus, sampler)
    interrupted = data.iterate(seed=1, epoch=1)
    next(interrupted)
    next(interrupted)
    half = data.iterate(seed=1, epoch=2)
    next(half)
    assert equal(list(data.iterate(seed=1, epoch=2)), expected)
    next(interrupted)
    assert equal(list(half), expected[1:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_skipping_gives_the_rest_and_opens_no_audio(corpus, noise, sampler, monkeypatch):
    data = augmented(corpus, sampler)
    every = list(data.iterate(seed=1, epoch=1))
    opened = []
    original = soundfile.SoundFile.__init__

    def counted(self, *args, **kwargs):
        opened.append(args[0])
        original(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", counted)
    for skip in (0, 1, len(every) - 1):
        assert equal(list(data.iterate(seed=1, epoch=1, skip=skip)), every[skip:])
    opened.clear()
    assert len(next(data.iterate(seed=1, epoch=1, skip=len(every) - 1))) == len(every[-1])
    assert len(opened) <= 2 * len(every[-1])  # a clip and its noise
    opened.clear()
    assert list(data.iterate(seed=1, epoch=1, skip=len(every))) == []
    assert opened == []


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_workers_give_the_same_bits(corpus, noise, sampler):
    every = list(augmented(corpus, sampler).iterate(seed=1, epoch=3))
    for n_workers in (1, 2):
        data = augmented(corpus, sampler, n_workers)
        assert equal(list(data.iterate(seed=1, epoch=3)), every)
        assert equal(list(data.iterate(seed=1, epoch=3, skip=4)), every[4:])


def test_threads_of_the_main_process_change_nothing(corpus, noise):
    data, n_threads = augmented(corpus), torch.get_num_threads()
    every = list(data.iterate(seed=1, epoch=1))
    torch.set_num_threads(2)
    try:
        assert equal(list(data.iterate(seed=1, epoch=1)), every)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.integration
def test_another_process_gives_the_same_bits(corpus, noise):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_batches import augmented, digest
for sampler in ("simple", "bucketing"):
    print(digest(augmented(Path({str(corpus)!r}), sampler).iterate(seed=5, epoch=2)))
"""
    # Neither the hash seed nor a launcher's environment may matter.
    environment = os.environ | {"PYTHONHASHSEED": "77", "RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    expected = [digest(augmented(corpus, sampler).iterate(seed=5, epoch=2)) for sampler in SAMPLERS]
    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize("n_workers", [0, 2])
def test_random_numbers_of_others_are_left_alone(corpus, noise, n_workers):
    import random

    def state() -> tuple:
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = state()
    first = list(augmented(corpus, n_workers=n_workers).iterate(seed=1, epoch=1))
    assert state() == before
    torch.rand(3), np.random.rand(), random.random()
    assert equal(first, list(augmented(corpus, n_workers=n_workers).iterate(seed=1, epoch=1)))


def test_augmentation_is_keyed_by_the_cut_not_by_its_place(corpus, noise):
    """The same epoch and cut give the same samples in whatever batch the cut comes."""
    one = augmented(corpus)
    other = augmented(corpus)
    other.sampler = partial(SimpleCutSampler, max_cuts=7)
    rows: dict[str, list[torch.Tensor]] = {}
    for data in (one, other):
        for batch in data.iterate(seed=1, epoch=1):
            for name, row, n in zip(batch.ids, batch.waveforms, batch.lengths, strict=True):
                rows.setdefault(name, []).append(row[:n])
    assert all(torch.equal(*pair) for pair in rows.values())
    (changed,) = list(one.iterate(seed=1, epoch=2, skip=7))
    parts = zip(changed.ids, changed.waveforms, changed.lengths, strict=True)
    assert not any(torch.equal(row[:n], rows[name][0]) for name, row, n in parts)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_skipped_audio_and_notices_come_through(corpus, noise, n_workers):
    folder = corpus.parent
    (folder / "clip03.wav").unlink()
    soundfile.write(folder / "clip07.wav", np.zeros((30000, 2)), 16000)
    soundfile.write(folder / "clip08.wav", np.zeros((30000, 2)), 16000)
    data = augmented(corpus, n_workers=n_workers)
    batches = list(data.iterate(seed=1, epoch=1))
    assert [skipped.id for batch in batches for skipped in batch.skipped] == ["clip03"]
    assert sum(map(len, batches)) == 22
    told = sorted(text.split()[1] for batch in batches for text in batch.notices)
    assert told == ["clip03", "has"]  # "cut clip03 is left out", "FILE has 2 channels": of two files, once
    assert [text for batch in data.iterate(seed=1, epoch=2) for text in batch.notices] == []


@pytest.mark.parametrize("n_workers", [0, 1, 2])
def test_a_users_mistake_arrives_as_such(corpus, noise, n_workers):
    (corpus.parent / "clip03.wav").unlink()
    data = augmented(corpus, n_workers=n_workers, unreadable="stop")
    with pytest.raises(UserError) as error:
        list(data.iterate(seed=1, epoch=1))
    assert str(error.value) == (
        f"audio of cut clip03 cannot be used: {corpus.parent / 'clip03.wav'}: no such file; "
        "mend or remove the audio, or set unreadable: skip"
    )
    noise.write_text("not json\n")
    with pytest.raises(UserError, match=r"noise\.jsonl:1:1: not JSON") as error:
        list(augmented(corpus, n_workers=n_workers).iterate(seed=1, epoch=1))
    assert error.value.place.line == 1


def test_workers_ignore_the_interrupt_and_end_with_the_iteration(corpus, noise):
    import signal

    from torch.multiprocessing import active_children

    batches = augmented(corpus, n_workers=2).iterate(seed=1, epoch=1)
    next(batches)
    workers = active_children()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    assert len(list(batches)) > 3
    batches = augmented(corpus, n_workers=2).iterate(seed=1, epoch=1)
    next(batches)
    workers = active_children()
    batches.close()
    for worker in workers:
        worker.join(5)
    assert active_children() == []


def test_mistakes_are_named(corpus, tmp_path):
    sampler = SAMPLERS["simple"]
    data = CutBatches("absent.jsonl", sampler, 16000)  # a constructor reads nothing
    with pytest.raises(UserError, match=r"no manifest 'absent\.jsonl'"):
        next(data.iterate(1, 1))
    with pytest.raises(UserError, match="no manifest"):
        data.n_cuts()
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="no cuts in"):
        next(CutBatches(tmp_path / "empty.jsonl", sampler, 16000).iterate(1, 1))
    with pytest.raises(UserError, match="skip or stop"):
        CutBatches("a", sampler, 16000, unreadable="ignore")
    with pytest.raises(UserError, match="n_workers"):
        CutBatches("a", sampler, 16000, n_workers=-1)
    with pytest.raises(UserError, match=r"the sampler does not work on .*max_cuts has to be set"):
        next(CutBatches(corpus, SimpleCutSampler, 16000).iterate(1, 1))
    with pytest.raises(UserError, match=r"the sampler's max_cuts is 0; expected more than 0"):
        CutBatches(corpus, partial(SimpleCutSampler, max_cuts=0), 16000)

    def assertive(cuts, **settings):  # Lhotse asserts most of its settings without a word
        raise AssertionError

    with pytest.raises(UserError, match="AssertionError at raise AssertionError; change"):
        next(CutBatches(corpus, assertive, 16000).iterate(1, 1))
    many = partial(DynamicBucketingSampler, max_duration=5, num_buckets=50)
    with pytest.raises(UserError, match="the sampler does not work on"):
        next(CutBatches(corpus, many, 16000).iterate(1, 1))
    concurrent = partial(DynamicBucketingSampler, max_duration=5, num_buckets=2, concurrent=True)
    with pytest.raises(UserError, match="depend on the clock"):
        next(CutBatches(corpus, concurrent, 16000).iterate(1, 1))


def test_two_cuts_of_one_id_are_refused(corpus):
    """Their augmentation, predictions and scores would be taken for each other's."""
    lines = corpus.read_text().splitlines()
    corpus.write_text("\n".join([*lines, lines[4]]))
    with pytest.raises(UserError, match=r"two cuts with the id 'clip04' in .*cuts\.jsonl"):
        next(CutBatches(corpus, SAMPLERS["simple"], 16000).iterate(1, 1))


def test_real_speech(real_speech_commands, tmp_path):
    from lhotse import Recording

    from speechkit.data import write_cuts

    paths = sorted(real_speech_commands.glob("yes/*"))[:20]
    write_cuts([Recording.from_file(path).to_cut() for path in paths], tmp_path / "cuts.jsonl")
    data = CutBatches(tmp_path / "cuts.jsonl", SAMPLERS["simple"], 16000, [FixDuration(1.0)])
    batches = list(data.iterate(1, 1))
    assert sum(map(len, batches)) == len(paths)
    assert all(batch.waveforms.shape[1] == 16000 for batch in batches)
    assert not any(batch.skipped or batch.notices for batch in batches)
    loudest = torch.cat([batch.waveforms for batch in batches]).abs().amax(dim=1)
    assert loudest.min() > 0.01


@pytest.mark.parametrize("n_workers", [0, 2])
def test_processes_share_the_batches_of_one(corpus, noise, n_workers):
    alone = list(augmented(corpus).iterate(1, 1, skip=3))
    shares = [
        list(augmented(corpus, n_workers=n_workers).iterate(1, 1, 3, Share(rank, 2, 3))) for rank in (0, 1)
    ]
    together = [batch for turn in zip(*shares, strict=True) for batch in turn if len(batch)]
    assert equal(together, alone)
    assert [batch.turn for batch in shares[0]] == [batch.turn for batch in shares[1]]
    assert sum(batch.turn.n_cuts for batch in shares[0]) == 23 - 3 * 3


def test_texts_are_those_of_the_manifest_and_cost_no_audio(corpus, tmp_path, monkeypatch):
    """Of a manifest and of its shards, in order; one text a cut, "" of a cut without."""
    cuts = list(read_cuts(corpus))
    cuts[3].supervisions = []
    cuts[5].supervisions = [*cuts[5].supervisions, *cuts[6].supervisions]
    write_cuts(cuts, corpus)
    expected = [f"w{n}" for n in range(23)]
    expected[3], expected[5] = "", "w5 w6"
    write_shards(corpus, tmp_path / "shards", shard_size=4)
    monkeypatch.setattr("speechkit.data.batches.load_waveform", None)
    for manifest in (corpus, tmp_path / "shards"):
        data = CutBatches(manifest, partial(SimpleCutSampler, max_cuts=3, shuffle=True), 16000)
        assert list(data.texts()) == expected
