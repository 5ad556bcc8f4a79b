"""Statistics of a training set as the loop gathers them; several processes: test_processes.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .distributed import Normed
from .toy import Killed, ToyBatch, ToyData, log_of, regression, same_bits, weights_of

SIZES = (3, 5, 2, 4, 6, 2, 3)


def rows(epoch: int, numbers: range) -> np.ndarray:
    return np.concatenate([ToyData(SIZES).batch(0, epoch, number).x.numpy() for number in numbers])


@pytest.mark.parametrize("batches_per_step", [1, 3])
def test_they_are_those_of_the_first_epoch(batches_per_step: int, tmp_path: Path) -> None:
    model = Normed()
    brain = regression(tmp_path, net=model, train_data=ToyData(SIZES), batches_per_step=batches_per_step)
    brain.fit()
    seen = rows(1, range(7))
    np.testing.assert_allclose(model.norm.total, seen.sum(0), rtol=1e-12)
    np.testing.assert_allclose(model.norm.total_of_squares, np.square(seen).sum(0), rtol=1e-12)
    assert model.norm.n_frames == len(seen)
    assert model.norm.epochs_seen == 2


def test_a_batch_sees_itself_and_the_groups_before_its_own(tmp_path: Path) -> None:
    """So that it does not matter in which process the others of its group are."""
    model, seen = Normed(), []
    model.norm.register_forward_hook(lambda norm, _, output: seen.append(norm.n_frames.item()))
    regression(tmp_path, net=model, train_data=ToyData(SIZES), batches_per_step=3, n_epochs=1).fit()
    first, second = sum(SIZES[:3]), sum(SIZES[:6])
    groups = [*SIZES[:3], first + 4, first + 6, first + 2, second + 3]
    assert seen[: len(SIZES)] == groups


def test_a_group_that_is_not_taken_is_not_counted(tmp_path: Path) -> None:
    def change(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        return ToyBatch(batch.x, batch.y * float("nan")) if number == 4 else batch

    model, data = Normed(), ToyData(SIZES, change=change)
    regression(tmp_path, net=model, train_data=data, batches_per_step=3, n_epochs=1).fit()
    seen = np.concatenate([rows(1, range(3)), rows(1, range(6, 7))])
    np.testing.assert_allclose(model.norm.total, seen.sum(0), rtol=1e-12)


@pytest.mark.parametrize("death", [(1, 0), (1, 5), (2, 3)])
def test_resume_is_exact(death: tuple[int, int], tmp_path: Path) -> None:
    def run(folder: Path, **changed: Any) -> Any:
        settings: dict[str, Any] = {
            "n_epochs": 3,
            "batches_per_step": 2,
            "checkpoint_steps": 1,
            "train_data": ToyData(SIZES),
        }
        settings |= changed
        brain = regression(folder, net=Normed(n_epochs=2), **settings)
        brain.fit()
        return brain

    def die(epoch: int, number: int) -> None:
        if (epoch, number) == death:
            raise Killed

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "run", train_data=ToyData(SIZES, on_batch=die))
    assert same_bits(weights_of(run(tmp_path / "run")), weights_of(whole))
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")
    assert whole.modules["net"].norm.n_frames == 2 * sum(SIZES)
