"""The short-time Fourier transform against its definition, and as a tight frame: energy and inverse."""

import cmath
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.ops.stft import count_frames, inverse_stft, overlap_add, stft, tight_window

SIZES = [(2, 1), (8, 4), (8, 2), (7, 3), (10, 4), (9, 1)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("size", "hop"), SIZES)
def test_equal_to_its_definition(size, hop) -> None:
    x, window = noise(13), tight_window(size, hop)
    found = stft(x, window, hop)
    assert found.shape == (count_frames(13, size, hop), size // 2 + 1)
    for frame in range(found.shape[0]):
        first = (frame + 1) * hop - size
        for k in range(found.shape[1]):
            terms = (
                x[first + n].item() * window[n].item() * cmath.exp(-2j * math.pi * k * n / size)
                for n in range(size)
                if 0 <= first + n < 13
            )
            assert abs(found[frame, k].item() - sum(terms) / math.sqrt(size)) < 1e-12
    assert found.abs().sum(1).min() > 0  # all frames see samples,
    assert (found.shape[0] + 1) * hop - size >= 13  # and a further one would not


@settings(max_examples=30)
@given(
    n_samples=st.integers(0, 40),
    sizes=st.integers(2, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size // 2))),
)
def test_the_inverse_is_exact_and_energy_is_kept(n_samples, sizes) -> None:
    size, hop = sizes
    x, window = noise(2, n_samples), tight_window(size, hop)
    spectra = stft(x, window, hop)
    assert spectra.shape == (2, count_frames(n_samples, size, hop), size // 2 + 1)
    torch.testing.assert_close(inverse_stft(spectra, window, hop, n_samples), x, rtol=0, atol=1e-12)
    twice = torch.full((size // 2 + 1,), 2.0, dtype=torch.float64)  # bins whose mirror image is left out
    twice[0] = 1
    if size % 2 == 0:
        twice[-1] = 1
    energy = (spectra.abs().square() * twice).sum((1, 2))
    torch.testing.assert_close(energy, x.square().sum(1), rtol=1e-12, atol=1e-12)


def test_the_inverse_is_the_nearest_signals() -> None:
    """No other signal has a transform nearer to given spectra: the error is orthogonal to all signals."""
    window, hop = tight_window(8, 2), 2
    spectra = torch.complex(noise(11, 5), noise(11, 5, seed=1))
    n_samples = 16
    assert count_frames(n_samples, 8, 2) == 11

    def distance(x: torch.Tensor) -> torch.Tensor:
        frames = torch.fft.irfft(spectra - stft(x, window, hop), 8, norm="ortho")
        return frames.square().sum()

    x = inverse_stft(spectra, window, hop, n_samples).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(x), x)
    assert gradient.abs().max() < 1e-12


def test_frames_are_added_where_they_stand() -> None:
    frames = noise(2, 5, 7)
    expected = torch.zeros(2, 4 * 3 + 7, dtype=torch.float64)
    for t in range(5):
        expected[:, 3 * t : 3 * t + 7] += frames[:, t]
    torch.testing.assert_close(overlap_add(frames, 3), expected, rtol=0, atol=1e-12)


def test_windows_that_leave_samples_out_are_refused() -> None:
    with pytest.raises(UserError, match="hop_size 5 with windows of 8"):
        tight_window(8, 5)
    with pytest.raises(UserError, match="window_size 1"):
        tight_window(1, 1)
