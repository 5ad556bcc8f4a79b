"""Ideal masks: which of all masks of a kind brings each bin nearest to its source."""

import torch

from speechkit.ops.ideal_masks import binary_masks, complex_masks, phase_sensitive_masks, ratio_masks


def spectra() -> torch.Tensor:
    values = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.complex(values[0], values[1])


def error(masks: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    return (masks * sources.sum(1, keepdim=True) - sources).abs()


def test_phase_sensitive_and_complex_masks_are_the_best_of_their_kind() -> None:
    sources = spectra()
    real = error(phase_sensitive_masks(sources), sources)
    for value in torch.linspace(0, 1, 21):
        assert (real <= error(value, sources) + 1e-12).all()
    best = error(complex_masks(sources), sources)
    assert (best <= real + 1e-12).all()
    for modulus in (0.3, 0.7, 1.0):
        for angle in torch.linspace(0, 6.3, 40, dtype=torch.float64):
            assert (best <= error(modulus * torch.exp(1j * angle), sources) + 1e-12).all()


def test_binary_and_ratio_masks_share_out_the_mixture() -> None:
    sources = spectra()
    for masks in (binary_masks(sources), ratio_masks(sources), ratio_masks(sources, power=2)):
        torch.testing.assert_close(masks.sum(1), torch.ones(2, 4, 5, dtype=torch.float64))
        assert torch.equal(masks.argmax(1), sources.abs().argmax(1))


def test_silence_has_masks() -> None:
    silence = torch.zeros(1, 2, 3, 4, dtype=torch.complex64)
    for make in (binary_masks, ratio_masks, phase_sensitive_masks, complex_masks):
        assert torch.view_as_real(make(silence) + 0j).isfinite().all()
