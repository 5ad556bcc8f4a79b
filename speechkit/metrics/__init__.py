"""Figures of merit from records of predictions."""

from speechkit.metrics.classification import accuracy, confusion_matrix
from speechkit.metrics.error_rate import align, count_operations, edit_distance, error_rate

__all__ = ["accuracy", "align", "confusion_matrix", "count_operations", "edit_distance", "error_rate"]
