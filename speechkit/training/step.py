"""One optimizer step: losses gathered over a group of batches, clipped, checked, taken.

The group's gradient is that of one large batch: each batch's total is differentiated as it is, and the sum
of gradients is divided once by the sum of counts. One transfer to the host per step tells loss and norm.
Of several processes each has the mean of all their gradients when it comes here (`parallel`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training.objective import Loss
from speechkit.training.parallel import like
from speechkit.training.processes import Processes
from speechkit.training.scaling import LossScale
from speechkit.training.schedules import Constant
from speechkit.training.statistics import RunningStatistics


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
        saved = state["optimizer"]
        sharded = {
            index: {
                name: like(value, self.parameters[index]) if isinstance(value, Tensor) else value
                for name, value in own.items()
            }
            for index, own in saved["state"].items()
        }
        self.optimizer.load_state_dict({**saved, "state": sharded})
        if hasattr(self.schedule, "load_state_dict"):
            self.schedule.load_state_dict(state["schedule"])

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])


@dataclass
class StepResult:
    """What a step did: losses by learner (sums), the gradient's norm before clipping, taken or not.

    n_batches: of the group, over all processes; signals: which of those given to `take` any process gave.
    overflowed: not taken because the loss was scaled up too far, which is no fault of the data.
    """

    totals: dict[str, float]
    counts: dict[str, float]
    gradient_norm: float
    taken: bool
    n_batches: int
    signals: list[bool]
    overflowed: bool = False


class Stepper:
    """Takes steps with one or several optimizers.

    With several, a mapping of losses trains each name's weights by its own loss alone, all of them from the
    same forward pass and all stepped together; a single loss trains all weights. Weights must belong to one
    name each. Clipping is by the norm over all parameters, as one vector; None is off.

    When a loss or the norm is not finite no weight moves, and the buffers (batch norm's running statistics)
    go back to what they were before the group.
    """

    def __init__(
        self,
        modules: nn.Module,
        learners: list[Learner],
        max_gradient_norm: float | None = None,
        processes: Processes | None = None,
        loss_scale: LossScale | None = None,
    ) -> None:
        if max_gradient_norm is not None and not max_gradient_norm > 0:  # NaN neither
            raise UserError(
                f"max_gradient_norm is {max_gradient_norm}",
                expected="a positive number, or null for no clipping",
                key="max_gradient_norm",
            )
        self.learners = learners
        self.max_gradient_norm = math.inf if max_gradient_norm is None else max_gradient_norm
        self.loss_scale = loss_scale
        self._processes = processes or Processes()
        self._statistics = RunningStatistics(modules, self._processes)
        self._buffers = [buffer for buffer in modules.buffers() if buffer.numel()]
        self._buffers_before: list[Tensor] = []
        self._totals: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}
        self._n_batches = 0
        self._is_new_group = True

    def begin_batch(self) -> None:
        """To be called before a batch's forward pass: remembers the buffers at the head of a group."""
        if self._buffers and self._is_new_group:
            if self._buffers_before:
                torch._foreach_copy_(self._buffers_before, self._buffers)
            else:
                self._buffers_before = [buffer.clone() for buffer in self._buffers]
        self._is_new_group = False
        self._statistics.begin_batch()

    def add(self, loss: Loss | Mapping[str, Loss], *, counts: bool = True) -> None:
        """Differentiate one batch's loss; gradients and counts pile up until `take`.

        A batch that does not count only keeps step with other processes' batches: its weight is zero.
        """
        losses: Mapping[str, Loss] = {"": loss} if isinstance(loss, Loss) else loss
        if not counts:
            losses = {name: Loss(each.total * 0.0, 0) for name, each in losses.items()}
        if isinstance(loss, Loss):
            self._scaled(losses[""]).backward()
        else:
            self._differentiate_named(losses)
        for name, each in losses.items():
            total = each.total.detach().float()
            self._totals[name] = self._totals[name] + total if name in self._totals else total
            self._counts[name] = self._counts.get(name, 0) + each.count
        self._n_batches += counts
        self._statistics.end_batch(counts=counts)

    def take(self, step: int, epoch: float, signals: Sequence[bool] = ()) -> StepResult:
        """Average, check, clip and step; the gradients are gone afterwards."""
        gradients = [_gradients(learner.parameters) for learner in self.learners]
        if self._n_batches and not any(gradients):
            raise UserError(
                "no weight got a gradient", do="let compute_objectives depend on the modules' outputs"
            )
        result, norms = self._sum_up(gradients, signals)
        shares = self._shares(result.counts)
        result.gradient_norm = math.hypot(*(share * norm for share, norm in zip(shares, norms, strict=True)))
        finite = math.isfinite(result.gradient_norm) and all(map(math.isfinite, result.totals.values()))
        result.taken = finite and result.n_batches > 0
        if result.taken:
            self._step(gradients, shares, result.gradient_norm, step, epoch)
        elif self._buffers_before and not self._is_new_group:
            torch._foreach_copy_(self._buffers, self._buffers_before)
        self._statistics.end_group(taken=result.taken)
        is_whole = result.n_batches > 0 and all(result.counts.values())
        if self.loss_scale is not None and is_whole and all(map(math.isfinite, result.totals.values())):
            result.overflowed = self.loss_scale.factor > 1 and not finite
            self.loss_scale.update(finite)
        self._forget()
        return result

    def end_epoch(self, epoch: int) -> None:
        """To be called after an epoch's last step: modules may keep statistics of the first one, say."""
        self._statistics.end_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Of the optimizers and their schedules by name, and the loss's scale."""
        learners = {learner.name: learner.state_dict() for learner in self.learners}
        return {"learners": learners} | (
            {} if self.loss_scale is None else {"loss_scale": self.loss_scale.state_dict()}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for learner in self.learners:
            learner.load_state_dict(state["learners"][learner.name])
        if self.loss_scale is not None and "loss_scale" in state:
            self.loss_scale.load_state_dict(state["loss_scale"])

    def _differentiate_named(self, losses: Mapping[str, Loss]) -> None:
        names = [learner.name for learner in self.learners]
        if sorted(losses) != sorted(names):
            raise UserError(
                f"losses named {sorted(losses)}", expected=f"one for each optimizer: {sorted(names)}"
            )
        for position, learner in enumerate(self.learners):
            last = position == len(self.learners) - 1
            self._scaled(losses[learner.name]).backward(inputs=learner.parameters, retain_graph=not last)

    def _scaled(self, loss: Loss) -> Tensor:
        return loss.total if self.loss_scale is None else loss.total * self.loss_scale.factor

    def _sum_up(
        self, gradients: list[list[Tensor]], signals: Sequence[bool]
    ) -> tuple[StepResult, list[float]]:
        """Sums over all processes and the learners' norms, by the step's only transfer to the host."""
        device = self.learners[0].parameters[0].device
        n_names, norms = len(self._totals), [_norm(each, device) for each in gradients]
        counts, n_batches, told = list(self._counts.values()), self._n_batches, list(signals)
        numbers = [*self._totals.values(), *norms]
        if self._processes.n_ranks == 1:
            values = torch.stack(numbers).tolist() if numbers else []
        else:
            # A sharded gradient's norm is found from the squares of its parts; else all have the same one.
            sharded = [any(hasattr(gradient, "to_local") for gradient in each) for each in gradients]
            own = torch.stack(numbers).double()
            own[n_names:].square_().div_(
                own.new_tensor([1 if each else self._processes.n_ranks for each in sharded])
            )
            own = torch.cat([own, own.new_tensor([*counts, n_batches, *map(float, told)])])
            values = self._processes.sum(own).tolist()
            values, rest = values[: len(numbers)], values[len(numbers) :]
            values[n_names:] = [math.sqrt(square) for square in values[n_names:]]
            counts, n_batches, told = (
                rest[:n_names],
                int(rest[n_names]),
                [bool(x) for x in rest[n_names + 1 :]],
            )
        names = list(self._totals)
        totals = dict(zip(names, values, strict=False))
        result = StepResult(totals, dict(zip(names, counts, strict=True)), math.nan, False, n_batches, told)
        return result, values[n_names:]

    def _shares(self, counts: dict[str, float]) -> list[float]:
        """What each learner's gradient is multiplied by to be that of its average loss."""
        scale = self._processes.n_ranks / (1.0 if self.loss_scale is None else self.loss_scale.factor)
        each = [counts.get(learner.name, counts.get("", 0)) for learner in self.learners]
        # Nothing to average over is no number either: the step is skipped and counted.
        return [scale / count if count else math.nan for count in each]

    def _step(
        self, gradients: list[list[Tensor]], shares: list[float], norm: float, step: int, epoch: float
    ) -> None:
        clipping = self.max_gradient_norm / (norm + 1e-6) if norm > self.max_gradient_norm else 1.0
        for learner, own, share in zip(self.learners, gradients, shares, strict=True):
            if own and share * clipping != 1.0:
                torch._foreach_mul_([_local(gradient) for gradient in own], share * clipping)
            learner.set_rate(step, epoch)
            learner.optimizer.step()

    def _forget(self) -> None:
        for learner in self.learners:
            for weight in learner.parameters:
                weight.grad = None
        self._totals, self._counts, self._n_batches, self._is_new_group = {}, {}, 0, True


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


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [weight.grad for weight in parameters if weight.grad is not None]


def _norm(gradients: list[Tensor], device: torch.device) -> Tensor:
    """Of this process's parts, where gradients are sharded."""
    if not gradients:
        return torch.zeros((), device=device)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm([_local(each) for each in gradients])))


def _local(gradient: Tensor) -> Tensor:
    return gradient.to_local() if hasattr(gradient, "to_local") else gradient
