"""Waveforms to features, and augmentation of features."""

from speechkit.features.augmentation import Chain, Mixup, SpecAugment, TimeShift
from speechkit.features.hypercomplex import ComplexSpectrogram, Deltas
from speechkit.features.normalization import GlobalNorm, Normalized, UtteranceNorm
from speechkit.features.perturbation import BandGain, FrequencyWarp
from speechkit.features.spectral import MFCC, LogMel, Spectrogram

__all__ = [
    "MFCC",
    "BandGain",
    "Chain",
    "ComplexSpectrogram",
    "Deltas",
    "FrequencyWarp",
    "GlobalNorm",
    "LogMel",
    "Mixup",
    "Normalized",
    "SpecAugment",
    "Spectrogram",
    "TimeShift",
    "UtteranceNorm",
]
