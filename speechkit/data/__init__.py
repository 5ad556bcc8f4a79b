"""Lhotse cuts to batches: manifests, the sequence of batches, augmentation of cuts, synthetic corpora."""

from speechkit.data.batches import Batch, CutBatches, Skipped
from speechkit.data.manifest import read_cuts, write_cuts
from speechkit.data.speech_commands_synthesis import synthesize_speech_commands
from speechkit.data.transforms import FixDuration, Gain, Noise, Speed, TimeShift

__all__ = [
    "Batch",
    "CutBatches",
    "FixDuration",
    "Gain",
    "Noise",
    "Skipped",
    "Speed",
    "TimeShift",
    "read_cuts",
    "synthesize_speech_commands",
    "write_cuts",
]
