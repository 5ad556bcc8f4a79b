"""The order of an epoch: from manifests and shards, listed and lazily, always a function of (seed, epoch)."""

import contextlib
import json
import os
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lhotse.dataset import BucketingSampler, DynamicBucketingSampler, DynamicCutSampler, SimpleCutSampler

from speechkit.data import CutBatches, sampling
from speechkit.data.indexing import ManifestTable
from speechkit.data.sampling import sample
from speechkit.data.shards import ShardTable
from speechkit.data.tables import CutTable, open_line
from speechkit.errors import UserError

SAMPLERS = {
    "simple": partial(SimpleCutSampler, max_cuts=4, shuffle=True),
    "dynamic": partial(DynamicCutSampler, max_duration=9.0, shuffle=True),
    "dynamic buckets": partial(DynamicBucketingSampler, max_duration=12.0, num_buckets=2, shuffle=True),
}


def flat(lists: Iterable[list]) -> list:
    return list(chain.from_iterable(lists))


def line(number: int, seconds: float, text: str = "yes") -> str:
    name = f"cut{number}"
    recording = {
        "id": name, "sampling_rate": 16000, "num_samples": 16000 * 20, "duration": 20.0, "channel_ids": [0],
        "sources": [{"type": "file", "channels": [0], "source": f"{name}.wav"}],
    }  # fmt: skip
    segment = {"id": name, "recording_id": name, "start": 0.0, "duration": seconds, "text": text}
    cut = {"id": name, "start": 0.0, "duration": seconds, "channel": 0, "type": "MonoCut"}
    return json.dumps(cut | {"supervisions": [segment], "recording": recording}) + "\n"


def write(path: Path, n_cuts: int, seed: int = 0) -> Path:
    seconds = np.random.default_rng(seed).integers(1000, 5000, n_cuts) / 1000
    path.write_text("".join(line(i, each) for i, each in enumerate(seconds.tolist())))
    return path


class MemoryTable(ShardTable):
    """Shards without files: their order alone."""

    def __init__(self, counts: list[int], seed: int) -> None:
        self.shards = [None] * len(counts)
        self._firsts = np.concatenate([[0], np.cumsum(counts)])
        self.seconds = np.random.default_rng(seed).uniform(1, 5, sum(counts))


def batches(table: CutTable, sampler: str, seed: int, epoch: int) -> list[list[int]]:
    return list(sample(table, SAMPLERS[sampler], seed, epoch, "none"))


quiet = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quiet
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=25).filter(lambda counts: sum(counts) > 3),
    seed=st.integers(0, 10**6),
    sampler=st.sampled_from(sorted(SAMPLERS)),
    n_listed=st.sampled_from([0, 10**6]),
)
def test_an_epoch_has_each_cut_of_the_shards_once(monkeypatch, counts, seed, sampler, n_listed):
    monkeypatch.setattr(sampling, "N_LISTED", n_listed)
    table = MemoryTable(counts, seed)
    first = batches(table, sampler, seed, 1)
    assert sorted(flat(first)) == list(range(sum(counts)))
    assert first == batches(MemoryTable(counts, seed), sampler, seed, 1)
    if sum(counts) > 30:  # two orders of few cuts may be the same
        assert first != batches(table, sampler, seed, 2)
        assert first != batches(table, sampler, seed + 1, 1)
        assert batches(table, sampler, seed, 2) != batches(table, sampler, seed + 1, 1)


