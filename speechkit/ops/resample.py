"""Change of sampling rate."""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

N_ZEROS = 6  # zero crossings of the sinc on either side
ROLLOFF = 0.99  # cutoff, as a share of the lower Nyquist frequency
MAX_KERNEL = 2**22  # values; for rates without a common divisor they would be hundreds of millions


def resample(x: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample along the last axis by windowed-sinc interpolation (Hann window, six zero crossings).

    Args:
        x: waveforms (..., N), floating point
        rate: samples a second in `x`; only its ratio to `new_rate` matters
        new_rate: samples a second wanted

    Returns:
        (..., ceil(N * new_rate / rate)); `x` itself when the rates are equal

    Source: J. O. Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample; the kernel is
    torchaudio's, kept between calls: making one costs more than resampling a second of audio. For rates that
    share no large divisor (8001 and 8000 Hz) the same sum is taken tap by tap, without a kernel.

    >>> resample(torch.zeros(2, 22050), 22050, 16000).shape
    torch.Size([2, 16000])
    """
    if rate <= 0 or new_rate <= 0:
        raise ValueError(f"sampling rates are above zero, not {rate} and {new_rate}")
    if rate == new_rate:
        return x
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    if new * (old + 2 * N_ZEROS * max(1, old / new)) > MAX_KERNEL:
        return _resample_by_taps(x, old, new)
    return _resampler(old, new, x.dtype, x.device)(x)


def resample_blocks(blocks: Iterable[Tensor], rate: int, new_rate: int) -> Iterator[Tensor]:
    """What `resample` makes of a signal, of one that comes in blocks (..., n) and is never held as a whole.

    Each second of the signal begins a second of the result, so that whole seconds can be resampled by
    themselves, with as much on either side as the kernel reaches over. Rates are whole numbers.

    >>> blocks = [torch.ones(2, 9000), torch.ones(2, 3000), torch.ones(2, 10000)]
    >>> [block.shape[1] for block in resample_blocks(blocks, 8000, 16000)]
    [16000, 28000]
    """
    if rate == new_rate:
        yield from blocks
        return
    reach = 1 + math.ceil(N_ZEROS / ROLLOFF) // min(rate, new_rate)  # seconds
    held: Tensor | None = None
    begin = done = 0  # seconds: where what is held begins, and up to where all is given
    for block in blocks:
        held = block if held is None else torch.cat([held, block], -1)
        until = begin + held.shape[-1] // rate - reach
        if until > done:
            y = resample(held[..., : (until + reach - begin) * rate], rate, new_rate)
            yield y[..., (done - begin) * new_rate : (until - begin) * new_rate]
            kept = max(0, until - reach)
            held, begin, done = held[..., (kept - begin) * rate :], kept, until
    if held is not None:
        yield resample(held, rate, new_rate)[..., (done - begin) * new_rate :]


def _resample_by_taps(x: Tensor, rate: int, new_rate: int) -> Tensor:
    """y[n] = sum_k x[floor(n rate / new_rate) + k] h(k - frac(n rate / new_rate)): torchaudio's sum."""
    n_samples = x.shape[-1]
    n_outputs = -(-n_samples * new_rate // rate)
    place = torch.arange(n_outputs, device=x.device) * rate
    first, rest = place // new_rate, (place % new_rate).double() / new_rate
    cutoff = ROLLOFF * min(1.0, new_rate / rate)
    width = math.ceil(N_ZEROS / cutoff)
    y = x.new_zeros(*x.shape[:-1], n_outputs)
    last = int(first[-1]) if n_outputs else 0
    for tap in range(max(-width, -last), min(width + 1, n_samples) + 1):
        time = ((tap - rest) * cutoff).clamp(-N_ZEROS, N_ZEROS)
        weight = cutoff * torch.sinc(time) * torch.cos(time * torch.pi / (2 * N_ZEROS)).square()
        index = first + tap
        weight = weight * ((index >= 0) & (index < n_samples))
        y = y + x[..., index.clamp(0, n_samples - 1)] * weight.to(x.dtype)
    return y


@lru_cache(maxsize=64)
def _resampler(rate: int, new_rate: int, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    with torch.inference_mode(False):  # else the first caller's mode would stick to the kernel
        kernel = Resample(rate, new_rate, lowpass_filter_width=N_ZEROS, rolloff=ROLLOFF, dtype=torch.float64)
        return kernel.to(device, dtype)
