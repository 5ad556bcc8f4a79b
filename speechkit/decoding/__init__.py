"""Scores to tokens."""

from speechkit.decoding.ctc import greedy_ctc
from speechkit.decoding.hypothesis import Hypothesis

__all__ = ["Hypothesis", "greedy_ctc"]
