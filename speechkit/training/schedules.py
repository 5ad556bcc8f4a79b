"""Learning-rate schedules: factors that multiply the optimizer's own rate.

A schedule is asked once a step with the steps taken and the epochs gone by, the latter with a fraction
(cuts seen over cuts), so that one may be written in steps or in epochs. It keeps no count of its own: what
it returns depends on its arguments alone, which is why a resumed run follows the same curve. `Plateau`,
which looks at the validation metric, is the exception and has a state.
"""

import math

from speechkit.errors import UserError


class Constant:
    """The optimizer's own rate, throughout.

    >>> Constant().factor(step=100, epoch=3.5)
    1.0
    """

    def factor(self, step: int, epoch: float) -> float:
        return 1.0


class OneCycle:
    """Up to the optimizer's rate along a half cosine, then down along another.

    Smith and Topin, "Super-Convergence" (2019), with the cosine form usual since. Give the length in epochs
    or in steps.

    n_epochs, n_steps: length of the cycle; past it the rate stays at its end.
    warmup: share of the cycle that goes up, in (0, 1).
    start, end: factors at both ends, in (0, 1].

    >>> schedule = OneCycle(n_steps=100, warmup=0.25, start=0.1, end=0.001)
    >>> [round(schedule.factor(step, 0.0), 4) for step in (0, 25, 100, 200)]
    [0.1, 1.0, 0.001, 0.001]
    """

    def __init__(
        self,
        n_epochs: float | None = None,
        n_steps: int | None = None,
        warmup: float = 0.3,
        start: float = 0.04,
        end: float = 1e-4,
    ) -> None:
        if (n_epochs is None) == (n_steps is None):
            raise UserError(
                "a cycle without one length", expected="either n_epochs or n_steps", key="n_epochs"
            )
        self.n_epochs, self.n_steps = n_epochs, n_steps
        _check_length(n_epochs, "n_epochs")
        _check_length(n_steps, "n_steps")
        if not 0 < warmup < 1:
            raise UserError(f"warmup is {warmup}", expected="a share between 0 and 1", key="warmup")
        self.warmup, self.start, self.end = warmup, start, end

    def factor(self, step: int, epoch: float) -> float:
        done = epoch / self.n_epochs if self.n_epochs else step / self.n_steps  # type: ignore[operator]
        if done < self.warmup:
            return _half_cosine(self.start, 1.0, done / self.warmup)
        return _half_cosine(1.0, self.end, min(1.0, (done - self.warmup) / (1 - self.warmup)))


class WarmupDecay:
    """Linear to the optimizer's rate, then down with a power of the step.

    Vaswani et al., "Attention Is All You Need" (2017), eq. 3, is power -0.5 up to a constant factor.

    >>> schedule = WarmupDecay(n_warmup_steps=100)
    >>> [schedule.factor(step, 0.0) for step in (0, 49, 99, 399)]
    [0.01, 0.5, 1.0, 0.5]
    """

    def __init__(self, n_warmup_steps: int, power: float = -0.5) -> None:
        _check_length(n_warmup_steps, "n_warmup_steps")
        if power > 0:
            raise UserError(f"power is {power}", expected="0 (no decay) or less", key="power")
        self.n_warmup_steps, self.power = n_warmup_steps, power

    def factor(self, step: int, epoch: float) -> float:
        done = (step + 1) / self.n_warmup_steps  # the first step must not have rate 0
        return done if done < 1 else done**self.power


class Plateau:
    """Multiplied by `decay` whenever the criterion has not improved for `patience` epochs.

    decay: factor in (0, 1). patience: epochs without improvement that are borne, 0 or more.
    floor: the factor goes no lower. Improvement is told by the loop, which knows which way is better.

    >>> schedule = Plateau(decay=0.5, patience=1)
    >>> for improved in (True, False, False): schedule.end_epoch(improved, gain=0.0)
    >>> schedule.factor(step=0, epoch=3.0)
    0.5
    """

    def __init__(self, decay: float = 0.5, patience: int = 2, floor: float = 1e-4) -> None:
        _check_annealing(decay, patience)
        self.decay, self.patience, self.floor = decay, patience, floor
        self._factor, self._n_without = 1.0, 0

    def factor(self, step: int, epoch: float) -> float:
        return self._factor

    def end_epoch(self, improved: bool, gain: float) -> None:
        self._n_without = 0 if improved else self._n_without + 1
        if self._n_without > self.patience:
            self._factor, self._n_without = max(self.floor, self._factor * self.decay), 0

    def state_dict(self) -> dict[str, float]:
        return {"factor": self._factor, "n_without": self._n_without}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._factor, self._n_without = state["factor"], int(state["n_without"])


class NewBob:
    """Multiplied by `decay` after an epoch whose criterion gained less than `threshold` over the last one.

    The "newbob" of QuickNet (ICSI), in the form that Kaldi and others anneal by: gain is relative, 0.0025 for
    a quarter of a percent. decay: factor in (0, 1). patience: small gains that are borne in a row, 0 or more.

    >>> schedule = NewBob(decay=0.5, threshold=0.01)
    >>> for gain in (0.2, 0.05, 0.005, -0.1): schedule.end_epoch(True, gain)
    >>> schedule.factor(step=0, epoch=4.0)
    0.25
    """

    def __init__(
        self, decay: float = 0.5, threshold: float = 0.0025, patience: int = 0, floor: float = 1e-4
    ) -> None:
        _check_annealing(decay, patience)
        self.decay, self.threshold, self.patience, self.floor = decay, threshold, patience, floor
        self._factor, self._n_small = 1.0, 0

    def factor(self, step: int, epoch: float) -> float:
        return self._factor

    def end_epoch(self, improved: bool, gain: float) -> None:
        self._n_small = 0 if gain >= self.threshold else self._n_small + 1
        if self._n_small > self.patience:
            self._factor, self._n_small = max(self.floor, self._factor * self.decay), 0

    def state_dict(self) -> dict[str, float]:
        return {"factor": self._factor, "n_small": self._n_small}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._factor, self._n_small = state["factor"], int(state["n_small"])


def _check_annealing(decay: float, patience: int) -> None:
    if not 0 < decay < 1:
        raise UserError(f"decay is {decay}", expected="a factor between 0 and 1", key="decay")
    if patience < 0:
        raise UserError(f"patience is {patience}", expected="0 or more epochs", key="patience")


def _half_cosine(begin: float, end: float, done: float) -> float:
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * done))


def _check_length(length: float | None, key: str) -> None:
    if length is not None and length <= 0:
        raise UserError(f"{key} is {length}", expected="a positive number", key=key)
