"""Separation without training: dictionaries of speakers, and independent components of microphones."""

import sys

import pytest
import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.losses import pairwise_si_snr, permutation_invariant
from speechkit.models import (
    MaskingSeparator,
    NMFMasker,
    STFTDecoder,
    STFTEncoder,
    learn_dictionary,
    separate_by_ica,
)

SIZES = (64, 32)


def voice(pitch_hz: float, n_samples: int, seed: int) -> Tensor:
    """Harmonics of a pitch at 8 kHz that come and go, as syllables do."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(n_samples, dtype=torch.float64) / 8000
    loudness = torch.rand(1 + n_samples // 800, generator=generator, dtype=torch.float64)
    envelope = loudness.square().repeat_interleave(800)[:n_samples]
    harmonics = sum(torch.sin(2 * torch.pi * pitch_hz * k * times) / k for k in range(1, 6))
    return 0.1 * envelope * harmonics


def si_snr(estimates: Tensor, references: Tensor) -> Tensor:
    """The mean of the best order, dB."""
    return -permutation_invariant(pairwise_si_snr(estimates[None], references[None]))[0][0]


@pytest.mark.parametrize("divergence", ["kl", "euclidean"])
def test_dictionaries_of_other_material_separate_speakers(divergence) -> None:
    encoder, pitches = STFTEncoder(*SIZES), (310.0, 530.0)
    learned = [
        learn_dictionary([voice(pitch, 6000, 1), voice(pitch, 3000, 2)], encoder, 4, divergence)
        for pitch in pitches
    ]
    separator = MaskingSeparator(encoder, NMFMasker(learned, divergence), STFTDecoder(*SIZES))
    sources = torch.stack([voice(pitch, 8000, seed) for seed, pitch in enumerate(pitches, 3)])
    estimates = separator(sources.sum(0, keepdim=True))[0]
    mixed = sources.sum(0).expand(2, -1)
    assert si_snr(estimates, sources) > si_snr(mixed, sources) + 8
    assert pairwise_si_snr(estimates[None], sources[None])[0].argmin(1).tolist() == [0, 1], "as given"
    torch.testing.assert_close(estimates.sum(0), sources.sum(0), rtol=0, atol=1e-9)


def test_a_padded_batch_is_single_items() -> None:
    encoder = STFTEncoder(*SIZES)
    learned = [learn_dictionary([torch.randn(900).double()], encoder, size) for size in (3, 5)]
    separator = MaskingSeparator(encoder, NMFMasker(learned, n_iterations=20), STFTDecoder(*SIZES))
    x, lengths = torch.randn(3, 700, dtype=torch.float64), torch.tensor([700, 333, 0])
    x[1, 333:] = torch.nan
    x[2] = 0
    batch = separator(x, lengths)
    torch.testing.assert_close(batch[1:2, :, :333], separator(x[1:2, :333]), rtol=1e-9, atol=1e-9)
    assert not batch[2].any()
    assert torch.equal(separator(torch.zeros(1, 90).double()), torch.zeros(1, 2, 90).double())


@pytest.mark.parametrize("n_microphones", [2, 3])
def test_instantaneous_mixtures_are_separated(n_microphones) -> None:
    sources = torch.stack([voice(210, 16000, 1), voice(330, 16000, 2)])
    gains = torch.tensor([[1.0, 0.6], [0.5, -0.9], [0.2, 0.8]], dtype=torch.float64)[:n_microphones]
    signals = gains @ sources
    estimates = separate_by_ica(signals, 2)
    heard = gains[:1].T * sources
    assert si_snr(signals[:1].expand(2, -1), heard) < 10
    assert si_snr(estimates, heard) > 20
    centred = signals[0] - signals[0].mean()
    torch.testing.assert_close(estimates.sum(0), centred, rtol=0, atol=1e-9)
    # in volume too, as the first microphone hears them
    order = permutation_invariant(pairwise_si_snr(estimates[None], heard[None]))[1][0]
    assert ((estimates - heard[order]).norm(dim=1) / heard[order].norm(dim=1)).max() < 0.1


def test_silence_and_a_single_source_have_estimates() -> None:
    assert not separate_by_ica(torch.zeros(2, 500), 2).any()
    one = voice(210, 4000, 1).float()
    estimates = separate_by_ica(torch.stack([one, 0.5 * one]), 2)
    torch.testing.assert_close(estimates[0], one - one.mean(), rtol=0, atol=1e-5)
    assert not estimates[1].any()


def test_mistakes_are_told(monkeypatch) -> None:
    with pytest.raises(UserError, match="3 sources in signals of shape"):
        separate_by_ica(torch.zeros(2, 100), 3)
    with pytest.raises(UserError, match="no signals"):
        learn_dictionary([], STFTEncoder(*SIZES))
    with pytest.raises(UserError, match="dictionaries of shapes"):
        NMFMasker([torch.ones(3, 2), torch.ones(4, 2)])
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(UserError, match=r"install speechkit\[baselines\]"):
        separate_by_ica(torch.zeros(2, 100), 2)
