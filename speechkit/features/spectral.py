"""Waveforms to spectrograms, log-mel energies and cepstra, the same for an utterance alone or in a batch."""

import math
import warnings

import torch
import torchaudio.functional
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.lengths import mask_padding

# B batch, N samples, T frames, F bands


class Spectrogram(nn.Module):
    """Short-time Fourier transform with a Hann window: (B, N) to (B, T, F), F = n_fft / 2 + 1.

    Frame t is centred on sample t * hop; an utterance of n samples has 1 + n // hop frames. Before the first
    sample and after the last true one there are zeros, so what a batch pads with never shows.
    `power` 2 gives |X|^2, 1 gives |X|, 0.5 its root; null the complex numbers as (B, T, F, 2), real before
    imaginary. `n_fft` is the power of 2 that holds the window unless given.

    >>> features, lengths = Spectrogram(16000)(torch.zeros(2, 16000), torch.tensor([16000, 8000]))
    >>> features.shape, lengths.tolist()
    (torch.Size([2, 101, 257]), [101, 51])
    """

    def __init__(
        self,
        sample_rate: int,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int | None = None,
        power: float | None = 2.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.window_size = _n_samples(sample_rate, window_ms, "window_ms")
        self.hop_size = _n_samples(sample_rate, hop_ms, "hop_ms")
        self.n_fft = 2 ** math.ceil(math.log2(self.window_size)) if n_fft is None else n_fft
        if self.n_fft < self.window_size:
            raise UserError(f"n_fft is {n_fft}", expected=f"at least the window, {self.window_size} samples")
        if power is not None and power <= 0:
            raise UserError(f"power is {power}", expected="a number above 0, or null for complex numbers")
        self.power = power
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(self.window_size), persistent=False)

    @property
    def hop_seconds(self) -> float:
        """From a frame to the next."""
        return self.hop_size / self.sample_rate

    @property
    def n_bands(self) -> int:
        """Bands of the output."""
        return self.n_fft // 2 + 1

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: (None, None, F), or (None, None, F, 2) of complex numbers."""
        return (None, None, self.n_bands) if self.power is not None else (None, None, self.n_bands, 2)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, F), true lengths in frames)."""
        if waveforms.dim() != 2:
            raise UserError(f"waveforms of shape {tuple(waveforms.shape)}", expected="(batch, samples)")
        if lengths is None:
            lengths = torch.full((len(waveforms),), waveforms.shape[1])
        waveforms = mask_padding(waveforms.to(self.window.dtype), lengths)
        spectrum = torch.stft(
            waveforms,
            self.n_fft,
            self.hop_size,
            self.window_size,
            self.window,
            pad_mode="constant",
            return_complex=True,
        ).transpose(1, 2)
        return self._to_power(spectrum), self.output_lengths(lengths)

    def _to_power(self, spectrum: Tensor) -> Tensor:
        if self.power is None:
            return torch.view_as_real(spectrum)
        squares = spectrum.real.square() + spectrum.imag.square()
        if self.power == 2:
            return squares
        return squares.clamp_min(torch.finfo(squares.dtype).tiny).pow(
            self.power / 2
        )  # no infinite slope at 0

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return lengths // self.hop_size + 1


class LogMel(nn.Module):
    """Natural log of mel-band energies: (B, N) to (B, T, n_mels).

    Triangular bands, evenly spaced on HTK's mel scale from `low_hz` to `high_hz` (half the rate unless given)
    over the power spectrum; frames as in `Spectrogram`. Energies below `floor` count as `floor`: 1e-6 is some
    ten times the rounding noise of 16-bit audio in a band.

    >>> features, lengths = LogMel(16000, n_mels=40)(torch.zeros(2, 16000), torch.tensor([16000, 8000]))
    >>> features.shape, lengths.tolist()
    (torch.Size([2, 101, 40]), [101, 51])
    """

    def __init__(
        self,
        sample_rate: int,
        n_mels: int = 80,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        low_hz: float = 20.0,
        high_hz: float | None = None,
        n_fft: int | None = None,
        floor: float = 1e-6,
    ) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(sample_rate, window_ms, hop_ms, n_fft)
        if floor <= 0:
            raise UserError(f"floor is {floor}", expected="an energy above 0", key="floor")
        self.n_mels, self.floor = n_mels, floor
        self.filters: Tensor
        bands = mel_filters(sample_rate, self.spectrogram.n_bands, n_mels, low_hz, high_hz)
        self.register_buffer("filters", bands, persistent=False)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: (None, None, n_mels)."""
        return (None, None, self.n_mels)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, n_mels), true lengths in frames)."""
        power, lengths = self.spectrogram(waveforms, lengths)
        return (power @ self.filters).clamp_min(self.floor).log(), lengths

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return self.spectrogram.output_lengths(lengths)


class MFCC(nn.Module):
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of `LogMel`, (B, N) to (B, T, n_coefficients).

    >>> MFCC(16000, n_coefficients=13)(torch.zeros(1, 16000), torch.tensor([16000]))[0].shape
    torch.Size([1, 101, 13])
    """

    def __init__(
        self,
        sample_rate: int,
        n_coefficients: int = 20,
        n_mels: int = 40,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        low_hz: float = 20.0,
        high_hz: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 < n_coefficients <= n_mels:
            raise UserError(f"n_coefficients is {n_coefficients}", expected=f"1 to n_mels, {n_mels}")
        self.log_mel = LogMel(sample_rate, n_mels, window_ms, hop_ms, low_hz, high_hz)
        self.dct: Tensor
        self.register_buffer(
            "dct", torchaudio.functional.create_dct(n_coefficients, n_mels, "ortho"), persistent=False
        )

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: (None, None, n_coefficients)."""
        return (None, None, self.dct.shape[1])

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, n_coefficients), lengths in frames)."""
        features, lengths = self.log_mel(waveforms, lengths)
        return features @ self.dct, lengths

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return self.log_mel.output_lengths(lengths)


def mel_filters(
    sample_rate: int, n_bands: int, n_mels: int, low_hz: float = 20.0, high_hz: float | None = None
) -> Tensor:
    """Triangles (n_bands, n_mels) on HTK's mel scale, of height 1.

    >>> mel_filters(16000, 257, 40).shape
    torch.Size([257, 40])
    """
    high_hz = sample_rate / 2 if high_hz is None else high_hz
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise UserError(
            f"low_hz is {low_hz} and high_hz {high_hz}",
            expected=f"0 <= low_hz < high_hz <= {sample_rate / 2}",
        )
    if n_mels < 1:
        raise UserError(f"n_mels is {n_mels}", expected="a whole number above 0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty band is an error below, with what to do
        filters = torchaudio.functional.melscale_fbanks(n_bands, low_hz, high_hz, n_mels, sample_rate)
    if bool((filters.sum(0) == 0).any()):
        raise UserError(
            f"{n_mels} mel bands over {n_bands} frequencies leave empty ones",
            do="take fewer n_mels, a longer window or a larger n_fft",
        )
    return filters


def _n_samples(sample_rate: int, milliseconds: float, name: str) -> int:
    n_samples = round(sample_rate * milliseconds / 1000)
    if n_samples < 1:
        raise UserError(
            f"{name} is {milliseconds} at {sample_rate} Hz", expected="at least one sample", key=name
        )
    return n_samples
