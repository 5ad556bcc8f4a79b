"""Masks made from the sources themselves: what to learn, and how far masks of a kind can lead."""

import torch
from torch import Tensor

# B batch, S sources, T frames, F bins; all take complex spectra (B, S, T, F) of the sources


def binary_masks(spectra: Tensor) -> Tensor:
    """1 where a source is the loudest, else 0; of equally loud ones the first (Wang, 2005).

    >>> binary_masks(torch.tensor([3.0, 4.0j]).view(1, 2, 1, 1)).flatten().tolist()
    [0.0, 1.0]
    """
    loudest = spectra.abs().argmax(1)
    return torch.nn.functional.one_hot(loudest, spectra.shape[1]).movedim(-1, 1).to(spectra.real)


def ratio_masks(spectra: Tensor, power: float = 1.0) -> Tensor:
    """|X_s|^p over the sum of all sources' |X|^p; of silence 0.

    With p 1 the ideal ratio mask, with p 2 the Wiener-like one of Luo and Mesgarani, 2019, table IV.

    >>> ratio_masks(torch.tensor([1.0, 3.0j]).view(1, 2, 1, 1)).flatten().tolist()
    [0.25, 0.75]
    """
    amplitudes = spectra.abs().pow(power)
    return amplitudes / amplitudes.sum(1, keepdim=True).clamp_min(torch.finfo(amplitudes.dtype).tiny)


def phase_sensitive_masks(spectra: Tensor) -> Tensor:
    """The real part of X_s / X within [0, 1], the best of real masks (Erdogan et al., ICASSP 2015).

    >>> phase_sensitive_masks(torch.tensor([1.0, 1.0j]).view(1, 2, 1, 1)).flatten().tolist()
    [0.5, 0.5]
    """
    return _quotients(spectra).real.clamp(0, 1)


def complex_masks(spectra: Tensor) -> Tensor:
    """X_s / X within the unit circle, complex: of longer ones the phase is kept (Williamson et al., 2016).

    >>> complex_masks(torch.tensor([1.0, -3.0]).view(1, 2, 1, 1)).real.flatten().tolist()
    [-0.5, 1.0]
    """
    quotients = _quotients(spectra)
    return quotients / quotients.abs().clamp_min(1)


def _quotients(spectra: Tensor) -> Tensor:
    mixture = spectra.sum(1, keepdim=True)
    return torch.where(mixture == 0, 0, spectra / torch.where(mixture == 0, 1, mixture))
