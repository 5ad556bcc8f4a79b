"""The short-time Fourier transform as a tight frame: energy is kept, its inverse exact at any length."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.ops.lengths import Lengths

# N samples, T frames, W samples of a window, F = W // 2 + 1 bins


def tight_window(size: int, hop: int) -> Tensor:
    """A Hann window (W,) over the root of the sum of its squares at every hop, in float64.

    So w[n]^2 + w[n + hop]^2 + ... = 1 for each n, and the frames' energy is the signal's (Parseval). It is
    sampled between its zeros, so that each frame sees all its samples.

    >>> window = tight_window(6, 2)
    >>> [round(each, 9) for each in window.square().view(3, 2).sum(0).tolist()]
    [1.0, 1.0]
    """
    if size < 2:
        raise UserError(f"window_size {size}", expected="2 samples or more", key="window_size")
    if not 1 <= hop <= size // 2:
        found = f"hop_size {hop} with windows of {size} samples"
        raise UserError(found, expected=f"1 to {size // 2}, so that windows overlap", key="hop_size")
    window = ((torch.arange(size, dtype=torch.float64) + 0.5) * (math.pi / size)).sin().square()
    shifts = F.pad(window.square(), (0, -size % hop)).view(-1, hop).sum(0)
    return window / shifts.repeat(-(-size // hop))[:size].sqrt()


def count_frames(lengths: Lengths, size: int, hop: int) -> Lengths:
    """How many frames `stft` makes of so many samples: all that see one of them, and none of nothing.

    >>> count_frames(torch.tensor([0, 1, 8]), 4, 2).tolist()
    [0, 2, 5]
    """
    n_frames = (lengths - 1 + size) // hop
    return n_frames * (lengths > 0)


def stft(x: Tensor, window: Tensor, hop: int) -> Tensor:
    """Signals (..., N) to complex spectra (..., T, F) of a tight window (W,).

    Frame t sees the samples before (t + 1) hop, W of them; before the first sample and after the last there
    are zeros. As every sample is in all windows that may hold it, no edge is special.

    >>> stft(torch.ones(3, 8), tight_window(4, 2), 2).shape
    torch.Size([3, 5, 3])
    """
    size, n_samples = len(window), x.shape[-1]
    if not n_samples:
        return torch.zeros(*x.shape[:-1], 0, size // 2 + 1, dtype=x.dtype.to_complex(), device=x.device)
    behind = count_frames(n_samples, size, hop) * hop - n_samples
    frames = F.pad(x, (size - hop, behind)).unfold(-1, size, hop)
    return torch.fft.rfft(frames * window.to(x.dtype), norm="ortho")


def inverse_stft(spectra: Tensor, window: Tensor, hop: int, n_samples: int) -> Tensor:
    """Complex spectra (..., T, F) to signals (..., N) of N = `n_samples`, cut or filled with zeros.

    Of what `stft` made exactly that signal; of other spectra the one whose `stft` is nearest to them
    (Griffin and Lim, 1984).

    >>> x, window = torch.randn(2, 7, dtype=torch.float64), tight_window(4, 2)
    >>> torch.allclose(inverse_stft(stft(x, window, 2), window, 2, 7), x)
    True
    """
    size = len(window)
    if not spectra.shape[-2]:
        return spectra.real.new_zeros(*spectra.shape[:-2], n_samples)
    frames = torch.fft.irfft(spectra, size, norm="ortho")
    x = overlap_add(frames * window.to(frames.dtype), hop)[..., size - hop :]
    return F.pad(x, (0, n_samples - x.shape[-1]))  # by less than nothing: cut


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """The sum of frames (..., T, W), frame t from sample t hop on: (..., (T - 1) hop + W).

    >>> overlap_add(torch.ones(3, 4), 2).tolist()
    [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    """
    n_frames, size = frames.shape[-2:]
    n_blocks = -(-size // hop)
    blocks = F.pad(frames, (0, n_blocks * hop - size)).unflatten(-1, (n_blocks, hop))
    shifted = [F.pad(blocks[..., block, :], (0, 0, block, n_blocks - 1 - block)) for block in range(n_blocks)]
    joined = torch.stack(shifted).sum(0).flatten(-2)
    return joined[..., : (n_frames - 1) * hop + size]
