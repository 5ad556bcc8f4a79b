"""Losses: of each utterance or summed over the batch, from tensors and integer lengths."""

from speechkit.losses.classification import cross_entropy
from speechkit.losses.ctc import ctc_forward_backward, ctc_loss, ctc_min_frames, ctc_occupancy
from speechkit.losses.deep_clustering import deep_clustering_loss
from speechkit.losses.separation import (
    MultiResolutionSTFT,
    pairwise_l1,
    pairwise_si_snr,
    pairwise_snr,
    permutation_invariant,
    separation_loss,
)
from speechkit.losses.seq2seq import seq2seq_loss

__all__ = [
    "MultiResolutionSTFT",
    "cross_entropy",
    "ctc_forward_backward",
    "ctc_loss",
    "ctc_min_frames",
    "ctc_occupancy",
    "deep_clustering_loss",
    "pairwise_l1",
    "pairwise_si_snr",
    "pairwise_snr",
    "permutation_invariant",
    "separation_loss",
    "seq2seq_loss",
]
