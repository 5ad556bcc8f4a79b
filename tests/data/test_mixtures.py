"""Mixtures with their sources, recorded and mixed anew, against the signals they are made of."""

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.dataset import SimpleCutSampler

from speechkit.data import (
    CutBatches,
    DynamicMixing,
    FixDuration,
    Gain,
    Noise,
    RandomCrop,
    RecordedSources,
    Speed,
    read_cuts,
    write_cuts,
    write_shards,
)
from speechkit.errors import UserError

RATE = 8000


def sampler(cuts, **kwargs):
    return SimpleCutSampler(cuts, max_cuts=3, **kwargs)


@pytest.fixture
def recorded(tmp_path):
    """Four mixtures of two sources, of different lengths, and a manifest of them."""
    rng, cuts, signals = np.random.default_rng(0), [], {}
    for row in range(4):
        sources = rng.uniform(-0.4, 0.4, (2, 4000 + 800 * row))
        paths = {}
        for name, x in (("mix", sources.sum(0)), ("source1", sources[0]), ("source2", sources[1])):
            paths[name] = tmp_path / f"{row}-{name}.wav"
            soundfile.write(paths[name], x, RATE, subtype="FLOAT")
        cut = Recording.from_file(paths["mix"], recording_id=f"m{row}").to_cut()
        cut.id = f"m{row}"
        for name in ("source1", "source2"):
            setattr(cut, name, Recording.from_file(paths[name]))
        cut.supervisions = [
            SupervisionSegment(f"m{row}-{n}", cut.id, 0, cut.duration, speaker=f"s{row}{n}", gender="FM"[n])
            for n in range(2)
        ]
        cuts.append(cut)
        signals[cut.id] = sources.astype(np.float32)
    write_cuts(cuts, tmp_path / "mixtures.jsonl")
    return tmp_path / "mixtures.jsonl", signals


def read(manifest, mixing, transforms=(), rate=RATE, epoch=1, **kwargs):
    batches = CutBatches(manifest, sampler, rate, transforms, mixing=mixing, **kwargs)
    return list(batches.iterate(seed=1, epoch=epoch))


def test_recorded_sources_come_as_they_are(recorded):
    manifest, signals = recorded
    batches = read(manifest, RecordedSources())
    assert [len(batch) for batch in batches] == [3, 1]
    for batch in batches:
        assert batch.sources.shape == (len(batch), 2, batch.waveforms.shape[1])
        for row, name in enumerate(batch.ids):
            n = int(batch.lengths[row])
            np.testing.assert_array_equal(batch.sources[row, :, :n].numpy(), signals[name])
            np.testing.assert_allclose(batch.waveforms[row, :n], signals[name].sum(0), atol=1e-7)
            assert not batch.sources[row, :, n:].any()
            assert [talker.gender for talker in batch.talkers[row]] == ["F", "M"]
            assert batch.talkers[row][1].speaker == f"s{name[1:]}1"
    kept = batches[0].without({0: None})
    assert kept.sources.shape[0] == len(kept.talkers) == 2


@pytest.mark.parametrize(
    "transforms",
    [
        [RandomCrop(0.2)],
        [Speed(0.8, 1.2)],
        [Speed(0.9, 1.1), RandomCrop(0.3), Gain(-6, 20)],
        [FixDuration(0.7)],
    ],
)
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_transforms_keep_a_mixture_the_sum_of_its_sources(recorded, transforms, rate):
    for batch in read(recorded[0], RecordedSources(), transforms, rate):
        np.testing.assert_allclose(batch.waveforms, batch.sources.sum(1), atol=2e-5)
        assert batch.waveforms.abs().max() <= 1
        assert batch.sources.abs().max() <= 1
        if isinstance(transforms[0], RandomCrop):
            assert (batch.lengths == round(0.2 * rate)).all()


