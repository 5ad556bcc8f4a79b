"""Predictions of what listeners would say: PESQ and STOI, of the extra `metrics`."""

import warnings
from importlib import import_module
from types import ModuleType

import numpy as np

from speechkit.errors import UserError

# S sources, N samples
BANDS = {8000: "nb", 16000: "wb"}  # narrow and wide band, by sampling rate


def pesq(estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
    """Perceptual evaluation of speech quality, (S,), of signals (S, N): MOS-LQO, from 1 to 4.6.

    ITU-T P.862.1 (narrow band) at 8 kHz, P.862.2 (wide band) at 16 kHz, by the package pesq. NaN of silence
    and of what is too short.
    """
    library = _extra("pesq")
    if sample_rate not in BANDS:
        raise UserError(f"PESQ at {sample_rate} Hz", expected="8,000 or 16,000 Hz", do="resample the signals")
    found = np.full(len(references), np.nan)
    for number, (estimate, reference) in enumerate(zip(estimates, references, strict=True)):
        if np.any(reference) and np.isfinite(estimate).all():
            returned = library.PesqError.RETURN_VALUES
            value = library.pesq(sample_rate, reference, estimate, BANDS[sample_rate], on_error=returned)
            found[number] = value if value > 0 else np.nan  # a negative one is the number of an error
    return found


def stoi(estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
    """Short-time objective intelligibility, (S,), of signals (S, N): at most 1 (Taal et al., 2011).

    By the package pystoi. NaN where the reference has less than 0.4 s above its silence.
    """
    library = _extra("pystoi")
    found = np.full(len(references), np.nan)
    for number, (estimate, reference) in enumerate(zip(estimates, references, strict=True)):
        if np.any(reference) and np.isfinite(estimate).all() and len(reference) >= 0.4 * sample_rate:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                value = library.stoi(*_in_float64(reference, estimate), sample_rate)
            found[number] = (
                np.nan if any("Not enough STFT frames" in str(each.message) for each in told) else value
            )
    return found


def _in_float64(*signals: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(signal, dtype=np.float64) for signal in signals]


def _extra(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"the package {name} is missing", do="install speechkit[metrics]") from error
