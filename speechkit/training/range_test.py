"""The learning-rate range test: steps of the loop at rates that rise from one to the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from speechkit.errors import UserError
from speechkit.training import arguments
from speechkit.training.brain import Brain
from speechkit.training.execution import determinism, keep_freed_memory
from speechkit.training.interruption import Interruption
from speechkit.training.processes import Processes
from speechkit.training.progress import Progress, averages
from speechkit.training.rate_suggestion import has_diverged
from speechkit.training.recorder import Recorder
from speechkit.training.step import Stepper, StepResult

FEWEST_STEPS = 20


@dataclass(frozen=True)
class RateRange:
    """Learning rates of the first optimizer, equal factors apart.

    >>> [f"{RateRange(0.001, 10.0, 41).rate(step):g}" for step in (0, 10, 40)]
    ['0.001', '0.01', '10']
    """

    low: float = 1e-7
    high: float = 10.0
    n_steps: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            found = f"learning rates from {self.low:g} to {self.high:g}"
            raise UserError(found, expected="two above 0, the first one smaller", do="give --min and --max")
        if self.n_steps < FEWEST_STEPS:
            expected = f"{FEWEST_STEPS} or more, to tell a fall from noise"
            raise UserError(f"{self.n_steps} steps", expected=expected, do="give --steps")

    def rate(self, step: int) -> float:
        return float(self.low * (self.high / self.low) ** (step / (self.n_steps - 1)))


@dataclass
class RateCurve:
    """A loss for each rate: of the batch before the step at that rate; None where it is not finite.

    stopped: why there are fewer than the range has: "diverged", "not finite", "interrupted"; else None.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float | None] = field(default_factory=list)
    stopped: str | None = None


def range_test(brain: Brain, rates: RateRange) -> RateCurve:
    """The losses of a Brain's first steps at rising rates; leaves nothing in a folder, and the weights moved.

    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3, with rates
    that rise by a factor. Each step is the loop's own, its batches, accumulation, clipping and precision;
    the schedules give way. Of several optimizers, or groups of weights, each has its rate of the YAML times
    the same factor; `rates` are those of the first, and the loss is the sum of theirs.
    It ends early where the loss is not finite or has diverged (`rate_suggestion.has_diverged`), or on Ctrl-C.

    Raises:
        UserError: the first optimizer's own rate is 0, which no factor makes another.
    """
    own = brain.learners[0].learning_rate
    if not own > 0:
        raise UserError(f"a learning rate of {own:g}", expected="one above 0, to multiply", key="optimizer")
    arguments.check_all_weights_in(brain.modules, vars(brain))
    keep_freed_memory(brain.device)
    for learner in brain.learners:
        learner.schedule = _Ramp(rates, own)
    curve = RateCurve()
    with Interruption(speaks=False) as interruption, determinism(brain.deterministic):
        hear = partial(_note_step, brain, rates, curve, interruption)
        brain.move_to(brain.output_folder, partial(_Listener, hear))
        brain.n_epochs, brain.n_steps, brain.log_steps = None, rates.n_steps, 1
        brain.nonfinite_patience = rates.n_steps + 1  # the first loss that is not finite ends the test
        brain.begin()
        while not brain.progress.steps_are_done(brain.n_steps):
            brain.train_epoch()
            brain.progress.begin_epoch()
    return curve


def _note_step(
    brain: Brain,
    rates: RateRange,
    curve: RateCurve,
    interruption: Interruption,
    progress: Progress,
    result: StepResult,
) -> None:
    loss = sum(averages(result.totals, result.counts).values())
    curve.rates.append(rates.rate(progress.step - 1))
    curve.losses.append(loss if math.isfinite(loss) else None)
    known = [each for each in curve.losses if each is not None]
    if not math.isfinite(loss) or not (result.taken or result.overflowed):
        curve.stopped = "not finite"
    elif has_diverged(known):
        curve.stopped = "diverged"
    elif interruption.noted and progress.step < rates.n_steps:
        curve.stopped = "interrupted"
    if curve.stopped:
        brain.n_steps = progress.step  # which ends the epoch under way


class _Ramp:
    """In place of a schedule: the factor that brings the first optimizer to the rate of a step."""

    def __init__(self, rates: RateRange, own: float) -> None:
        self._rates, self._own = rates, own

    def factor(self, step: int, epoch: float) -> float:
        return self._rates.rate(step) / self._own


class _Listener(Recorder):
    """In a Recorder's place: hears of each step, goes on from nothing and writes nothing."""

    def __init__(
        self,
        hear: Callable[[Progress, StepResult], None],
        folder: Path,
        modules: nn.Module,
        stepper: Stepper,
        processes: Processes,
    ) -> None:
        super().__init__(folder, modules, stepper, processes)
        self._hear = hear

    def resume(self) -> Progress:
        return Progress()

    def note(self, event: str, **details: Any) -> None:
        return None

    def is_save_due(self, minutes: float | None) -> bool:
        return False

    def save_recovery(self, progress: Progress) -> None:
        return None

    def write_step(self, progress: Progress, result: StepResult) -> None:
        self._hear(progress, result)
