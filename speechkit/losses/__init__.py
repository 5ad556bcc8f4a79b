"""Losses: of each utterance or summed over the batch, from tensors and integer lengths."""

from speechkit.losses.classification import cross_entropy
from speechkit.losses.ctc import ctc_forward_backward, ctc_loss, ctc_min_frames, ctc_occupancy
from speechkit.losses.seq2seq import seq2seq_loss

__all__ = [
    "cross_entropy",
    "ctc_forward_backward",
    "ctc_loss",
    "ctc_min_frames",
    "ctc_occupancy",
    "seq2seq_loss",
]
