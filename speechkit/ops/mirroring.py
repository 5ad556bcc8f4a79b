"""Padding by the signal itself, mirrored at its true ends."""

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.ops.lengths import is_padded, mask_padding

# B batch, T frames


def mirror_ends(x: Tensor, amount: int, lengths: Tensor | None = None) -> Tensor:
    """(B, T, ...) to (B, T + 2 `amount`, ...): before and behind stands the signal, mirrored at its ends.

    The first and last frame stand once, as in torch's `reflect` and numpy's, which also say what there is
    where the signal is shorter than what is wanted: it goes back and forth. Behind that an item is 0.

    >>> mirror_ends(torch.tensor([[1, 2, 3, 0], [1, 2, 0, 0]]), 2, torch.tensor([3, 2])).tolist()
    [[3, 2, 1, 2, 3, 2, 1, 0], [1, 2, 1, 2, 1, 2, 0, 0]]
    """
    n_frames = x.shape[1]
    if amount == 0:
        return mask_padding(x, lengths)
    if n_frames == 0:
        return x.new_zeros(len(x), 2 * amount, *x.shape[2:])
    if x.dim() == 3 and n_frames > amount and (lengths is None or not is_padded(lengths, n_frames)):
        return F.pad(x.transpose(1, 2), (amount, amount), mode="reflect").transpose(1, 2)
    counts = torch.full((len(x),), n_frames) if lengths is None else lengths
    counts = counts.to(x.device).unsqueeze(1)
    period = (2 * (counts - 1)).clamp_min(1)
    places = torch.arange(-amount, n_frames + amount, device=x.device).remainder(period)
    places = torch.where(places < counts, places, period - places)
    mirrored = x[torch.arange(len(x), device=x.device).unsqueeze(1), places.clamp(0, n_frames - 1)]
    return mask_padding(mirrored, (counts[:, 0] + 2 * amount) * (counts[:, 0] > 0))
