import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from speechkit.ops.resample import resample


@pytest.mark.parametrize(("rate", "new_rate"), [(22050, 16000), (8000, 16000), (16000, 8000), (9, 10)])
def test_against_another_resampler(rate, new_rate):
    """Two designs of filter agree on what lies well below both Nyquist frequencies."""
    n = np.arange(3001)
    x = np.stack([np.sin(2 * np.pi * f * n + f) * np.hanning(3001) for f in (0.003, 0.02, 0.07)])
    y = resample(torch.tensor(x), rate, new_rate)
    expected = resample_poly(x, new_rate, rate, axis=1, window=("kaiser", 12))
    assert y.shape == (3, -(-3001 * new_rate // rate))
    np.testing.assert_allclose(y, expected, atol=2e-3)
    np.testing.assert_allclose(resample(torch.tensor(x).float(), rate, new_rate), y, atol=1e-6)


def test_what_the_new_rate_cannot_hold_is_gone():
    x = torch.sin(2 * torch.pi * 6000 / 16000 * torch.arange(16000))
    assert resample(x, 16000, 8000)[100:-100].abs().max() < 0.01


def test_equal_rates_and_impossible_ones():
    x = torch.rand(2, 5)
    assert resample(x, 8000, 8000) is x
    with pytest.raises(ValueError, match="above zero"):
        resample(x, 0, 8000)


def test_gradients_after_a_first_call_in_inference_mode():
    with torch.inference_mode():
        resample(torch.rand(50, dtype=torch.float64), 7, 5)
    x, y = torch.rand(2, 50, dtype=torch.float64, requires_grad=True), torch.rand(2, 36, dtype=torch.float64)
    resampled = resample(x, 7, 5)
    (transposed,) = torch.autograd.grad(resampled, x, y)
    # Resampling is linear: <R x, y> = <x, R' y>.
    torch.testing.assert_close((resampled * y).sum(), (x * transposed).sum())
