"""Features whose bands are numbers of several parts: complex spectra, and energies with their derivatives."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.features.spectral import Spectrogram
from speechkit.ops.lengths import mask_padding

# B batch, N samples, T frames, F bands, n parts of a number
FORMS = ("real-imaginary", "amplitude-phase")
SILENCE = 1e-3  # amplitude that counts as none: some ten times the rounding noise of 16-bit audio in a bin


class ComplexSpectrogram(nn.Module):
    """Short-time Fourier transform as complex numbers: (B, N) to (B, T, F, 2), frames as in `Spectrogram`.

    `form`:
    `real-imaginary`: z |z|^(compression - 1), whose phase is z's and whose amplitude is |z|^compression, so
        that weak bands are heard beside strong ones (as in speech enhancement; 1 leaves z as it is).
    `amplitude-phase`: [ln max(|z|, 1e-3), phase / pi], the phase in (-1, 1], and 0 where |z| is below 1e-3.

    >>> front = ComplexSpectrogram(16000)
    >>> features, lengths = front(torch.zeros(2, 16000), torch.tensor([16000, 8000]))
    >>> features.shape, lengths.tolist()
    (torch.Size([2, 101, 257, 2]), [101, 51])
    """

    def __init__(
        self,
        sample_rate: int,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int | None = None,
        form: str = "amplitude-phase",
        compression: float = 0.3,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise UserError(f"form is {form!r}", expected=" or ".join(FORMS), key="form")
        if not 0 < compression <= 1:
            raise UserError(
                f"compression is {compression}", expected="a number above 0, up to 1", key="compression"
            )
        self.spectrogram = Spectrogram(sample_rate, window_ms, hop_ms, n_fft, power=None)
        self.form, self.compression = form, compression

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: (None, None, F, 2)."""
        return self.spectrogram.output_shape

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, F, 2), true lengths in frames)."""
        z, lengths = self.spectrogram(waveforms, lengths)
        if self.form == "real-imaginary":
            power = z.square().sum(-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
            return z * power.pow((self.compression - 1) / 2), lengths
        return to_amplitude_and_phase(z), lengths

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return self.spectrogram.output_lengths(lengths)


def to_amplitude_and_phase(z: Tensor) -> Tensor:
    """Real and imaginary parts (..., 2) to [ln max(|z|, 1e-3), phase / pi], with 0 as the phase of silence.

    >>> to_amplitude_and_phase(torch.tensor([[-1.0, 0.0], [0.0, 0.0]]))[:, 1].tolist()
    [1.0, 0.0]
    """
    amplitude = z.square().sum(-1).clamp_min(SILENCE**2).sqrt()
    is_heard = amplitude > SILENCE
    # Silence is not asked for a phase: there it is noise, and its slope without bound. Zero is added because
    # -0.0, another zero, would turn the phase of a negative real number to the other end.
    real = torch.where(is_heard, z[..., 0], 1.0)
    imaginary = torch.where(is_heard, z[..., 1], 0.0) + 0.0
    return torch.stack([amplitude.log(), torch.atan2(imaginary, real) / math.pi], -1)


class Deltas(nn.Module):
    """Features with their derivatives over time, a band one number: (B, N) to (B, T, F, 1 + n_derivatives).

    `features`: (waveforms, lengths) -> (real features (B, T, F), frame lengths). With three derivatives a
    band is a quaternion (Parcollet et al., ICASSP 2018). `energy` adds one part more, the log of all bands'
    energies together, the same in each band; it asks for log energies, and makes a quaternion of two
    derivatives. Each derivative is the slope of the line through 2 `half_width` + 1 frames of the one before
    (Young et al., The HTK Book, 2006, eq. 5.16), with the first and the last true frame repeated.

    >>> from speechkit.features import LogMel
    >>> front = Deltas(LogMel(16000, n_mels=40))
    >>> front(torch.zeros(2, 16000), torch.tensor([16000, 8000]))[0].shape
    torch.Size([2, 101, 40, 4])
    """

    def __init__(
        self, features: nn.Module, n_derivatives: int = 3, energy: bool = False, half_width: int = 2
    ) -> None:
        super().__init__()
        if n_derivatives < 1 or half_width < 1:
            found = f"n_derivatives is {n_derivatives}, half_width {half_width}"
            raise UserError(found, expected="whole numbers above 0")
        self.features, self.n_derivatives = features, n_derivatives
        self.energy, self.half_width = energy, half_width

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: that of `features`, and the parts."""
        shape = cast(tuple[int | None, ...], self.features.output_shape)
        return (*shape, 1 + self.n_derivatives + self.energy)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, F, n), true lengths in frames)."""
        static, lengths = self.features(waveforms, lengths)
        if static.dim() != 3:
            found = f"features of shape {tuple(static.shape)}"
            raise UserError(found, expected="(batch, frames, bands), real", key="features")
        parts = [static]
        for _ in range(self.n_derivatives):
            parts.append(differentiate(parts[-1], lengths, self.half_width))
        if self.energy:
            parts.append(static.logsumexp(-1, keepdim=True).expand_as(static))
        return mask_padding(torch.stack(parts, -1), lengths), lengths

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return cast(Callable[[Tensor], Tensor], self.features.output_lengths)(lengths)


def differentiate(x: Tensor, lengths: Tensor, half_width: int = 2) -> Tensor:
    """Slope over time of the line through 2 `half_width` + 1 frames: (B, T, F) to the same, in units a frame.

    d_t = sum_n n (x_(t+n) - x_(t-n)) / (2 sum_n n^2), n from 1 to `half_width`; frames before the first and
    after the last true one are as these.

    >>> ramp = torch.arange(8.0).view(1, 8, 1)
    >>> differentiate(ramp, torch.tensor([8])).flatten()[2:6].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    frames = torch.arange(x.shape[1], device=x.device)
    last = (lengths.to(x.device) - 1).clamp_min(0)[:, None]

    def at(offset: int) -> Tensor:
        index = torch.minimum((frames + offset).clamp_min(0).expand(len(x), -1), last)
        return x.gather(1, index.unsqueeze(-1).expand_as(x))

    slopes = [n * (at(n) - at(-n)) for n in range(1, half_width + 1)]
    return torch.stack(slopes).sum(0) / (2 * sum(n * n for n in range(1, half_width + 1)))
