"""The tasks of Speech Commands: labels, the random split, unknown words, silence."""

from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from lhotse import Recording

from speechkit.data import (
    CutBatches,
    cut_silence,
    draw_unknown,
    random_subset,
    speech_commands_labels,
    write_cuts,
)
from speechkit.data.speech_commands import part_of_noise
from speechkit.errors import UserError

CLIPS = st.lists(st.text("abcdef0123456789/_", min_size=1), unique=True, max_size=60)


@pytest.mark.parametrize("task", [10, 12, 30, 35])
def test_a_task_is_called_by_its_number_of_labels(task: int) -> None:
    labels = speech_commands_labels(task)
    assert len(set(labels)) == len(labels) == task
    assert labels[:10] == ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]


def test_words_are_those_of_lhotse() -> None:
    from lhotse.recipes.speechcommands import SILENCE, UNKNOWN, WORDS

    assert sorted(speech_commands_labels(12)) == sorted([*WORDS, UNKNOWN, SILENCE])


def test_there_is_no_other_task() -> None:
    for task in (11, True, "10", None):
        with pytest.raises(UserError, match="expected one of 10, 12, 30, 35"):
            speech_commands_labels(task)


@given(CLIPS, st.integers(0, 9))
def test_a_clips_subset_does_not_depend_on_the_other_clips(clips: list[str], seed: int) -> None:
    everyone = {clip: random_subset(clip, seed) for clip in clips}
    assert set(everyone.values()) <= {"train", "valid", "test"}
    assert everyone == {clip: random_subset(clip, seed) for clip in reversed(clips)}


def test_the_shares_of_the_random_split() -> None:
    """Of 20,000 clips a share of p differs by more than 4 sqrt(p (1 - p) / 20,000) once in 16,000 times."""
    for seed in range(3):
        counts = Counter(random_subset(f"yes/{n:08x}_nohash_0", seed) for n in range(20_000))
        for subset, share in (("train", 0.6), ("valid", 0.2), ("test", 0.2)):
            assert abs(counts[subset] / 20_000 - share) < 4 * np.sqrt(share * (1 - share) / 20_000)
    assert [random_subset(f"{n}", 0) for n in range(50)] != [random_subset(f"{n}", 1) for n in range(50)]


@given(CLIPS, st.integers(0, 70), st.integers(0, 3))
def test_unknown_clips_are_drawn_stably(clips: list[str], n: int, seed: int) -> None:
    drawn = draw_unknown(clips, n, seed)
    assert len(drawn) == min(n, len(clips))
    assert drawn == [clip for clip in clips if clip in drawn]  # in their order, none twice
    assert set(drawn) == set(draw_unknown(clips[::-1], n, seed))
    if drawn:  # whoever was not drawn makes no difference
        assert set(draw_unknown([*drawn, *clips[:3]], n, seed)) >= set(draw_unknown(drawn, n - 3, seed))


@pytest.fixture
def noises(tmp_path):
    """10 s each: the sample number, as far as 16 bits tell it, is the sample's value."""
    paths = [tmp_path / f"{name}.wav" for name in ("a", "b")]
    for path in paths:
        soundfile.write(path, np.linspace(0, 0.9, 160_000), 16000)
    recordings = [Recording.from_file(path) for path in paths]
    return [recording.to_cut() for recording in recordings]


def test_silence_of_the_subsets_is_apart(noises) -> None:
    spans = {}
    for subset, (low, high) in {"train": (0, 6), "valid": (6, 8), "test": (8, 10)}.items():
        cuts = cut_silence(noises, subset, 40, seed=1)
        assert len({cut.id for cut in cuts}) == 40
        assert all(cut.duration == 1 and low <= cut.start and cut.end <= high for cut in cuts)
        assert {segment.text for cut in cuts for segment in cut.supervisions} == {"_silence_"}
        assert {cut.supervisions[0].speaker for cut in cuts} == {"a", "b"}
        spans[subset] = [(cut.start, cut.recording.transforms[0].factor) for cut in cuts]
        if subset == "train":
            assert part_of_noise(noises[0], subset).end == 6
    again = cut_silence(noises, "test", 50, seed=1)[:40]  # more of them change none
    assert [cut.start for cut in again] == [start for start, _ in spans["test"]]
    assert [cut.start for cut in cut_silence(noises, "test", 40, seed=2)] != [s for s, _ in spans["test"]]


def test_silence_is_read_as_drawn(noises, tmp_path) -> None:
    from functools import partial

    from lhotse.dataset import SimpleCutSampler

    cuts = cut_silence(noises, "valid", 5, seed=3)
    write_cuts(cuts, tmp_path / "silence.jsonl")
    sampler = partial(SimpleCutSampler, max_cuts=5)
    (batch,) = CutBatches(tmp_path / "silence.jsonl", sampler, 16000).iterate(1, 1)
    assert batch.skipped == []
    assert batch.lengths.tolist() == [16000] * 5
    x = np.linspace(0, 0.9, 160_000)
    for row, cut in enumerate(cuts):
        start = round(cut.start * 16000)
        expected = cut.recording.transforms[0].factor * x[start : start + 16000]
        np.testing.assert_allclose(batch.waveforms[row].numpy(), expected, atol=2**-15)


def test_too_little_noise_for_silence(noises) -> None:
    short = [noises[0].truncate(duration=4.0)]
    assert len(cut_silence(short, "train", 3, seed=0)) == 3
    with pytest.raises(UserError, match="no noise for test; expected recordings of noise of 5 s or more"):
        cut_silence(short, "test", 3, seed=0)
    assert cut_silence([], "test", 0, seed=0) == []
