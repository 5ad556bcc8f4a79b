"""Losses: a sum over the batch, from tensors and integer lengths."""

from speechkit.losses.classification import cross_entropy

__all__ = ["cross_entropy"]
