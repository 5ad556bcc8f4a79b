"""Figures of merit from records of predictions."""

from speechkit.metrics.classification import accuracy, confusion_matrix
from speechkit.metrics.error_rate import align, count_operations, edit_distance, error_rate
from speechkit.metrics.language_modeling import perplexity
from speechkit.metrics.perception import pesq, stoi
from speechkit.metrics.separation import score_separation, sdr, si_snr
from speechkit.metrics.text import TextNormalizer, normalize_text

__all__ = [
    "TextNormalizer",
    "accuracy",
    "align",
    "confusion_matrix",
    "count_operations",
    "edit_distance",
    "error_rate",
    "normalize_text",
    "perplexity",
    "pesq",
    "score_separation",
    "sdr",
    "si_snr",
    "stoi",
]
