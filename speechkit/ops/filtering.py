"""Many filters over many signals in the frequency domain, a few signals at a time: as caches hold."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# W frequencies, M signals to be made, K products for each, C filters, T samples
CHUNK_BYTES = {"cpu": 2**21, "cuda": 2**28}  # of a chunk's spectra; a cache's size, or few calls


def filter_spectra(spectra: Tensor, filters: Tensor, size: int, n_samples: int, step: int = 1) -> Tensor:
    """Signals (M, C, T): of the products' inverse transforms the first `n_samples`, each `step`-th.

    `spectra` (W, M, K) and `filters` (W, K, C) are complex, as `torch.fft.rfft` gives them: W is
    size // 2 + 1. Their product is over K, the transform over W. Products of all signals are never held
    at once.

    >>> spectra = torch.fft.rfft(torch.tensor([1.0, 2.0, 4.0, 8.0])).reshape(3, 1, 1)
    >>> filter_spectra(spectra, torch.full((3, 1, 1), 2.0 + 0j), 4, 3, step=2)
    tensor([[[2., 8.]]])
    """
    signals: Tensor = _Filter.apply(spectra, filters, size, n_samples, step)
    return signals


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectra: Tensor, filters: Tensor, size: int, n_samples: int, step: int) -> Tensor:
        ctx.save_for_backward(spectra, filters)
        ctx.size, ctx.n_samples, ctx.step = size, n_samples, step
        shape = (spectra.shape[1], filters.shape[2], -(-n_samples // step))
        signals = torch.empty(shape, dtype=spectra.dtype.to_real(), device=spectra.device)
        for rows in _chunks(spectra, filters):
            product = torch.bmm(spectra[:, rows], filters).permute(1, 2, 0)
            signals[rows] = torch.fft.irfft(product, n=size)[..., :n_samples:step]
        return signals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        spectra, filters = ctx.saved_tensors
        wants_spectra, wants_filters = ctx.needs_input_grad[:2]
        of_spectra = torch.empty_like(spectra) if wants_spectra else None
        of_filters = torch.zeros_like(filters) if wants_filters else None
        chunks = _chunks(spectra, filters)
        padded = gradient.new_zeros(chunks[0].stop if chunks else 0, filters.shape[2], ctx.size)
        for rows in chunks:
            signals = padded[: rows.stop - rows.start]
            signals[..., : ctx.n_samples : ctx.step] = gradient[rows]
            back = torch.fft.rfft(signals).permute(2, 0, 1).contiguous()
            if of_spectra is not None:
                of_spectra[:, rows] = torch.bmm(back, filters.mH)
            if of_filters is not None:
                of_filters += torch.bmm(spectra[:, rows].mH, back)
        # All but the first frequency, and the last of an even size, stand for two of the whole transform.
        for each in (of_spectra, of_filters):
            if each is not None:
                each.div_(ctx.size)
                each[1 : (ctx.size + 1) // 2].mul_(2)
        return of_spectra, of_filters, None, None, None


def _chunks(spectra: Tensor, filters: Tensor) -> list[slice]:
    """Of the signals; all but the last of one size."""
    n_signals, bytes_each = spectra.shape[1], filters[:, 0].numel() * filters.element_size()
    n = max(1, CHUNK_BYTES.get(spectra.device.type, 2**28) // max(1, bytes_each))
    return [slice(start, min(start + n, n_signals)) for start in range(0, n_signals, n)]
