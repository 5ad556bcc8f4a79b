"""Normalisation of whole items, with a scale and a shift by feature; its gradient takes few passes."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechkit.ops.lengths import mask_padding

# B batch, T frames, F features; any axes between the first and the last count as frames


def moments(x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and variance of each item's true values, (B, 1, ..., 1).

    x: (B, T, ..., F); lengths: (B,) along T.

    >>> moments(torch.tensor([[[1.0, 3.0], [7.0, 7.0]]]), torch.tensor([1]))
    (tensor([[[2.]]]), tensor([[[1.]]]))
    """
    axes = tuple(range(1, x.dim()))
    # In two passes: torch's var_mean takes ten times as long.
    count = count_values(x, lengths)
    mean = mask_padding(x, lengths).sum(axes, keepdim=True) / count
    return mean, mask_padding(x - mean, lengths).square().sum(axes, keepdim=True) / count


def count_values(x: Tensor, lengths: Tensor | None) -> Tensor:
    """How many true values each item has, (B, 1, ..., 1); at least 1."""
    frames = x.new_full((len(x),), x.shape[1]) if lengths is None else lengths.to(x.device, x.dtype)
    return frames.clamp_min(1).view(-1, *[1] * (x.dim() - 1)) * x[0, 0].numel()


def global_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, lengths: Tensor | None = None) -> Tensor:
    """(x - mean) / sqrt(variance + eps) weight + bias over each item's true values; padding becomes 0.

    x: (B, T, ..., F), with T above 0; weight, bias: (F,); lengths: (B,) along T.

    >>> x = torch.tensor([[[1.0, 3.0], [7.0, 7.0]]])
    >>> global_norm(x, torch.ones(2), torch.zeros(2), 0.0, torch.tensor([1])).tolist()
    [[[-1.0, 1.0], [0.0, 0.0]]]
    """
    x = mask_padding(x, lengths)
    if torch.compiler.is_compiling():
        mean, variance = moments(x, lengths)
        scale = weight * (variance + eps).rsqrt()
        return mask_padding(torch.addcmul(bias - mean * scale, x, scale), lengths)
    with torch.no_grad():
        mean, variance = moments(x, lengths)
        count = count_values(x, lengths)
    return mask_padding(_GlobalNorm.apply(x, weight, bias, (mean, (variance + eps).rsqrt(), count)), lengths)


class _GlobalNorm(torch.autograd.Function):
    """With x^ = (x - mean) / deviation and h = gradient * weight the gradient of x is
    (h - mean(h) - x^ mean(h x^)) / deviation; all sums come from those of h and h x over frames."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, known: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, *known)
        mean, inverse, _ = known
        scale = weight * inverse
        return torch.addcmul(bias - mean * scale, x, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        frames = tuple(range(1, x.dim() - 1))
        gradient = gradient.contiguous()
        sums = gradient.sum(frames, keepdim=True)  # (B, 1, ..., F)
        products = torch.mul(gradient, x)
        along = (products.sum(frames, keepdim=True) - mean * sums) * inverse  # of the gradient times x^
        mean_h = (weight * sums).sum(-1, keepdim=True) / count
        mean_hx = (weight * along).sum(-1, keepdim=True) / count
        slope = -inverse.square() * mean_hx
        of_x = torch.mul(x, slope, out=products).addcmul_(gradient, weight * inverse)
        of_x.sub_(inverse * mean_h + slope * mean)
        return of_x, along.flatten(0, -2).sum(0), sums.flatten(0, -2).sum(0), None
