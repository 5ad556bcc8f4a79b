"""Masks for complex spectra: real ones from magnitudes, or complex ones from the spectra themselves."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.features import UtteranceNorm
from speechkit.nnet import PhaseTanh
from speechkit.ops.algebra import find_algebra, join_parts, split_parts
from speechkit.ops.lengths import is_padded, mask_padding

# B batch, S sources, T frames, F bins, n parts
Masker = nn.Module | Callable[..., nn.Module]  # ready, or a factory that gets `n_filters`
SILENCE = 1e-14  # mean power of a bin, a ten-thousandth of the rounding noise of 16-bit audio
FLOOR = 1e-6  # power of a bin, of the utterance's mean


class MagnitudeMasker(nn.Module):
    """Real masks (B, S, T, F) for complex spectra (B, T, 2 F), from their log magnitudes alone.

    Each bin's log magnitudes have mean 0 and deviation 1 over the utterance, so that its level does not
    matter. What is separated keeps the mixture's phase (Huang et al., ICASSP 2014; Kolbaek et al., 2017).

    masker: (B, T, F), lengths -> (B, S, T, F), ready or a factory called with `n_filters`, which is F: such
        as `NetworkMasker`, `TemporalConvNet`.

    >>> import torch
    >>> from functools import partial
    >>> from speechkit.models import NetworkMasker
    >>> from speechkit.nnet import LSTM
    >>> net = partial(NetworkMasker, n_sources=2, net=partial(LSTM, 8), activation=nn.Sigmoid())
    >>> MagnitudeMasker(5, net)(torch.randn(3, 7, 10)).shape
    torch.Size([3, 2, 7, 5])
    """

    def __init__(self, n_bins: int, masker: Masker) -> None:
        super().__init__()
        self.norm, self.masker = UtteranceNorm(), _make(masker, n_bins)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, 2 F), true lengths (B,) in frames, to (B, S, T, F)."""
        logs = log_magnitudes(level(frames, lengths))
        return self.masker(self.norm(logs, lengths)[0], lengths)


class ComplexMasker(nn.Module):
    """Complex masks (B, S, T, 2 F) for complex spectra (B, T, 2 F), by a network over an algebra.

    The spectra, at one level, have their magnitudes raised to `compression`, phases as they are. Complex
    numbers are the first two parts of those of a larger algebra, the others 0, and so are the masks of its
    numbers; over `real` the 2 F parts are real values (Williamson et al., "Complex ratio masking", 2016).
    By the activation masks stay within the unit circle (Choi et al., "Phase-aware speech enhancement with
    deep complex U-Net", ICLR 2019, equation 3).

    masker: (B, T, n F), lengths -> (B, S, T, n F), ready or a factory called with `n_filters`, which is n F,
        or 2 F of real numbers; over the same algebra.

    >>> import torch
    >>> from functools import partial
    >>> from speechkit.models import NetworkMasker
    >>> from speechkit.nnet import QLSTM
    >>> net = partial(NetworkMasker, n_sources=2, net=partial(QLSTM, 8), algebra="quaternion")
    >>> ComplexMasker(5, net, "quaternion")(torch.randn(3, 7, 10)).shape
    torch.Size([3, 2, 7, 10])
    """

    def __init__(
        self,
        n_bins: int,
        masker: Masker,
        algebra: str = "complex",
        compression: float = 0.5,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.n_zeros = max(0, find_algebra(algebra).n_parts - 2) * n_bins
        self.compression = compression
        self.masker = _make(masker, 2 * n_bins + self.n_zeros)
        self.activation = PhaseTanh("complex") if activation is None else activation

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, 2 F), true lengths (B,) in frames, to (B, S, T, 2 F)."""
        numbers = split_parts(level(frames, lengths), "complex")
        powers = numbers.square().sum(-2, keepdim=True) + FLOOR
        compressed = join_parts(numbers * powers.pow((self.compression - 1) / 2))
        masks = self.masker(F.pad(compressed, (0, self.n_zeros)), lengths)
        return self.activation(masks[..., : frames.shape[-1]])


def level(frames: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Complex spectra (B, T, 2 F) over the root of their bins' mean power in the true frames.

    >>> import torch
    >>> level(torch.tensor([[[3.0, 4.0], [9.0, 9.0]]]), torch.tensor([1])).flatten().tolist()[:2]
    [0.6000000238418579, 0.800000011920929]
    """
    powers = mask_padding(frames, lengths).square().sum((1, 2), keepdim=True)
    n_frames = frames.new_full((1, 1, 1), max(1, frames.shape[1]))
    if lengths is not None and is_padded(lengths, frames.shape[1]):
        n_frames = lengths.to(frames).clamp_min(1).view(-1, 1, 1)
    return frames * (powers / (n_frames * (frames.shape[2] // 2))).clamp_min(SILENCE).rsqrt()


def log_magnitudes(frames: Tensor) -> Tensor:
    """Complex spectra (..., 2 F) to natural logs of magnitudes (..., F), at least half of ln 1e-6.

    >>> import torch
    >>> log_magnitudes(torch.tensor([0.0, 1.0, 0.0, 0.0])).tolist()
    [-6.907755374908447, 0.0]
    """
    return split_parts(frames, "complex").square().sum(-2).clamp_min(FLOOR).log() / 2


def _make(masker: Masker, n_filters: int) -> nn.Module:
    return masker if isinstance(masker, nn.Module) else masker(n_filters=n_filters)
