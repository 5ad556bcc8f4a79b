"""Batch normalisation over true frames only, and layer normalisation within each frame."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speechkit.errors import UserError
from speechkit.nnet.sizes import check_positive, check_width, input_size_of
from speechkit.ops.lengths import is_padded, length_mask, mask_padding

# B batch, T frames, F bands, C channels


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015) of the last axis of (B, T, C), or of (B, T, F, C).

    In training the mean and variance of a channel are those over the true frames, and all their bands, as if
    these stood in one long row; in eval mode they are the running ones, kept as by torch:
    r <- (1 - momentum) r + momentum x, the variance unbiased. `nnet` has it as `BatchNorm1d` and
    `BatchNorm2d` too, as other toolkits call it.

    >>> x = torch.randn(4, 9, 3)
    >>> y = BatchNorm(input_shape=x.shape)(x, torch.tensor([9, 2, 5, 4]))
    >>> bool(y[1, :2].isfinite().all())
    True
    >>> BatchNorm(input_shape=(2, 7, 20, 8))(torch.randn(2, 7, 20, 8)).shape
    torch.Size([2, 7, 20, 8])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__()
        n_channels = input_size_of(input_shape, input_size, layer="BatchNorm")
        self.norm = _BandNorm(n_channels, 1, eps, momentum, affine)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, C) or (B, T, F, C), true lengths (B,) in frames, to the same shape; (B, C) without these."""
        check_width(x, self.norm.n_channels, "BatchNorm")
        return self.norm(x, lengths) if x.ndim == 4 else self.norm(x.unsqueeze(-2), lengths).squeeze(-2)


class SubSpectralNorm(nn.Module):
    """Batch normalisation in `n_subbands` groups of bands, each with its own statistics (Chang et al., 2021).

    (B, T, F, C) with F a multiple of `n_subbands`.

    >>> SubSpectralNorm(5, input_shape=(2, 7, 20, 8))(torch.randn(2, 7, 20, 8)).shape
    torch.Size([2, 7, 20, 8])
    """

    def __init__(
        self, n_subbands: int, input_shape: Sequence[int | None], eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        n_channels = input_size_of(input_shape, None, layer="SubSpectralNorm")
        n_bands = input_size_of(input_shape, None, -2, layer="SubSpectralNorm")
        check_positive("SubSpectralNorm", n_subbands=n_subbands)
        if n_bands % n_subbands:
            raise UserError(
                f"SubSpectralNorm: {n_bands} bands", expected=f"a multiple of n_subbands, {n_subbands}"
            )
        self.norm = _BandNorm(n_channels, n_subbands, eps, momentum, True)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C), true lengths (B,) in frames, to the same shape."""
        check_width(x, self.norm.n_channels, "SubSpectralNorm")
        return self.norm(x, lengths)


class _BandNorm(nn.Module):
    """Weights and running statistics (S, 1, C) of batch norm over S groups of bands."""

    def __init__(self, n_channels: int, n_subbands: int, eps: float, momentum: float, affine: bool) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise UserError(f"momentum is {momentum!r}", expected="a number above 0, up to 1", key="momentum")
        self.n_channels, self.n_subbands, self.eps, self.momentum = n_channels, n_subbands, eps, momentum
        shape = (n_subbands, 1, n_channels)
        self.weight = nn.Parameter(torch.ones(shape), requires_grad=affine)
        self.bias = nn.Parameter(torch.zeros(shape), requires_grad=affine)
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, F, C) to the same shape; F a multiple of the groups."""
        if x.shape[-2] % self.n_subbands:
            raise UserError(f"{x.shape[-2]} bands", expected=f"a multiple of n_subbands, {self.n_subbands}")
        grouped = x.unflatten(-2, (self.n_subbands, -1))
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            shift, bands = self.bias - self.running_mean * scale, grouped.shape[-3:]
            rows = torch.addcmul(_to_row(shift, bands), x.flatten(-2), _to_row(scale, bands))
            return rows.view(x.shape)
        if x.numel() == 0:  # no frame, no statistics
            return x
        grouped = mask_padding(grouped, lengths)
        true = _true_frames(grouped, lengths)
        with torch.autocast(x.device.type, enabled=False):  # sums over many frames need all their digits
            y, mean, variance = _NormalizeTrueFrames.apply(grouped, self.weight, self.bias, true, self.eps)
        self._track(mean, variance, true.sum() * grouped.shape[-2])
        return y.view(x.shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        unbiased = variance * (count / (count - 1).clamp_min(1))
        self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al., 2016) within each frame, over the last axis or the axes given.

    `axis` never holds time, so a frame's output does not depend on other frames.

    >>> LayerNorm(input_shape=(2, 5, 8))(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-5,
        affine: bool = True,
        axis: int | Sequence[int] = -1,
    ) -> None:
        super().__init__()
        n_axes = 3 if input_shape is None else len(input_shape)
        axes = [axis] if isinstance(axis, int) else list(axis)
        normalized = sorted(a % n_axes for a in axes)
        if not normalized or normalized[0] < 2 or normalized != list(range(normalized[0], n_axes)):
            raise UserError(
                f"LayerNorm: axis is {axis!r}", expected="the last axis or axes after time, e.g. [2, 3]"
            )
        shape = [input_size_of(input_shape, input_size, a, layer="LayerNorm") for a in normalized]
        self.norm = nn.LayerNorm(shape, eps=eps, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, ...) to the same shape."""
        check_width(x, self.norm.normalized_shape[-1], "LayerNorm")
        return self.norm(x)


def _true_frames(x: Tensor, lengths: Tensor | None) -> Tensor:
    """(B * T,) with 1 for a true frame and 0 for padding, in the type that sums are taken in."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if lengths is None or not is_padded(lengths, x.shape[1]):
        return torch.ones(x.shape[:-3].numel(), dtype=dtype, device=x.device)
    return length_mask(lengths, x.shape[1]).to(x.device, dtype).flatten()


