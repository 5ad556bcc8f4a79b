"""Products of spectra to signals: by torch's transforms and its own derivative, whatever the chunks."""

import pytest
import torch

from speechkit.ops import filtering
from speechkit.ops.filtering import filter_spectra


def make(size: int, n_signals: int = 7, n_products: int = 3, n_filters: int = 4) -> list[torch.Tensor]:
    shapes = ((n_signals, n_products, size), (n_products, n_filters, size))
    return [torch.fft.rfft(torch.randn(shape, dtype=torch.float64)).movedim(-1, 0) for shape in shapes]


@pytest.mark.parametrize("size", [9, 10])
@pytest.mark.parametrize(("n_samples", "step"), [(10, 1), (6, 1), (7, 3), (1, 2)])
@pytest.mark.parametrize("n_bytes", [1, 1000, 10**6])
def test_values_and_gradients_are_torchs(size, n_samples, step, n_bytes, monkeypatch) -> None:
    monkeypatch.setitem(filtering.CHUNK_BYTES, "cpu", n_bytes)
    n_samples = min(n_samples, size)
    given = [each.requires_grad_() for each in make(size)]
    found = filter_spectra(*given, size, n_samples, step)
    expected = torch.fft.irfft((given[0] @ given[1]).permute(1, 2, 0), n=size)[..., :n_samples:step]
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((each * weight).sum(), given) for each in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_only_the_gradients_that_are_wanted() -> None:
    spectra, filters = make(8)
    filters.requires_grad_()
    filter_spectra(spectra, filters, 8, 8).sum().backward()
    assert filters.grad is not None
    assert spectra.grad is None


def test_no_signal_is_one_too() -> None:
    spectra, filters = make(8)
    filters.requires_grad_()
    y = filter_spectra(spectra[:, :0], filters, 8, 5)
    assert y.shape == (0, 4, 5)
    y.sum().backward()
    assert not filters.grad.any()
