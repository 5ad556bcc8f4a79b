"""The learning-rate range test: the loop's own steps, a closed form, runs that diverge or are interrupted."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training import Loss, RateRange, Stage, range_test, suggest_rate

from .toy import WIDTH, Regression, ToyBatch, ToyData, adam, net, regression, same_bits, sgd, weights_of


class Listed(Regression):
    """Keeps the loss and the weights of each batch of training."""

    def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
        loss = super().compute_objectives(predictions, batch, stage)
        if stage is Stage.TRAIN:
            vars(self).setdefault("told", []).append((loss.total.item(), weights_of(self)))
        return loss


class Fixed:
    """A schedule that gives the rates of a range test to the plain loop."""

    def __init__(self, rates: RateRange, own: float) -> None:
        self.rates, self.own = rates, own

    def factor(self, step: int, epoch: float) -> float:
        return self.rates.rate(step) / self.own


def listed(folder: Path, **changed: Any) -> Listed:
    usual: dict[str, Any] = {"modules": {"net": net(dropout=0.3, batch_norm=True)}, "optimizer": adam()}
    data = {"train_data": ToyData((3, 5, 2, 4)), "valid_data": ToyData((5, 4)), "device": "cpu"}
    return Listed(**{**usual, **data, "output_folder": folder, "n_steps": 12, "log_steps": 1, **changed})


@pytest.mark.parametrize("batches_per_step", [1, 3])
def test_steps_and_weights_are_those_of_fit_at_the_same_rates(tmp_path: Path, batches_per_step: int) -> None:
    """Bit for bit, over three epochs, with dropout, batch norm, accumulation and clipping."""
    rates, shared = (
        RateRange(1e-4, 1e-1, 20),
        {"batches_per_step": batches_per_step, "max_gradient_norm": 1.0},
    )
    fitted = listed(tmp_path / "run", schedule=Fixed(rates, 0.01), **shared)
    fitted.fit()
    tested = listed(tmp_path / "test", schedule=None, **shared)
    range_test(tested, rates)
    n_batches = len(fitted.told)
    assert len(tested.told) > n_batches >= 12
    assert [loss for loss, _ in tested.told[:n_batches]] == [loss for loss, _ in fitted.told]
    assert all(same_bits(*pair) for pair in zip(tested.told, fitted.told, strict=False))


def test_nothing_is_left_in_a_folder(tmp_path: Path) -> None:
    range_test(
        listed(tmp_path / "run", checkpoint_steps=1, checkpoint_minutes=1e-9), RateRange(1e-4, 1e-2, 20)
    )
    assert list(tmp_path.rglob("*")) == []


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (range_test(listed(tmp_path), RateRange(1e-4, 1.0, 40)) for _ in range(2))
    assert first == second
    assert len(first.rates) == len(first.losses) == 40
    other = range_test(listed(tmp_path, seed=5), RateRange(1e-4, 1.0, 40))
    assert other.losses != first.losses


class Quadratic(Regression):
    """The loss 1/2 c w^2 of one weight w, whatever the batch."""

    curvature = 4.0

    def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
        return 0.5 * self.curvature * self.modules["net"].weight.square().sum()

    def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
        return Loss(predictions * len(batch), len(batch))


def test_losses_of_a_quadratic_are_those_of_the_closed_form(tmp_path: Path) -> None:
    """SGD multiplies w by 1 - rate c each step; above 2 / c it grows, and the test ends. Sums are float32."""
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(layer.weight, 3.0)
    brain = Quadratic(
        modules={"net": layer}, optimizer=sgd(), train_data=ToyData(), valid_data=ToyData(), device="cpu",
        output_folder=tmp_path, n_epochs=1,
    )  # fmt: skip
    rates = RateRange(1e-5, 100.0, 141)
    curve = range_test(brain, rates)
    factors = 1 - np.array(curve.rates) * Quadratic.curvature
    weights = 3.0 * np.concatenate([[1], np.cumprod(factors[:-1])])
    np.testing.assert_allclose(
        curve.losses, 0.5 * Quadratic.curvature * weights**2, rtol=1e-6
    )  # told in float32
    assert curve.rates == pytest.approx(np.logspace(-5, 2, 141)[: len(curve.rates)])
    assert curve.stopped == "diverged"
    assert 2 / Quadratic.curvature < curve.rates[-1] < 10.0
    # Small rates sum to rate / (factor - 1) before a step, and the loss is exp(-2 c sum): over the logarithm
    # of the rate it is steepest where 2 c sum = 1.
    found = suggest_rate(curve.rates, curve.losses)
    assert found.steepest == pytest.approx((10 ** (7 / 140) - 1) / (2 * Quadratic.curvature), rel=0.25)


def spoil(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
    return replace(batch, y=batch.y * float("nan")) if (epoch, number) == (2, 1) else batch


def test_a_loss_that_is_not_finite_ends_the_test(tmp_path: Path) -> None:
    data = ToyData((3, 5, 2, 4), change=spoil)
    curve = range_test(listed(tmp_path, train_data=data, nonfinite_patience=1), RateRange(1e-4, 1e-2, 20))
    assert curve.stopped == "not finite"
    assert len(curve.rates) == 6
    assert curve.losses[-1] is None
    assert None not in curve.losses[:-1]


def test_an_interrupted_test_keeps_what_it_has(tmp_path: Path) -> None:
    def interrupt(epoch: int, number: int) -> None:
        if (epoch, number) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)

    curve = range_test(
        listed(tmp_path, train_data=ToyData((3, 5, 2, 4), on_batch=interrupt)), RateRange(1e-4, 1e-2, 20)
    )
    assert (curve.stopped, len(curve.losses)) == ("interrupted", 7)


def test_each_of_several_optimizers_has_its_own_rate_times_the_same_factor(tmp_path: Path) -> None:
    seen = []

    class Two(Listed):
        def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
            seen.append([learner.learning_rate for learner in self.learners])
            return super().compute_objectives(predictions, batch, stage)

        def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
            return self.modules["net"](batch.x) + self.modules["rest"](batch.x)

    torch.manual_seed(0)
    modules = {"net": net(), "rest": nn.Linear(WIDTH, 1, dtype=torch.float64)}
    optimizer = {
        "one": {"modules": ["net"], "optimizer": adam(0.01)},
        "two": {"modules": ["rest"], "optimizer": sgd(0.03)},
    }
    brain = Two(
        modules=modules, optimizer=optimizer, train_data=ToyData(), valid_data=ToyData(), device="cpu",
        output_folder=tmp_path, n_epochs=1,
    )  # fmt: skip
    curve = range_test(brain, RateRange(1e-5, 1e-3, 20))
    assert [pair[0] for pair in seen[1:]] == pytest.approx(curve.rates[:-1])
    assert [pair[1] for pair in seen[1:]] == pytest.approx([3 * rate for rate in curve.rates[:-1]])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((0.0, 1.0, 100), "learning rates from 0 to 1; expected two above 0, the first one smaller"),
        ((1.0, 1.0, 100), "from 1 to 1"),
        ((float("nan"), 1.0, 100), "from nan to 1"),
        ((1e-7, float("inf"), 100), "to inf"),
        ((1e-7, 1.0, 19), "19 steps; expected 20 or more"),
    ],
)
def test_a_range_that_is_none(arguments: tuple, told: str) -> None:
    with pytest.raises(UserError) as caught:
        RateRange(*arguments)
    assert told in str(caught.value)


def test_a_rate_of_zero_cannot_be_multiplied(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        range_test(regression(tmp_path, optimizer=adam(0.0)), RateRange())
    assert (caught.value.key, caught.value.found) == ("optimizer", "a learning rate of 0")
