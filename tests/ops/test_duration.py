"""The task's cut or padding of a batch gives the samples that the data's transform gives."""

from random import Random

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from lhotse import Recording

from speechkit.data import FixDuration
from speechkit.data.reading import load_waveform, open_cut
from speechkit.ops.duration import fix_n_samples

RATE = 8000


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 3))
def test_each_row_is_cut_or_padded_around_its_own_middle(
    lengths: list[int], n_wanted: int, n_more: int
) -> None:
    waveforms = torch.zeros(len(lengths), max(lengths) + n_more)
    for row, n in enumerate(lengths):
        waveforms[row, :n] = torch.arange(1.0, n + 1) + 100 * row
    fixed, new_lengths = fix_n_samples(waveforms, torch.tensor(lengths), n_wanted)
    assert new_lengths.tolist() == [n_wanted] * len(lengths)
    for row, n in enumerate(lengths):
        samples = waveforms[row, :n].tolist()
        if n >= n_wanted:
            start = (n - n_wanted) // 2
            expected = samples[start : start + n_wanted]
        else:
            before = (n_wanted - n) // 2
            expected = [0.0] * before + samples + [0.0] * (n_wanted - n - before)
        assert fixed[row].tolist() == expected


@pytest.mark.parametrize("n_samples", [4000, 3999, 4001, 3998, 2500, 2501, 6000, 6001, 1, 12345])
def test_the_same_samples_as_of_the_transform(n_samples: int, tmp_path) -> None:
    x = np.random.default_rng(0).uniform(-0.5, 0.5, n_samples).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    cut = open_cut(Recording.from_file(tmp_path / "x.wav").to_cut(), RATE)
    by_data = load_waveform(FixDuration(0.5)(cut, Random(0)))
    fixed, _ = fix_n_samples(torch.from_numpy(x)[None], torch.tensor([n_samples]), 4000)
    np.testing.assert_array_equal(fixed[0].numpy(), by_data)


def test_what_stands_past_the_length_is_not_taken() -> None:
    waveforms = torch.full((1, 6), 7.0)
    fixed, _ = fix_n_samples(waveforms, torch.tensor([2]), 5)
    assert fixed.tolist() == [[0.0, 7.0, 7.0, 0.0, 0.0]]


def test_gradients_reach_the_samples_that_are_kept() -> None:
    waveforms = torch.ones(1, 5, requires_grad=True)
    fix_n_samples(waveforms, torch.tensor([5]), 3)[0].sum().backward()
    assert waveforms.grad is not None
    assert waveforms.grad.tolist() == [[0.0, 1.0, 1.0, 1.0, 0.0]]
