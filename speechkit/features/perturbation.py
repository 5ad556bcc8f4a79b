"""Features as of another speaker or microphone: perturbation along frequency, in training.

Numbers are drawn on the CPU, from torch's default generator, so that a seed gives the same on every device.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError

# B batch, T frames, F bands

LOG_ENERGY_PER_DB = math.log(10) / 10  # natural log of an energy ratio of one decibel


class FrequencyWarp(nn.Module):
    """Bands stretched or squeezed along frequency, as by another vocal tract (Jaitly and Hinton, 2013).

    Band f of each utterance takes the value at f (1 + a), a uniform in [-`max_fraction`, `max_fraction`];
    linear in between, and the last band's beyond the end.

    >>> FrequencyWarp(0.1)(torch.randn(2, 20, 8), torch.tensor([20, 9])).shape
    torch.Size([2, 20, 8])
    """

    def __init__(self, max_fraction: float = 0.1) -> None:
        super().__init__()
        if not 0 <= max_fraction < 1:
            raise UserError(f"max_fraction is {max_fraction!r}", expected="a number from 0 to below 1")
        self.max_fraction = max_fraction

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) to the same shape."""
        n_batch, _, n_bands = features.shape
        factor = 1 + self.max_fraction * (2 * torch.rand(n_batch, 1) - 1)
        place = (torch.arange(n_bands) * factor).clamp_max(n_bands - 1).to(features.device, features.dtype)
        below = place.long().clamp_max(max(n_bands - 2, 0))
        share = (place - below).unsqueeze(1)
        low = features.gather(2, below.unsqueeze(1).expand_as(features))
        high = features.gather(2, (below + 1).clamp_max(n_bands - 1).unsqueeze(1).expand_as(features))
        return low + share * (high - low)


class BandGain(nn.Module):
    """A smooth random frequency response for each utterance, as of another microphone or room.

    Gains at `n_points` evenly spaced bands, normal with a deviation of `deviation_db`, linear between them
    (like FilterAugment: Nam et al., 2022). For features that are natural logs of energies.

    >>> BandGain(3.0)(torch.randn(2, 20, 8), torch.tensor([20, 9])).shape
    torch.Size([2, 20, 8])
    """

    def __init__(self, deviation_db: float = 3.0, n_points: int = 6) -> None:
        super().__init__()
        if deviation_db < 0:
            raise UserError(f"deviation_db is {deviation_db!r}", expected="decibels, 0 or above")
        if n_points < 2:
            raise UserError(f"n_points is {n_points!r}", expected="at least 2")
        self.deviation_db, self.n_points = deviation_db, n_points

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) to the same shape."""
        gains_db = self.deviation_db * torch.randn(len(features), 1, self.n_points)
        response = F.interpolate(gains_db, size=features.shape[2], mode="linear", align_corners=True)
        return features + (response * LOG_ENERGY_PER_DB).to(features.device, features.dtype)
