"""One optimizer step: losses gathered over a group of batches, clipped, checked, taken.

The group's gradient is that of one large batch: each batch's total is differentiated as it is, and the sum
of gradients is divided once by the sum of counts. One transfer to the host per step tells loss and norm.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training.objective import Loss
from speechkit.training.schedules import Constant


class Learner:
    """An optimizer by name, the weights that it trains and the schedule of its rate."""

    def __init__(self, name: str, optimizer: torch.optim.Optimizer, schedule: Any | None) -> None:
        self.name = name
        self.optimizer = optimizer
        self.schedule = Constant() if schedule is None else schedule
        self.parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        self._base_rates = [float(group["lr"]) for group in optimizer.param_groups]

    def set_rate(self, step: int, epoch: float) -> None:
        factor = self.schedule.factor(step, epoch)
        for group, rate in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor

    def state_dict(self) -> dict[str, Any]:
        own = self.schedule.state_dict() if hasattr(self.schedule, "state_dict") else {}
        return {"optimizer": self.optimizer.state_dict(), "schedule": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        if hasattr(self.schedule, "load_state_dict"):
            self.schedule.load_state_dict(state["schedule"])

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])


@dataclass
class StepResult:
    """What a step did: losses by learner (averages), the gradient's norm before clipping, taken or not."""

    totals: dict[str, float]
    counts: dict[str, float]
    gradient_norm: float
    taken: bool


class Stepper:
    """Takes steps with one or several optimizers.

    With several, a mapping of losses trains each name's weights by its own loss alone, all of them from the
    same forward pass and all stepped together; a single loss trains all weights. Weights must belong to one
    name each. Clipping is by the norm over all parameters, as one vector; None is off.

    When a loss or the norm is not finite no weight moves, and the buffers (batch norm's running statistics)
    go back to what they were before the group.
    """

    def __init__(
        self, modules: nn.Module, learners: list[Learner], max_gradient_norm: float | None = None
    ) -> None:
        if max_gradient_norm is not None and not max_gradient_norm > 0:  # NaN neither
            raise UserError(
                f"max_gradient_norm is {max_gradient_norm}",
                expected="a positive number, or null for no clipping",
                key="max_gradient_norm",
            )
        self.learners = learners
        self.max_gradient_norm = math.inf if max_gradient_norm is None else max_gradient_norm
        self._parameters = [weight for learner in learners for weight in learner.parameters]
        self._buffers = [buffer for buffer in modules.buffers() if buffer.numel()]
        self._buffers_before: list[Tensor] = []
        self._totals: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}
        self.n_batches = 0

    def add(self, loss: Loss | Mapping[str, Loss]) -> None:
        """Differentiate one batch's loss; gradients and counts pile up until `take`."""
        if isinstance(loss, Loss):
            loss.total.backward()
            self._count("", loss)
        else:
            self._add_named(loss)
        self.n_batches += 1

    def begin_batch(self) -> None:
        """To be called before a batch's forward pass: remembers the buffers at the head of a group."""
        if self._buffers and self.n_batches == 0:
            if self._buffers_before:
                torch._foreach_copy_(self._buffers_before, self._buffers)
            else:
                self._buffers_before = [buffer.clone() for buffer in self._buffers]

    def take(self, step: int, epoch: float) -> StepResult:
        """Average, check, clip and step; the gradients are gone afterwards."""
        gradients = self._averaged_gradients()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        *totals, gradient_norm = torch.stack(
            [*self._totals.values(), norm]
        ).tolist()  # the step's only transfer
        scale = 1.0
        if len(self._counts) == 1:  # one count for all: the division is folded into the clipping
            scale = _share(next(iter(self._counts.values())))
            gradient_norm *= scale
        taken = math.isfinite(gradient_norm) and all(map(math.isfinite, totals))
        if taken:
            if gradient_norm > self.max_gradient_norm:
                scale *= self.max_gradient_norm / (gradient_norm + 1e-6)
            if scale != 1.0:
                torch._foreach_mul_(gradients, scale)
            for learner in self.learners:
                learner.set_rate(step, epoch)
                learner.optimizer.step()
        elif self._buffers:
            torch._foreach_copy_(self._buffers, self._buffers_before)
        result = StepResult(dict(zip(self._totals, totals, strict=True)), self._counts, gradient_norm, taken)
        self._forget()
        return result

    def _add_named(self, losses: Mapping[str, Loss]) -> None:
        names = [learner.name for learner in self.learners]
        if sorted(losses) != sorted(names):
            raise UserError(
                f"losses named {sorted(losses)}", expected=f"one for each optimizer: {sorted(names)}"
            )
        for position, learner in enumerate(self.learners):
            last = position == len(self.learners) - 1
            losses[learner.name].total.backward(inputs=learner.parameters, retain_graph=not last)
            self._count(learner.name, losses[learner.name])

    def _count(self, name: str, loss: Loss) -> None:
        total = loss.total.detach().float()
        self._totals[name] = self._totals[name] + total if name in self._totals else total
        self._counts[name] = self._counts.get(name, 0) + loss.count

    def _averaged_gradients(self) -> list[Tensor]:
        if len(self._counts) > 1:
            for learner in self.learners:
                if own := _gradients(learner.parameters):
                    torch._foreach_mul_(own, _share(self._counts[learner.name]))
        gradients = _gradients(self._parameters)
        if not gradients:
            raise UserError(
                "no weight got a gradient", do="let compute_objectives depend on the modules' outputs"
            )
        return gradients

    def _forget(self) -> None:
        for weight in self._parameters:
            weight.grad = None
        self._totals, self._counts, self.n_batches = {}, {}, 0