def test_noise_comes_to_the_mixture_alone(recorded, noise):
    manifest, signals = recorded
    for batch in read(manifest, RecordedSources(), [Noise(noise, (0, 0))]):
        for row, name in enumerate(batch.ids):
            n = int(batch.lengths[row])
            found, clean = batch.sources[row, :, :n].numpy(), signals[name]
            scale = np.vdot(found, clean) / np.vdot(clean, clean)  # all are scaled down together
            np.testing.assert_allclose(found, scale * clean, atol=1e-6)
            added = batch.waveforms[row, :n].numpy() - found.sum(0)
            assert np.mean(added**2) == pytest.approx(np.mean(found.sum(0) ** 2), rel=0.05)


def test_enhancement_is_one_source(recorded):
    for batch in read(recorded[0], RecordedSources(1)):
        assert batch.sources.shape[1] == 1


def test_a_source_that_is_missing_or_of_another_length(recorded, tmp_path):
    manifest, _ = recorded
    with pytest.raises(
        UserError,
        match="cut m0 has source1, source2; expected a recording of each of source1, source2, source3",
    ):
        read(manifest, RecordedSources(3))
    soundfile.write(tmp_path / "1-source2.wav", np.zeros(30), RATE)
    (batch, _) = read(manifest, RecordedSources())
    assert batch.skipped[0].id == "m1"
    assert batch.skipped[0].reason == "too short"


@pytest.fixture
def singles(tmp_path, make_cut):
    """Ten cuts of five speakers, at very different levels, one shorter than a stretch."""
    rng, cuts = np.random.default_rng(0), []
    for number in range(10):
        x = rng.uniform(-1, 1, 2000 if number == 7 else 9000 + 500 * number) * 10 ** (-number / 5)
        cut = make_cut(f"c{number}", x, RATE, subtype="FLOAT")
        cut.supervisions[0].speaker = f"speaker{number % 5}"
        cuts.append(cut)
    write_cuts(cuts, tmp_path / "singles.jsonl")
    return tmp_path / "singles.jsonl"


@pytest.mark.parametrize("n_sources", [2, 3])
def test_dynamic_mixtures_are_of_different_speakers_at_levels_drawn(singles, n_sources):
    mixing = DynamicMixing(n_sources, crop_seconds=0.5, level_db=(-2, 2))
    n_seen = 0
    for batch in read(singles, mixing):
        assert batch.sources.shape == (len(batch), n_sources, 4000)
        np.testing.assert_allclose(batch.waveforms, batch.sources.sum(1), atol=1e-6)
        for talkers, sources in zip(batch.talkers, batch.sources, strict=True):
            assert len({talker.speaker for talker in talkers}) == n_sources
            for x in sources.numpy():
                spoken = x[np.abs(x) > 0]
                assert -28.2 < 10 * np.log10(np.mean(spoken**2)) < -23.8
        n_seen += len(batch)
    assert n_seen == 10


def test_a_mixture_of_one_source_would_teach_nothing():
    with pytest.raises(UserError, match=r"mixtures of 1 source; expected 2 or more; .* recorded mixtures"):
        DynamicMixing(1)


def test_dynamic_mixtures_are_keyed_and_new_each_epoch(singles):
    def all_of(**kwargs):
        mixing = DynamicMixing(2, crop_seconds=0.3)
        batches = CutBatches(singles, sampler, RATE, [Speed(0.9, 1.1)], mixing=mixing, **kwargs)
        return {
            (epoch, name): x.numpy()
            for epoch in (1, 2)
            for batch in batches.iterate(seed=1, epoch=epoch)
            for name, x in zip(batch.ids, batch.sources, strict=True)
        }

    first, again = all_of(), all_of(n_workers=1)
    assert first.keys() == again.keys()
    for key, x in first.items():
        np.testing.assert_array_equal(x, again[key])
    assert not any(np.array_equal(first[1, f"c{n}"], first[2, f"c{n}"]) for n in range(10))


