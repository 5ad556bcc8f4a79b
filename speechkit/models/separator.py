"""Separation by masks: what an encoder makes of a mixture, times a mask for each source, decoded."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.models.masks import apply_masks
from speechkit.ops.lengths import mask_padding
from speechkit.ops.mirroring import mirror_ends

# B batch, S sources, N samples, T frames, F filters


class Encoder(Protocol):
    """Waveforms (B, N), true lengths (B,), to frames (B, T, F) and their true number (B,)."""

    algebra: str  # of the numbers that frames are, by whose rule masks multiply; real where it does not say

    def __call__(self, waveforms: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]: ...


class Masker(Protocol):
    """Frames (B, T, F), true lengths (B,), to masks (B, S, T, F)."""

    def __call__(self, frames: Tensor, lengths: Tensor | None) -> Tensor: ...


class Decoder(Protocol):
    """Frames (B, S, T, F) to waveforms (B, S, N) of `n_samples`."""

    def __call__(self, frames: Tensor, n_samples: int) -> Tensor: ...


class MaskingSeparator(nn.Module):
    """Mixtures (B, N) to sources (B, S, N): encoder, a mask for each source, decoder (Conv-TasNet's plan).

    Padding never matters: past the true lengths estimates are 0, before them those of the mixture alone.

    >>> from speechkit.models import DualPath, RecurrentPath
    >>> path = lambda width: RecurrentPath(width, hidden_size=8)
    >>> masker = DualPath(16, n_sources=2, width=8, chunk_size=4, num_layers=1, intra=path, inter=path)
    >>> separator = MaskingSeparator(FilterbankEncoder(16, 8), masker, FilterbankDecoder(16, 8))
    >>> separator(torch.randn(3, 100), torch.tensor([100, 80, 77])).shape
    torch.Size([3, 2, 100])
    """

    def __init__(self, encoder: nn.Module, masker: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.masker, self.decoder = encoder, masker, decoder
        self.algebra: str = getattr(encoder, "algebra", "real")

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, N), true lengths (B,) in samples, to (B, S, N)."""
        frames, n_frames = self.encoder(waveforms, lengths)
        masks = self.masker(frames, n_frames)
        masked = apply_masks(masks, frames, self.algebra)
        estimates = self.decoder(masked, waveforms.shape[1])
        return mask_padding(estimates, lengths, axis=2)


class FilterbankEncoder(nn.Module):
    """Learned filters and a ReLU: (B, N) to (B, T, F), T = (N - kernel_size) // stride + 1.

    As in Conv-TasNet and SepFormer; frames lie wholly within the signal, and padding is 0.

    kernel_size, stride: samples; the stride is half a kernel unless given. padding: `valid`, or `reflect`,
    with which half a kernel of the signal, mirrored, stands before and behind it (SpeechBrain's Conv-TasNet).
    """

    algebra = "real"

    def __init__(
        self, n_filters: int, kernel_size: int = 16, stride: int | None = None, padding: str = "valid"
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, _check_sizes(n_filters, kernel_size, stride)
        if padding not in ("valid", "reflect"):
            raise UserError(f"padding {padding!r}", expected="valid or reflect", key="padding")
        self.mirrored = kernel_size // 2 if padding == "reflect" else 0  # samples at each end
        self.conv = nn.Conv1d(1, n_filters, kernel_size, self.stride, bias=False)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        n_samples = lengths + 2 * self.mirrored * (lengths > 0)
        return ((n_samples - self.kernel_size) // self.stride + 1).clamp_min(0)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, N), true lengths (B,) in samples, to (B, T, F) and true lengths in frames."""
        if self.mirrored and waveforms.shape[1]:
            waveforms = mirror_ends(waveforms, self.mirrored, lengths)
        if waveforms.shape[1] < self.kernel_size:  # no frame
            n_frames = None if lengths is None else torch.zeros_like(lengths)
            return waveforms.new_zeros(len(waveforms), 0, self.conv.out_channels), n_frames
        frames = F.relu(self.conv(waveforms.unsqueeze(1))).transpose(1, 2)
        if lengths is None:
            return frames, None
        n_frames = self.output_lengths(lengths)
        return mask_padding(frames, n_frames), n_frames


class FilterbankDecoder(nn.Module):
    """Frames (B, S, T, F) to waveforms (B, S, N): frames as sums of learned filters, added up."""

    def __init__(self, n_filters: int, kernel_size: int = 16, stride: int | None = None) -> None:
        super().__init__()
        stride = _check_sizes(n_filters, kernel_size, stride)
        self.conv = nn.ConvTranspose1d(n_filters, 1, kernel_size, stride, bias=False)

    def forward(self, frames: Tensor, n_samples: int) -> Tensor:
        """(B, S, T, F) to (B, S, N), cut or filled with 0 to N = `n_samples`."""
        if not frames.shape[2]:
            return frames.new_zeros(*frames.shape[:2], n_samples)
        with torch.autocast(frames.device.type, enabled=False):  # waveforms need more than 8 bits
            frames_of_all = frames.flatten(0, 1).transpose(1, 2).to(self.conv.weight.dtype)
            decoded = self.conv(frames_of_all).squeeze(1)
        decoded = F.pad(decoded, (0, max(0, n_samples - decoded.shape[1])))[:, :n_samples]
        return decoded.unflatten(0, frames.shape[:2])


def _check_sizes(n_filters: int, kernel_size: int, stride: int | None) -> int:
    """The stride."""
    for key, value in (("n_filters", n_filters), ("kernel_size", kernel_size)):
        if value < 1:
            raise UserError(f"{key} {value}", expected="1 or more", key=key)
    stride = max(1, kernel_size // 2) if stride is None else stride
    if not 1 <= stride <= kernel_size:
        raise UserError(f"stride {stride}", expected=f"1 to {kernel_size}, the kernel's size", key="stride")
    return stride
