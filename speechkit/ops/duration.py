"""The same number of samples for every utterance."""

import torch
from torch import Tensor


def fix_n_samples(waveforms: Tensor, lengths: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    """Cut or pad each utterance around its middle to n_samples, as `data.FixDuration` does with cuts.

    waveforms: (B, N), zeros past the lengths. lengths: (B,) samples.
    Returns (B, n_samples) and the lengths, all n_samples.

    >>> waves = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 0.0, 0.0, 0.0]])
    >>> fixed, lengths = fix_n_samples(waves, torch.tensor([5, 2]), 4)
    >>> fixed.tolist()
    [[1.0, 2.0, 3.0, 4.0], [0.0, 6.0, 7.0, 0.0]]
    """
    # Half of what is missing stands before, rounded down; half of what is too much goes, rounded down.
    missing = n_samples - lengths
    start = torch.where(missing >= 0, -(missing // 2), (-missing) // 2)
    index = start[:, None] + torch.arange(n_samples, device=waveforms.device)
    inside = (index >= 0) & (index < lengths[:, None])
    fixed = waveforms.gather(1, index.clamp(0, waveforms.shape[1] - 1)) * inside
    return fixed, torch.full_like(lengths, n_samples)
