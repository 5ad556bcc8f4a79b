"""A loss or a gradient that is no number: the step does not happen, is counted, and ends a run in time."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.training import Loss, Stage

from .toy import Regression, ToyBatch, ToyData, log_of, net, regression, same_bits

Spoil = Callable[[ToyBatch], ToyBatch]


def with_nan(batch: ToyBatch) -> ToyBatch:
    return ToyBatch(batch.x, torch.full_like(batch.y, math.nan))


def with_infinity(batch: ToyBatch) -> ToyBatch:
    return ToyBatch(batch.x, torch.full_like(batch.y, math.inf))


def with_overflow(batch: ToyBatch) -> ToyBatch:
    """A finite loss, whose gradient is not."""
    return ToyBatch(batch.x, torch.full_like(batch.y, 1e180))


def spoiled(spoil: Spoil, at: set[int], sizes: tuple[int, ...] = (3, 5, 2, 4)) -> ToyData:
    return ToyData(sizes, change=lambda epoch, number, batch: spoil(batch) if number in at else batch)


class Watched(Regression):
    """Notes all that training changes, after every step."""

    states: list[dict[str, Any]]

    def _take_step(self, n_cuts: int, started: float) -> float:
        loss = super()._take_step(n_cuts, started)
        clone = {name: tensor.clone() for name, tensor in self.modules.state_dict().items()}
        optimizer = self.learners[0].optimizer.state_dict()["state"]
        moments = {i: {k: torch.as_tensor(v).clone() for k, v in own.items()} for i, own in optimizer.items()}
        self.states.append({"modules": clone, "optimizer": moments})
        return loss


def watched(folder: Path, **changed: Any) -> Watched:
    brain = regression(folder, **{"net": net(batch_norm=True), "n_epochs": 1, **changed})
    brain.__class__, brain.states = Watched, []
    return brain


@pytest.mark.parametrize("spoil", [with_nan, with_infinity, with_overflow])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_nothing_moves(spoil: Spoil, max_norm: float | None, tmp_path: Path) -> None:
    """Weights, moments and running statistics are the same bits after the step as before it."""
    brain = watched(tmp_path, train_data=spoiled(spoil, {2}), max_gradient_norm=max_norm)
    brain.fit()
    _, before, after, later = brain.states
    assert same_bits(before, after)
    assert not same_bits(after["modules"], later["modules"])
    assert all(tensor.isfinite().all() for tensor in later["modules"].values())


def test_one_bad_batch_spoils_its_group(tmp_path: Path) -> None:
    """The running statistics go back to before the whole group, of which good batches had changed them."""
    brain = watched(
        tmp_path, train_data=spoiled(with_nan, {3}, (3, 5, 2, 4, 6, 2)), batches_per_step=2, n_epochs=1
    )
    brain.fit()
    first, second, third = brain.states
    assert same_bits(first, second)
    assert third["modules"]["net.1.num_batches_tracked"] == 4


def test_goes_on_as_if_the_batch_had_not_been(tmp_path: Path) -> None:
    """Without a schedule the weights are those of training on the other batches alone."""
    brain = watched(tmp_path / "a", train_data=spoiled(with_nan, {1}))
    brain.fit()
    empty = spoiled(lambda batch: ToyBatch(batch.x[:0], batch.y[:0]), {1})
    other = watched(tmp_path / "b", train_data=empty)
    other.fit()
    assert same_bits(brain.states[-1], other.states[-1])


def test_is_counted_in_the_log_and_left_out_of_the_mean(tmp_path: Path) -> None:
    brain = regression(tmp_path, train_data=spoiled(with_nan, {1, 3}), n_epochs=2)
    brain.fit()
    steps, epochs = log_of(tmp_path, "step"), log_of(tmp_path, "epoch")
    assert [line["step"] for line in steps] == list(range(1, 9))
    assert ["loss" in line for line in steps] == [True, False] * 4
    assert [line["gradient_norm"] is None for line in steps] == [False, True] * 4
    assert [line["skipped"]["steps_nonfinite"] for line in epochs] == [2, 2]
    counts = (3, 2)
    mean = sum(line["loss"] * n for line, n in zip(steps[:4:2], counts, strict=True)) / sum(counts)
    assert epochs[0]["train"]["loss"] == pytest.approx(mean)


def test_past_the_patience_the_run_ends_with_what_to_do(tmp_path: Path) -> None:
    brain = regression(tmp_path, train_data=spoiled(with_nan, {1, 2, 3}), nonfinite_patience=3)
    with pytest.raises(UserError, match="not finite in 3 steps in a row") as caught:
        brain.fit()
    assert "epoch 1, step 4" in str(caught.value)
    assert "learning rate" in caught.value.do


def test_the_patience_counts_steps_in_a_row(tmp_path: Path) -> None:
    brain = regression(tmp_path, train_data=spoiled(with_nan, {0, 1, 3}), nonfinite_patience=4, n_epochs=3)
    brain.fit()  # 3, 0 and 1 are neighbours over the end of an epoch, and no more than these three
    assert [line["skipped"]["steps_nonfinite"] for line in log_of(tmp_path, "epoch")] == [3, 3, 3]
    with pytest.raises(UserError, match="3 steps in a row"):
        regression(tmp_path / "b", train_data=spoiled(with_nan, {0, 1, 3}), nonfinite_patience=3).fit()


def test_a_group_with_nothing_to_average_over_is_no_step(tmp_path: Path) -> None:
    """A count of 0, as of a batch whose every target was too long."""

    class Sometimes(Regression):
        def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
            none = stage is Stage.TRAIN and len(batch) == 2
            return (
                Loss(predictions.sum() * 0, 0)
                if none
                else super().compute_objectives(predictions, batch, stage)
            )

    brain = regression(tmp_path, train_data=ToyData((3, 2, 4)), n_epochs=1)
    brain.__class__ = Sometimes
    brain.fit()
    assert [line["skipped"]["steps_nonfinite"] for line in log_of(tmp_path, "epoch")] == [1]


def test_a_validation_metric_that_is_no_number_is_never_best(tmp_path: Path) -> None:
    def from_epoch_2(brain: Regression) -> Callable[[int, int, ToyBatch], ToyBatch]:
        return lambda _, number, batch: with_nan(batch) if brain.progress.epoch >= 2 else batch

    valid = ToyData((5, 4))
    brain = regression(tmp_path, valid_data=valid, n_epochs=4)
    valid.change = from_epoch_2(brain)
    brain.fit()
    epochs = log_of(tmp_path, "epoch")
    assert [line["best"] for line in epochs] == [True, False, False, False]
    assert [line["valid"]["loss"] is None for line in epochs] == [False, True, True, True]
    assert brain.load_best().folder.name == "epoch-0001"


def test_not_even_the_first(tmp_path: Path) -> None:
    brain = regression(tmp_path, valid_data=spoiled(with_nan, {0}), n_epochs=2)
    brain.fit()
    assert not any(line["best"] for line in log_of(tmp_path, "epoch"))
    assert brain.load_best().folder.name == "epoch-0002"  # none was measured: the last
