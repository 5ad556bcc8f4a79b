"""Figures of merit from records of predictions."""

from speechkit.metrics.classification import accuracy, confusion_matrix

__all__ = ["accuracy", "confusion_matrix"]
