"""Augmentation of features in training. All is drawn from torch's default generator, without a loop over B.

Numbers are drawn on the CPU, so that a seed gives the same on every device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.lengths import mask_padding

# B batch, T frames, F bands, V classes, M masks


class SpecAugment(nn.Module):
    """Bands and frames blotted out (Park et al., 2019, without time warping), anew for each utterance.

    `n_time_masks` stretches of 0 to `max_time_frames` frames, within the true length and none longer than
    `max_time_fraction` of it, and `n_frequency_masks` stretches of 0 to `max_frequency_bands` bands take the
    utterance's mean value.

    >>> x = SpecAugment(1, 5, 1, 3)(torch.randn(2, 20, 8), torch.tensor([20, 9]))
    >>> x.shape
    torch.Size([2, 20, 8])
    """

    def __init__(
        self,
        n_time_masks: int = 2,
        max_time_frames: int = 50,
        n_frequency_masks: int = 2,
        max_frequency_bands: int = 10,
        max_time_fraction: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = {
            "n_time_masks": n_time_masks,
            "max_time_frames": max_time_frames,
            "n_frequency_masks": n_frequency_masks,
            "max_frequency_bands": max_frequency_bands,
        }
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 0:
                raise UserError(f"{name} is {size!r}", expected="a whole number, 0 or above", key=name)
        if not 0 <= max_time_fraction <= 1:
            raise UserError(
                f"max_time_fraction is {max_time_fraction}", expected="0 to 1", key="max_time_fraction"
            )
        self.n_time_masks, self.max_time_frames = n_time_masks, max_time_frames
        self.n_frequency_masks, self.max_frequency_bands = n_frequency_masks, max_frequency_bands
        self.max_time_fraction = max_time_fraction

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F), true lengths (B,) in frames, to the same shape."""
        n_batch, n_frames, n_bands = features.shape[:3]
        ends = torch.full((n_batch,), n_frames) if lengths is None else lengths.cpu()
        widest = (ends * self.max_time_fraction).long().clamp_max(self.max_time_frames)
        frames = _draw_stretches(self.n_time_masks, widest, ends, n_frames)
        bands_end = torch.full((n_batch,), n_bands)
        bands = _draw_stretches(
            self.n_frequency_masks, bands_end.clamp_max(self.max_frequency_bands), bands_end, n_bands
        )
        blotted = (frames[:, :, None] | bands[:, None, :]).to(features.device)
        blotted = blotted.view(n_batch, n_frames, n_bands, *[1] * (features.dim() - 3))
        axes = tuple(range(1, features.dim()))
        count = ends.clamp_min(1).to(features.device, features.dtype) * features[0, 0].numel()
        mean = mask_padding(features, lengths).sum(axes) / count
        return torch.where(blotted, mean.view(-1, *[1] * (features.dim() - 1)), features)


class TimeShift(nn.Module):
    """Each utterance moved by up to `max_frames` frames earlier or later; its edge frame fills the gap.

    >>> TimeShift(3)(torch.randn(2, 20, 8), torch.tensor([20, 9])).shape
    torch.Size([2, 20, 8])
    """

    def __init__(self, max_frames: int) -> None:
        super().__init__()
        if not isinstance(max_frames, int) or max_frames < 0:
            raise UserError(f"max_frames is {max_frames!r}", expected="a whole number, 0 or above")
        self.max_frames = max_frames

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, ...), true lengths (B,) in frames, to the same shape; padding stays."""
        n_batch, n_frames = features.shape[:2]
        last = torch.full((n_batch, 1), n_frames - 1) if lengths is None else lengths.cpu().view(-1, 1) - 1
        shift = torch.randint(-self.max_frames, self.max_frames + 1, (n_batch, 1))
        here = torch.arange(n_frames)
        index = torch.where(here <= last, torch.minimum((here - shift).clamp_min(0), last), here)
        index = index.to(features.device).view(n_batch, n_frames, *[1] * (features.dim() - 2))
        return features.gather(1, index.expand_as(features))


class Chain(nn.Module):
    """Augmentations one after another.

    >>> Chain([TimeShift(2), SpecAugment()])(torch.randn(2, 20, 8), torch.tensor([20, 9])).shape
    torch.Size([2, 20, 8])
    """

    def __init__(self, augmentations: Sequence[nn.Module]) -> None:
        super().__init__()
        self.augmentations = nn.ModuleList(augmentations)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, ...), true lengths (B,) in frames, to the same shape."""
        for augmentation in self.augmentations:
            features = augmentation(features, lengths)
        return features


class Mixup(nn.Module):
    """Each utterance blended with another of its batch, and its target too (Zhang et al., 2018).

    x_i <- w x_i + (1 - w) x_j, with w ~ Beta(alpha, alpha) drawn for each utterance (the larger of w and 1 -
    w, so that an utterance stays mostly itself) and j from a permutation.
    Past the end of x_j, with `lengths`, x_i stays as it is; lengths do not change.

    >>> x, targets = Mixup(0.2)(torch.randn(4, 9, 3), torch.eye(4))
    >>> [round(total, 4) for total in targets.sum(1).tolist()]
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if alpha <= 0:
            raise UserError(
                f"alpha is {alpha}", expected="a number above 0", do="leave mixup out to switch it off"
            )
        self.alpha = alpha

    def forward(self, x: Tensor, targets: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, ...) and probabilities (B, V) to the same shapes."""
        if targets.dim() != 2 or not targets.is_floating_point():
            raise UserError(
                f"mixup got targets {tuple(targets.shape)} of {targets.dtype}",
                expected="probabilities (batch, classes)",
            )
        own = torch.distributions.Beta(self.alpha, self.alpha).sample((len(x),))
        own = torch.maximum(own, 1 - own)
        own = own.to(x.device, x.dtype)
        partner = torch.randperm(len(x)).to(x.device)
        weight = own.view(-1, *[1] * (x.dim() - 1))
        change = (1 - weight) * (x[partner] - x)
        if lengths is not None:
            change = mask_padding(change, lengths[partner.to(lengths.device)])
        own_target = own.to(targets.dtype).unsqueeze(1)
        return x + change, own_target * targets + (1 - own_target) * targets[partner]


def _draw_stretches(n_masks: int, widest: Tensor, ends: Tensor, size: int) -> Tensor:
    """(B, size), True in `n_masks` stretches of 0 to `widest` places, each somewhere before `ends`."""
    draws = torch.rand(2, len(ends), n_masks)
    width = (draws[0] * (widest.unsqueeze(1) + 1)).long()
    start = (draws[1] * (ends.unsqueeze(1) - width + 1)).long()
    here = torch.arange(size).view(1, 1, -1)
    return ((here >= start.unsqueeze(-1)) & (here < (start + width).unsqueeze(-1))).any(1)
