"""Separation without masks: a network reads the sources' samples off those of the mixture, frame by frame."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import Linear, Sequential
from speechkit.ops.lengths import mask_padding
from speechkit.ops.stft import overlap_add

# B batch, S sources, N samples, T frames, K samples of a frame, W width of the network


class FrameSeparator(nn.Module):
    """Mixtures (B, N) to sources (B, S, N): a network over frames of samples, a linear layer, frames added.

    kernel_size, stride: samples of a frame, and from one to the next; 1 and 1 are samples one by one. The
    first frame ends with the first `stride` samples: a network that looks back only is late by less than a
    kernel.
    net: (B, T, K), lengths -> (B, T, W), ready or a factory, which gets the `input_shape`: such as
        `!name:speechkit.nnet.LSTM` or `Sequential`. It keeps the number of frames.

    Padding never matters: past the true lengths estimates are 0, before them those of the mixture alone.

    >>> from speechkit.nnet import LSTM
    >>> separator = FrameSeparator(2, net=partial(LSTM, 8), kernel_size=16, stride=4)
    >>> separator(torch.randn(3, 100), torch.tensor([100, 80, 3])).shape
    torch.Size([3, 2, 100])
    """

    def __init__(
        self,
        n_sources: int,
        net: nn.Module | Callable[..., nn.Module],
        kernel_size: int = 16,
        stride: int = 4,
    ) -> None:
        super().__init__()
        for key, value in (("n_sources", n_sources), ("kernel_size", kernel_size)):
            if value < 1:
                raise UserError(f"{key} {value}", expected="1 or more", key=key)
        if not 1 <= stride <= kernel_size:
            raise UserError(
                f"stride {stride}", expected=f"1 to {kernel_size}, the kernel's size", key="stride"
            )
        self.n_sources, self.kernel_size, self.stride = n_sources, kernel_size, stride
        samples = partial(Linear, n_neurons=n_sources * kernel_size)
        self.layers = Sequential((None, None, kernel_size), net=net, samples=samples)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames: those that have a true sample in them."""
        before = self.kernel_size - self.stride
        return torch.where(lengths > 0, (lengths + before + self.stride - 1) // self.stride, 0)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, N), true lengths (B,) in samples, to (B, S, N)."""
        n_samples, before = waveforms.shape[1], self.kernel_size - self.stride
        n_frames = int(self.output_lengths(torch.tensor(n_samples)))
        if not n_frames:
            return waveforms.new_zeros(len(waveforms), self.n_sources, n_samples)
        n_padded = (n_frames - 1) * self.stride + self.kernel_size
        x = F.pad(mask_padding(waveforms, lengths), (before, n_padded - before - n_samples))
        frames = x.unfold(1, self.kernel_size, self.stride)
        y = self.layers(frames, None if lengths is None else self.output_lengths(lengths))
        if y.shape[1] != n_frames:
            found = f"{y.shape[1]} frames of {n_frames}"
            raise UserError(found, expected="a network that keeps the number of frames", key="net")
        y = y.unflatten(2, (self.n_sources, self.kernel_size)).transpose(1, 2)  # (B, S, T, K)
        estimates = overlap_add(y, self.stride)[..., before : before + n_samples]
        return mask_padding(estimates, lengths, axis=2)
