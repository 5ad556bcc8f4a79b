"""The loop: steps, schedules, checkpoints, log. It knows no task."""

from speechkit.training.brain import Brain
from speechkit.training.checkpoint import Checkpoint, CheckpointFolder, load_weights
from speechkit.training.execution import choose_device
from speechkit.training.interruption import Interrupted
from speechkit.training.log import RunLog, append_event
from speechkit.training.objective import Loss, Stage
from speechkit.training.range_test import RateCurve, RateRange, range_test
from speechkit.training.rate_suggestion import Suggestion, suggest_rate
from speechkit.training.schedules import Constant, NewBob, OneCycle, Plateau, WarmupDecay

__all__ = [
    "Brain",
    "Checkpoint",
    "CheckpointFolder",
    "Constant",
    "Interrupted",
    "Loss",
    "NewBob",
    "OneCycle",
    "Plateau",
    "RateCurve",
    "RateRange",
    "RunLog",
    "Stage",
    "Suggestion",
    "WarmupDecay",
    "append_event",
    "choose_device",
    "load_weights",
    "range_test",
    "suggest_rate",
]