class _NormalizeTrueFrames(torch.autograd.Function):
    """Batch norm of (..., S, G, C): statistics (S, 1, C) over all but S and C, of frames that are true.

    On the CPU torch's own kernel is slow with channels last, its sums over the long axis most of all. Here a
    frame is one row of K = S G C numbers: sums are products with a vector of ones and zeros, so that the mask
    costs nothing, and memory once asked for is used again.
    Padding is zero on the way in, and its gradients are dropped by whoever zeroed it.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, true: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        bands, rows = x.shape[-3:], x.to(true.dtype).reshape(true.numel(), -1)
        count = (true.sum() * bands[1]).clamp_min(1)
        mean = _sum_bands(true @ rows, bands) / count
        centred = rows - _to_row(mean, bands)
        y = centred.square()
        variance = _sum_bands(true @ y, bands) / count
        inverse = torch.rsqrt(variance + eps)
        torch.addcmul(_to_row(bias, bands), centred, _to_row(weight * inverse, bands), out=y)
        ctx.bands = bands
        ctx.save_for_backward(centred, weight, inverse, count)
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype).view(x.shape), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        centred, weight, inverse, count = ctx.saved_tensors
        grad = grad_y.to(centred.dtype).reshape(centred.shape)
        every = grad.new_ones(len(grad))
        grad_bias = _sum_bands(every @ grad, ctx.bands)
        grad_x = grad * centred
        along = _sum_bands(every @ grad_x, ctx.bands)
        # w r (g - sum(g) / n - r^2 x sum(g x) / n), with r the inverse deviation
        scale = weight * inverse
        slope = _to_row(-scale * inverse.square() * along / count, ctx.bands)
        torch.addcmul(_to_row(-scale * grad_bias / count, ctx.bands), centred, slope, out=grad_x)
        grad_x.addcmul_(grad, _to_row(scale, ctx.bands))
        return grad_x.to(grad_y.dtype).view(grad_y.shape), along * inverse, grad_bias, None, None


def _sum_bands(row: Tensor, bands: torch.Size) -> Tensor:
    return row.view(bands).sum(1, keepdim=True)


def _to_row(statistics: Tensor, bands: torch.Size) -> Tensor:
    return statistics.expand(bands).reshape(-1)
