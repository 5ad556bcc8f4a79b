"""The short-time Fourier transform and its inverse, as the encoder and the decoder of a separator."""

from torch import Tensor, nn

from speechkit.ops.algebra import from_complex, to_complex
from speechkit.ops.lengths import mask_padding
from speechkit.ops.stft import count_frames, inverse_stft, stft, tight_window

# B batch, S sources, N samples, T frames, F bins


class STFTEncoder(nn.Module):
    """Waveforms (B, N) to complex spectra (B, T, 2 F), `[real..., imaginary...]`, F = window_size // 2 + 1.

    Its frames are a tight one (`ops/stft.py`), so that `STFTDecoder` of the same sizes, in samples, gives a
    signal of any length back, edges too. Nothing is learned.

    >>> import torch
    >>> frames, lengths = STFTEncoder(256, 64)(torch.zeros(2, 8000), torch.tensor([8000, 1]))
    >>> frames.shape, lengths.tolist()
    (torch.Size([2, 128, 258]), [128, 4])
    """

    algebra = "complex"  # of the numbers that frames are, for masks

    def __init__(self, window_size: int = 256, hop_size: int = 64) -> None:
        super().__init__()
        self.window_size, self.hop_size = window_size, hop_size
        self.window: Tensor
        # In float64, so that a model in float64 is exact to it.
        self.register_buffer("window", tight_window(window_size, hop_size), persistent=False)

    @property
    def n_bins(self) -> int:
        """F, complex numbers of a frame."""
        return self.window_size // 2 + 1

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return count_frames(lengths, self.window_size, self.hop_size)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, N), true lengths (B,) in samples, to (B, T, 2 F) and true lengths in frames."""
        frames = from_complex(stft(mask_padding(waveforms, lengths), self.window, self.hop_size))
        return frames, None if lengths is None else self.output_lengths(lengths)


class STFTDecoder(nn.Module):
    """Complex spectra (B, S, T, 2 F) to waveforms (B, S, N): the inverse of `STFTEncoder`.

    >>> import torch
    >>> x = torch.randn(2, 1000)
    >>> frames, _ = STFTEncoder(256, 64)(x)
    >>> torch.allclose(STFTDecoder(256, 64)(frames.unsqueeze(1), 1000)[:, 0], x, atol=1e-5)
    True
    """

    def __init__(self, window_size: int = 256, hop_size: int = 64) -> None:
        super().__init__()
        self.hop_size = hop_size
        self.window: Tensor
        self.register_buffer("window", tight_window(window_size, hop_size), persistent=False)

    def forward(self, frames: Tensor, n_samples: int) -> Tensor:
        """(B, S, T, 2 F) to (B, S, N), N = `n_samples`."""
        return inverse_stft(to_complex(frames), self.window, self.hop_size, n_samples)
