"""Spectrograms of clips as small pictures: power over time and frequency, linear or mel, by numpy alone."""

from dataclasses import dataclass

import numpy as np

from speechkit.report.charts import choose_ticks, format_tick
from speechkit.report.png import draw_heat

# N samples, T columns, F bins of the Fourier transform, H bands (rows of a picture)

WINDOW_SECONDS = 0.032
MAX_COLUMNS = 240
BANDS = {"linear": 96, "mel": 64}
RANGE_DB = 70.0  # from the lightest colour down to black
N_LEVELS = 36  # of colour: steps of 2 dB
_FRAMES_AT_ONCE = 4096  # of long clips, so that their spectra take little memory


@dataclass(frozen=True)
class Axes:
    """Ticks of a picture, in percent from its left and from its lower edge, with their texts."""

    times: list[tuple[float, str]]  # seconds
    frequencies: list[tuple[float, str]]  # kHz


def measure_power(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Samples (N,) to powers (T, F) under Hann windows of 32 ms that overlap by three quarters.

    Of a longer clip a column is the mean of several windows, so that there are at most `MAX_COLUMNS`.
    """
    size = max(4, round(WINDOW_SECONDS * sample_rate))
    hop = size // 4
    padded = np.pad(samples.astype(np.float64), (size // 2, size - size // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.hanning(size + 1)[:-1]
    n_pooled = -(-len(frames) // MAX_COLUMNS)
    n_at_once = n_pooled * max(1, _FRAMES_AT_ONCE // n_pooled)
    columns = []
    for start in range(0, len(frames), n_at_once):
        powers = np.abs(np.fft.rfft(frames[start : start + n_at_once] * window)) ** 2
        columns.append(np.add.reduceat(powers, range(0, len(powers), n_pooled)))
    counts = np.diff([*range(0, len(frames), n_pooled), len(frames)])
    return np.concatenate(columns) / counts[:, None]


def to_mel(hertz: np.ndarray) -> np.ndarray:
    """The mel scale of O'Shaughnessy (1987): 1000 Hz are 1000 mel, nearly."""
    return 2595 * np.log10(1 + hertz / 700)


def to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


def weigh_bands(scale: str, n_bins: int, sample_rate: int) -> np.ndarray:
    """Weights (H, F) of a mean of bins for each band, from low to high: triangles that reach to the next
    bands' middles, or at least to the next bins."""
    n_bands, nyquist = BANDS[scale], sample_rate / 2
    places = (np.arange(n_bands + 2) - 0.5) / n_bands  # of the rows' middles, and of one beyond either end
    middles = to_hertz(places * to_mel(np.array(nyquist))) if scale == "mel" else places * nyquist
    bins = np.linspace(0, nyquist, n_bins)
    reach = np.maximum(np.diff(middles), bins[1])
    distances = bins - middles[1:-1, None]
    falls = np.where(distances < 0, -distances / reach[:-1, None], distances / reach[1:, None])
    weights = np.maximum(0, 1 - falls)
    return weights / weights.sum(1, keepdims=True)


def draw_together(
    signals: dict[str, np.ndarray], sample_rate: int, scale: str, loudest: str
) -> dict[str, str]:
    """Signals (N,) by name as addresses of pictures in one scale of colours.

    The lightest is the largest power of the signal `loudest`; `RANGE_DB` below it is black.
    """
    powers = {name: measure_power(samples, sample_rate) for name, samples in signals.items()}
    weights = weigh_bands(scale, next(iter(powers.values())).shape[1], sample_rate)
    bands = {name: weights @ each.T for name, each in powers.items()}  # (H, T)
    top = bands[loudest].max()
    return {name: draw_heat(to_levels(each, top), N_LEVELS) for name, each in bands.items()}


def to_levels(powers: np.ndarray, top: float) -> np.ndarray:
    """Powers as levels of colour: `top` and above as the highest, `RANGE_DB` below and less as 0.

    >>> to_levels(np.array([1.0, 1e-7, 0.0, 10.0]), 1.0).tolist()
    [35, 0, 0, 35]
    """
    floor = 10 ** (-RANGE_DB / 10)
    decibels = 10 * np.log10(np.maximum(powers / top if top > 0 else np.zeros_like(powers), floor))
    return np.rint((N_LEVELS - 1) * np.clip(1 + decibels / RANGE_DB, 0, 1)).astype(np.uint8)


def draw_colours() -> str:
    """The scale of colours as the address of a picture, from `RANGE_DB` below the loudest up to it."""
    return draw_heat(np.arange(N_LEVELS)[None], N_LEVELS)


def mark_axes(seconds: float, sample_rate: int, scale: str) -> Axes:
    """Ticks for a picture of so many seconds."""
    nyquist = sample_rate / 2
    top = to_mel(np.array(nyquist)) if scale == "mel" else nyquist
    kilohertz = [tick for tick in choose_ticks(0, nyquist / 1000, 4) if tick <= nyquist / 1000]
    kilohertz = sorted({0.25, 0.5, *kilohertz}) if scale == "mel" and nyquist >= 1000 else kilohertz
    places = [float(to_mel(np.array(1000 * tick)) if scale == "mel" else 1000 * tick) for tick in kilohertz]
    return Axes(
        times=[
            (100 * time / seconds, format_tick(time))
            for time in choose_ticks(0, seconds)
            if 0 <= time <= 0.93 * seconds
        ],
        frequencies=[
            (100 * place / float(top), format_tick(tick))
            for place, tick in zip(places, kilohertz, strict=True)
        ],
    )
