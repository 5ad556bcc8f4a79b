"""Masks on the numbers that an encoder makes: products by the rule of their algebra."""

from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.algebra import find_algebra, join_parts, multiply, split_parts

# B batch, S sources, T frames, F numbers of n parts


def apply_masks(masks: Tensor, frames: Tensor, algebra: str = "real") -> Tensor:
    """Frames (B, T, n F) of numbers times masks of each source, to (B, S, T, n F).

    Masks of the same numbers, (B, S, T, n F), multiply by the algebra's rule: complex ones turn the phase.
    Real ones, (B, S, T, F), scale all parts of a number: the mixture's phase is kept.

    >>> import torch
    >>> i = torch.tensor([[[0.0, 1.0]]])
    >>> apply_masks(i.unsqueeze(1), i, "complex").flatten().tolist()
    [-1.0, 0.0]
    >>> apply_masks(torch.full((1, 1, 1, 1), 0.5), i, "complex").flatten().tolist()
    [0.0, 0.5]
    """
    n_parts, frames = find_algebra(algebra).n_parts, frames.unsqueeze(1)
    if n_parts == 1:
        return masks * frames
    if masks.shape[-1] == frames.shape[-1]:
        return multiply(masks, frames, algebra)
    if masks.shape[-1] * n_parts == frames.shape[-1]:
        return join_parts(masks.unsqueeze(-2) * split_parts(frames, algebra))
    found = f"masks of {masks.shape[-1]} values for frames of {frames.shape[-1]}"
    raise UserError(found, expected=f"as many, or one for each {algebra} number")