def test_shards_come_in_windows_of_their_own_order():
    """Cuts of ten shards together, mixed; which ten, and how, is the epoch's."""
    table = MemoryTable([7] * 25, 0)
    orders = [[number // 7 for number in table.order(3, "order", epoch)] for epoch in (1, 2)]
    for shards in orders:
        windows = [set(shards[:70]), set(shards[70:140]), set(shards[140:])]
        assert [len(window) for window in windows] == [10, 10, 5]
        assert windows[0] != set(range(10))
        assert len(set(shards[:10])) > 3
    assert set(orders[0][:70]) != set(orders[1][:70])
    assert list(table.order()) == list(range(175))


@pytest.mark.parametrize("n_listed", [0, 1000])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_manifest_is_shuffled_as_a_whole(tmp_path, monkeypatch, sampler, n_listed):
    """The mean place of the first half's cuts in an epoch is the middle; a window would keep them first."""
    monkeypatch.setattr(sampling, "N_LISTED", n_listed)
    n_cuts = 600
    table = ManifestTable(str(write(tmp_path / "m.jsonl", n_cuts)))
    order = flat(batches(table, sampler, 1, 1))
    places = np.empty(n_cuts)
    places[order] = np.arange(n_cuts)
    # The mean of half of 0 ... n-1 drawn at random deviates by n / sqrt(12 n) = sqrt(n / 12).
    assert abs(places[:300].mean() - (n_cuts - 1) / 2) < 4 * np.sqrt(n_cuts / 12)


@pytest.mark.parametrize("n_listed", [0, 1000])
def test_without_shuffling_cuts_keep_their_order(tmp_path, monkeypatch, n_listed):
    monkeypatch.setattr(sampling, "N_LISTED", n_listed)
    table = ManifestTable(str(write(tmp_path / "m.jsonl", 50)))
    found = list(sample(table, partial(SimpleCutSampler, max_cuts=7), 1, 1, "none"))
    assert flat(found) == list(range(50))
    assert [len(batch) for batch in found] == [7] * 7 + [1]


def test_the_sampler_sees_durations_and_whatever_else_it_asks_for(tmp_path):
    path = write(tmp_path / "m.jsonl", 20)
    seen = []

    def sampler(cuts, **settings):
        for cut in cuts:
            seen.append((cut.id, cut.duration, cut.supervisions[0].text, cut.num_samples))
        return SimpleCutSampler(cuts, max_cuts=5, **settings)

    table = ManifestTable(str(path))
    assert len(list(sample(table, sampler, 1, 1, "none"))) == 4
    cuts = [open_line(table.line(number)) for number in range(20)]
    assert seen == [(cut.id, cut.duration, "yes", cut.num_samples) for cut in cuts]


def test_a_sampler_that_sorts_its_cuts_gets_all_of_them(tmp_path):
    table = ManifestTable(str(write(tmp_path / "m.jsonl", 40)))
    sampler = partial(BucketingSampler, max_cuts=5, num_buckets=4, shuffle=True)
    assert sorted(flat(sample(table, sampler, 1, 1, "none"))) == list(range(40))


def test_blank_lines_and_packed_manifests_are_the_same_cuts(tmp_path):
    import gzip

    plain = ManifestTable(str(write(tmp_path / "m.jsonl", 9)))
    text = (tmp_path / "m.jsonl").read_text()
    (tmp_path / "b.jsonl").write_text("\n \n" + text.replace("\n", "\n\n") + "\n  \n")
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress((tmp_path / "b.jsonl").read_bytes()))
    others = [ManifestTable(str(tmp_path / name)) for name in ("b.jsonl", "p.jsonl.gz")]
    for other in others:
        assert other.digest() == plain.digest()
        assert other.seconds.tolist() == plain.seconds.tolist()
        assert [open_line(other.line(i)).id for i in range(9)] == [f"cut{i}" for i in range(9)]


def test_digests_tell_texts_durations_and_order(tmp_path):
    lines = [line(0, 1.5), line(1, 2.5)]
    texts = [lines, lines[::-1], lines[:1], [line(0, 1.5, "no"), lines[1]], [line(0, 1.25), lines[1]]]
    digests = set()
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.jsonl").write_text("".join(text))
        digests.add(ManifestTable(str(tmp_path / f"{number}.jsonl")).digest())
    assert len(digests) == len(texts)
    (tmp_path / "moved.jsonl").write_text("".join(lines).replace('.wav"', '.flac"'))
    assert ManifestTable(str(tmp_path / "moved.jsonl")).digest() in digests


def test_equal_hashes_are_no_equal_ids(tmp_path, monkeypatch):
    monkeypatch.setattr("speechkit.data.indexing.hash", lambda text: 7, raising=False)
    path = write(tmp_path / "m.jsonl", 12)
    assert len(ManifestTable(str(path)).seconds) == 12
    path.write_text(path.read_text() + line(4, 1.0))
    with pytest.raises(UserError, match=r"two cuts with the id 'cut4' in .*m\.jsonl"):
        ManifestTable(str(path))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch) -> Path:
    """A manifest with its index beside it."""
    monkeypatch.setattr("speechkit.data.indexing.N_KEPT", 10)
    path = write(tmp_path / "m.jsonl", 30)
    ManifestTable(str(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == [".m.jsonl.index", "m.jsonl"]
    return path


def count_parsed(monkeypatch) -> list[object]:
    from speechkit.data import indexing

    parsed: list[object] = []
    original = indexing.parse_cut

    def counted(text, place):
        parsed.append(place)
        return original(text, place)

    monkeypatch.setattr(indexing, "parse_cut", counted)
    return parsed


def test_an_index_is_kept_and_used(kept, monkeypatch):
    parsed = count_parsed(monkeypatch)
    table = ManifestTable(str(kept))
    assert parsed == []
    (kept.parent / ".m.jsonl.index").unlink()
    fresh = ManifestTable(str(kept))
    assert len(parsed) == 30
    assert (table.digest(), table.seconds.tolist()) == (fresh.digest(), fresh.seconds.tolist())
    assert [table.line(i) for i in range(30)] == [fresh.line(i) for i in range(30)]


def test_an_index_of_another_file_is_not_used(kept, monkeypatch):
    """Another file of the same length and time of modification, in the same place."""
    stat = kept.stat()
    text = kept.read_text()
    kept.write_text(text.replace("cut17", "tuc17"))
    os.utime(kept, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (kept.stat().st_size, kept.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    parsed = count_parsed(monkeypatch)
    assert open_line(ManifestTable(str(kept)).line(17)).id == "tuc17"
    assert len(parsed) == 30


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_index_does_no_harm(kept, seed):
    """Cut short, bytes changed: made anew, or a line that is no cut, or another than was indexed."""
    expected = [open_line(ManifestTable(str(kept)).line(i)) for i in range(30)]
    draw = np.random.default_rng(seed)
    index = kept.parent / ".m.jsonl.index"
    data = bytearray(index.read_bytes())
    at = int(draw.integers(len(data)))
    if seed % 3:
        data[at] = int(draw.integers(256))
    else:
        del data[at:]
    index.write_bytes(data)
    with contextlib.suppress(UserError):
        table = ManifestTable(str(kept))
        assert [open_line(table.line(i)) for i in range(30)] == expected


def test_a_manifest_that_changes_under_a_run_is_told(tmp_path):
    path = write(tmp_path / "m.jsonl", 5)
    table = ManifestTable(str(path))
    before = str(table.seconds[0])
    after = "7" + before[1:]
    text = path.read_text().replace(f'"duration": {before}', f'"duration": {after}')
    with open(path, "r+") as file:
        file.write(text)
    with pytest.raises(
        UserError, match=rf"m\.jsonl:1:1: cut 'cut0' of {after} s where one of {before} s was"
    ):
        open_line(table.line(0))
    # A file put in its place is another file: the run goes on with the one that it began with.
    other = ManifestTable(str(write(tmp_path / "n.jsonl", 5, seed=1)))
    expected = [other.line(i) for i in range(5)]
    os.replace(write(tmp_path / "o.jsonl", 5, seed=2), tmp_path / "n.jsonl")
    assert [other.line(i) for i in range(5)] == expected


def test_every_line_is_checked_before_the_first_batch(tmp_path):
    path = write(tmp_path / "m.jsonl", 30)
    hostile = line(30, 1.0).replace('"source": "cut30.wav"', '"source": "pipe:touch x"')
    path.write_text(path.read_text() + hostile)
    data = CutBatches(path, SAMPLERS["simple"], 16000)
    for call in (data.n_cuts, data.digest, lambda: next(data.iterate(1, 1))):
        with pytest.raises(UserError, match=r"m\.jsonl:31:1: a command where a path should be"):
            call()


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """200,000 cuts as objects are over 500 MB; here they are an index of 3 MB and what a sampler holds."""
    import subprocess
    import sys

    bench = Path(__file__).parents[2] / "tools" / "bench" / "manifest.py"
    found = {}
    for kind in ("manifest", "shards"):
        command = [sys.executable, str(bench), "--cuts", "200000", "--batches", "3200", "--skips"]
        command += ["--shards"] if kind == "shards" else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = json.loads(done.stdout)
        _, filled, _, last = found[kind]["memory_mb_after"]  # by then the sampler's buffer is full
        assert last < 150, found
        assert last - filled < 20, found  # objects of the cuts read since would be over 70 MB
        assert found[kind]["epoch_2_first_batch_seconds"][0] < 10, found