def build_learners(modules: nn.ModuleDict, optimizer: Any, schedule: Any | None) -> list[Learner]:
    """Learners from a YAML's `optimizer` and `schedule`.

    optimizer: a factory called with the weights of all modules, or a mapping of names to
        `{modules: [names of modules], optimizer: factory}`.
    schedule: one schedule, or a mapping by the same names.
    """
    names = list(optimizer) if isinstance(optimizer, Mapping) else ["main"]
    schedules = schedule if isinstance(schedule, Mapping) else dict.fromkeys(names, schedule)
    for name in schedules:
        if name not in names:
            raise UserError(f"a schedule for {name!r}", expected=f"one of {names}", key=f"schedule.{name}")
        _check_schedule(schedules[name], f"schedule.{name}" if isinstance(schedule, Mapping) else "schedule")
    if not isinstance(optimizer, Mapping):
        built = _build_optimizer(optimizer, modules.parameters(), "optimizer")
        return [Learner("main", built, schedules.get("main"))]
    learners = []
    for name, part in optimizer.items():
        chosen = nn.ModuleList(_named_modules(modules, part, name))
        built = _build_optimizer(part["optimizer"], chosen.parameters(), f"optimizer.{name}")
        learners.append(Learner(name, built, schedules.get(name)))
    _check_partition(modules, learners)
    return learners


def _build_optimizer(factory: Any, weights: Iterable[nn.Parameter], key: str) -> torch.optim.Optimizer:
    trainable = [weight for weight in weights if weight.requires_grad]
    if not trainable:
        raise UserError("no weights to train", expected="modules with trainable weights", key=key)
    if not callable(factory):
        raise UserError(
            f"the optimizer is a {type(factory).__name__}", do="write !name:torch.optim...", key=key
        )
    try:
        return factory(trainable)
    except Exception as error:  # a rate below zero, an argument that is none
        name = getattr(getattr(factory, "func", factory), "__name__", "the optimizer")
        found = f"{name} raised {type(error).__name__}: {error}"
        raise UserError(found, do=f"look at its arguments, {_arguments(factory)}", key=key) from error


def _arguments(factory: Any) -> str:
    given = getattr(factory, "keywords", {})
    return ", ".join(f"{name}: {value}" for name, value in given.items()) or "of which none is given"


def _check_schedule(schedule: Any, key: str) -> None:
    if schedule is not None and (
        isinstance(schedule, type) or not callable(getattr(schedule, "factor", None))
    ):
        raise UserError(
            f"a {type(schedule).__name__} without factor(step, epoch)",
            expected="a schedule",
            do="write !new:speechkit.training.OneCycle or another (!new, not !name)",
            key=key,
        )


def _named_modules(modules: nn.ModuleDict, part: Any, name: str) -> list[nn.Module]:
    if not isinstance(part, Mapping) or set(part) != {"modules", "optimizer"}:
        raise UserError(
            "not the form of a named optimizer", expected="keys modules, optimizer", key=f"optimizer.{name}"
        )
    unknown = [each for each in part["modules"] if each not in modules]
    if unknown:
        raise UserError(
            f"no module {unknown[0]!r}", expected=f"of {list(modules)}", key=f"optimizer.{name}.modules"
        )
    return [modules[each] for each in part["modules"]]


def _check_partition(modules: nn.ModuleDict, learners: list[Learner]) -> None:
    owners: dict[int, list[str]] = {}
    for learner in learners:
        for weight in learner.parameters:
            owners.setdefault(id(weight), []).append(learner.name)
    for name, weight in modules.named_parameters():
        named = owners.get(id(weight), [])
        if weight.requires_grad and len(named) != 1:
            raise UserError(
                f"weight {name} is trained by {named or 'none'}",
                expected="one optimizer each",
                key="optimizer",
            )


def _share(count: float) -> float:
    # Nothing to average over is no number either: the step is skipped and counted.
    return 1.0 / count if count else math.nan


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [weight.grad for weight in parameters if weight.grad is not None]
