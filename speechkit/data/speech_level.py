"""How loud speech is while it lasts: the active speech level of ITU-T P.56, method B."""

import math

import numpy as np

TIME_CONSTANT_SECONDS = 0.03  # of each of the envelope's two smoothings
HANGOVER_SECONDS = 0.2  # that speech lasts on after its envelope fell below the threshold
MARGIN_DB = 15.9  # of the threshold below the active level
N_TIME_CONSTANTS = 36  # of the smoothing that are taken: what is left is below 1e-14
N_HALVINGS = 40  # of an octave of thresholds: 2e-12 dB


def active_speech_level(x: np.ndarray, sample_rate: int) -> float:
    """The level of samples (N,) in dB, counted over the time of active speech; 0 dB is a mean square of 1.

    The envelope is |x| smoothed twice. Speech is active while it is above a threshold, and 0.2 s longer; its
    level is the energy of all samples over the active time, and the threshold lies 15.9 dB below this
    level. P.56 tries thresholds a factor of 2 apart and interpolates; here the threshold is found itself, so
    that a gain of g dB changes the level by g dB, and not by up to 0.1 dB less or more.
    Minus infinity for silence; the mean level where the envelope never comes near it (single clicks).

    Source: ITU-T Recommendation P.56 (12/2011), clause 6 and annex B.

    >>> tone = np.sin(np.arange(16000) * 0.5)
    >>> round(active_speech_level(tone, 8000), 1), round(active_speech_level(0.1 * tone, 8000), 1)
    (-3.0, -23.0)
    """
    x = np.asarray(x, np.float64)
    energy = float(x @ x)
    if energy == 0:
        return -math.inf
    envelope = _envelope(x, sample_rate)
    n_hangover = math.ceil(HANGOVER_SECONDS * sample_rate)

    def level(threshold: float) -> float:
        n_active = _count_active(envelope, threshold, n_hangover)
        return 10 * math.log10(energy / n_active) if n_active else -math.inf

    def is_too_low(threshold: float) -> bool:
        return level(threshold) - 20 * math.log10(threshold) > MARGIN_DB

    # No active level is below the mean level: a threshold this low has at least the margin.
    high = math.sqrt(energy / len(x)) * 10 ** (-MARGIN_DB / 20)
    while is_too_low(high):
        high *= 2
    low = high / 2
    for _ in range(N_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if is_too_low(middle) else (low, middle)
    found = level(low)
    return found if found > -math.inf else 10 * math.log10(energy / len(x))


def _envelope(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """Two smoothings y[n] = g y[n-1] + (1 - g) x[n] of |x|: h[n] = (1 - g)^2 (n + 1) g^n, by FFT."""
    decay = math.exp(-1 / (TIME_CONSTANT_SECONDS * sample_rate))
    n_taps = min(len(x), math.ceil(N_TIME_CONSTANTS * TIME_CONSTANT_SECONDS * sample_rate))
    taps = np.arange(n_taps)
    response = (1 - decay) ** 2 * (taps + 1) * decay**taps
    size = 2 ** (len(x) + n_taps - 1).bit_length()
    spectrum = np.fft.rfft(np.abs(x), size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(x)]


def _count_active(envelope: np.ndarray, threshold: float, n_hangover: int) -> int:
    """Samples at which the envelope is above the threshold, or was within the hangover."""
    above = np.flatnonzero(envelope >= threshold)
    # Each sample above counts itself and what follows, until the next one or the hangover's end.
    return int(np.minimum(np.diff(above, append=len(envelope)), n_hangover + 1).sum())
