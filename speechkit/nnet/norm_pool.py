"""Batch norm, max pool and ReLU in one: the same numbers in half the time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.normalization import BatchNorm
from speechkit.nnet.pooling import Pooling2d
from speechkit.nnet.sizes import pair_of
from speechkit.ops.lengths import is_padded, length_mask, mask_padding

# B batch, T frames, F bands, C channels


class NormPool2d(nn.Module):
    """relu(max pool(batch norm(x))) of (B, T, F, C): `BatchNorm`, `Pooling2d("max", kernel_size)`, ReLU.

    In training that is one step from x to the pooled numbers: the normalised x, as large as x and needed
    nowhere else, is never kept, and of its gradient only the largest of each window is reckoned with.

    >>> NormPool2d(2, input_shape=(2, 7, 20, 8))(torch.randn(2, 7, 20, 8)).shape
    torch.Size([2, 3, 10, 8])
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.kernel_size = pair_of(kernel_size, "NormPool2d", "kernel_size")
        self.batch_norm = BatchNorm(input_shape, input_size, eps, momentum)
        self.pool = Pooling2d("max", self.kernel_size)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C), true lengths (B,) in frames, to (B, T', F', C)."""
        if not self.training or x.device.type != "cpu":
            return F.relu(self.pool(self.batch_norm(x, lengths), lengths))
        norm = self.batch_norm.norm
        if x.shape[1] < self.kernel_size[0] or x.shape[2] < self.kernel_size[1]:
            raise UserError(f"NormPool2d got {tuple(x.shape)}", expected=f"a window of {self.kernel_size}")
        x = mask_padding(x, lengths)
        true = None
        if lengths is not None and is_padded(lengths, x.shape[1]):
            true = length_mask(lengths, x.shape[1])
        with torch.autocast(x.device.type, enabled=False):  # sums over many frames need all their digits
            weight, bias = norm.weight.flatten(), norm.bias.flatten()
            y, mean, variance, count = _NormPool.apply(x, weight, bias, true, norm.eps, self.kernel_size)
        norm._track(mean.view_as(norm.running_mean), variance.view_as(norm.running_var), count)
        return y.to(x.dtype)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return self.pool.output_lengths(lengths)


class _NormPool(torch.autograd.Function):
    """Utterance by utterance, so that what is made on the way stays in the cache, its memory used again.

    The largest of w (x - mean) / deviation + b in a window is that of the largest x, or of the smallest where
    w is negative. Padding is zero on the way in, and its gradients are dropped by whoever zeroed it.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, true: Tensor | None, eps: float, kernel: tuple
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, dtype = x.contiguous(), weight.dtype
        n_frames = torch.tensor(x.shape[0] * x.shape[1]) if true is None else true.sum()
        count = (n_frames * x.shape[2]).clamp_min(1).to(dtype)
        every = torch.ones(x.shape[:2], dtype=dtype) if true is None else true.to(dtype)
        mean = torch.zeros_like(weight)
        for mask, each in zip(every, x, strict=True):
            mean += _sum(mask, each.to(dtype)) / count
        far = torch.zeros_like(weight)
        for mask, each in zip(every, x, strict=True):
            far += _sum(mask, (each.to(dtype) - mean).square_())
        variance = far / count
        inverse = torch.rsqrt(variance + eps)
        scale = weight * inverse
        sign = torch.where(weight < 0, -1.0, 1.0).to(x.dtype)
        is_positive = bool((weight >= 0).all())
        shape = (len(x), x.shape[1] // kernel[0], x.shape[2] // kernel[1], x.shape[3])
        peaks, places = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=torch.int64)
        for row, each in enumerate(x.split(1)):
            image = (each if is_positive else each * sign).permute(0, 3, 1, 2)  # seen as "channels last"
            peak, place = F.max_pool2d(image, kernel, return_indices=True)
            peaks[row], places[row] = peak[0].permute(1, 2, 0), place[0].permute(1, 2, 0)
        peaks.mul_(sign).sub_(mean)
        y = torch.addcmul(bias, peaks, scale).relu_()
        ctx.kernel = kernel
        ctx.save_for_backward(x, y, peaks, places, weight, inverse, mean, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, y, peaks, places, weight, inverse, mean, count = ctx.saved_tensors
        grad = torch.where(y > 0, grad_y.to(y.dtype), 0.0)
        grad_bias = grad.sum((0, 1, 2))
        along = (grad * peaks).sum((0, 1, 2))
        scale = weight * inverse
        # w r (g - sum(g) / n - r^2 (x - mean) sum(g (x - mean)) / n), with r the inverse deviation
        slope = -scale * inverse.square() * along / count
        shift = -scale * grad_bias / count - slope * mean
        grad_x, grad = torch.empty_like(x), grad.mul_(scale)
        for row, each in enumerate(zip(grad.split(1), x.split(1), places.split(1), strict=True)):
            one, image, place = (part.permute(0, 3, 1, 2) for part in each)
            image = image.to(one.dtype)
            sparse = torch.ops.aten.max_pool2d_with_indices_backward(
                one, image, ctx.kernel, ctx.kernel, [0, 0], [1, 1], False, place
            )
            rest = torch.addcmul(shift, image[0].permute(1, 2, 0), slope)
            grad_x[row] = rest.add_(sparse[0].permute(1, 2, 0))
        return grad_x, along * inverse, grad_bias, None, None, None


def _sum(mask: Tensor, x: Tensor) -> Tensor:
    """(T, F, C) to (C,): over bands, and over the frames of a mask (T,)."""
    return (mask @ x.view(len(x), -1)).view(-1, x.shape[-1]).sum(0)