def test_a_stretch_is_a_sample_at_least(singles):
    for batch in read(singles, DynamicMixing(2, 1e-6), [Speed(0.9, 1.1)]):
        assert batch.sources.shape == (len(batch), 2, 1)


def test_one_speaker_cannot_be_mixed(tmp_path, make_cut):
    write_cuts([make_cut("a", np.ones(800) / 2, RATE)], tmp_path / "one.jsonl")
    with pytest.raises(UserError, match=r"1 speakers in .* expected 2 or more to mix"):
        read(tmp_path / "one.jsonl", DynamicMixing(2, 0.1))
    cut = make_cut("a", np.ones(800) / 2, RATE)
    cut.supervisions[0].speaker = None
    write_cuts([cut], tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=r"none.jsonl:1.*cut a tells no speaker"):
        read(tmp_path / "none.jsonl", DynamicMixing(2, 0.1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DynamicMixing(0), lambda: DynamicMixing(2, 0), lambda: DynamicMixing(2, 1, (1, 0)),
        lambda: RecordedSources(0), lambda: RandomCrop(0),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(make):
    with pytest.raises(UserError, match="expected"):
        make()


def test_skipping_leaves_what_follows_as_it_was(singles):
    batches = CutBatches(singles, sampler, RATE, [Speed(0.9, 1.1)], mixing=DynamicMixing(2, 0.2))
    whole = list(batches.iterate(seed=1, epoch=3))
    rest = list(batches.iterate(seed=1, epoch=3, skip=2))
    assert [each.ids for each in rest] == [each.ids for each in whole[2:]]
    np.testing.assert_array_equal(rest[0].sources, whole[2].sources)


def test_shards_of_single_speakers_mix_to_the_same(singles, tmp_path):
    write_shards(singles, tmp_path / "shards", shard_size=4, audio_format="original", n_workers=1)
    mixing = DynamicMixing(2, 0.2)
    files, shards = (read(each, mixing) for each in (singles, tmp_path / "shards"))
    assert {name for batch in shards for name in batch.ids} == {name for batch in files for name in batch.ids}
    assert all(batch.sources.shape[1:] == (2, 1600) for batch in shards)
    assert not any(batch.skipped for batch in shards)


def test_recorded_mixtures_are_not_for_shards(recorded, tmp_path):
    with pytest.raises(UserError, match="further recordings among its custom fields"):
        write_shards(recorded[0], tmp_path / "shards", shard_size=4, audio_format="original", n_workers=1)


def test_speakers_are_drawn_evenly_however_much_there_is_of_them(tmp_path, make_cut):
    cuts, rng = [], np.random.default_rng(0)
    for number in range(60):
        cut = make_cut(f"c{number}", rng.uniform(-0.5, 0.5, 400), RATE)
        cut.supervisions[0].speaker = "often" if number >= 4 else f"seldom{number}"
        cuts.append(cut)
    write_cuts(cuts, tmp_path / "cuts.jsonl")
    batches = CutBatches(tmp_path / "cuts.jsonl", sampler, RATE, mixing=DynamicMixing(2, 0.05))
    drawn = [
        talker.speaker
        for epoch in range(8)
        for batch in batches.iterate(seed=1, epoch=epoch)
        for talkers in batch.talkers
        for talker in talkers
    ]
    assert len(drawn) == 960
    for speaker in set(drawn):
        assert 140 < drawn.count(speaker) < 245  # 192 of each; the deviation is 12


def test_a_mixture_that_is_no_recording_is_told(recorded, tmp_path):
    """Padded or mixed by Lhotse it still has its sources, but these are as they were."""
    changed = [cut.pad(duration=2.0) for cut in read_cuts(recorded[0])]
    write_cuts(changed, tmp_path / "padded.jsonl")
    with pytest.raises(UserError, match="is a MixedCut; expected one recording, with its sources"):
        read(tmp_path / "padded.jsonl", RecordedSources())
