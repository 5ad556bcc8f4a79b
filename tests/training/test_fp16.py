"""fp16: losses are scaled so that small gradients live, and an overflow costs a step, not the run."""

from pathlib import Path

import torch
from torch import Tensor

from speechkit.training import Loss, Stage
from speechkit.training.scaling import LossScale

from .toy import Regression, ToyBatch, ToyData, adam, log_of, net, regression, same_bits, sgd, weights_of


def half(folder: Path, **changed: object) -> Regression:
    data = ToyData((16,) * 8, dtype=torch.float32)
    usual = {"net": net(dtype=torch.float32), "train_data": data, "valid_data": data, "precision": "fp16"}
    return regression(folder, **usual | changed)


def test_learns(tmp_path: Path) -> None:
    half(tmp_path, n_epochs=8, optimizer=adam(0.02)).fit()
    losses = [line["valid"]["loss"] for line in log_of(tmp_path, "epoch")]
    assert losses[-1] < 0.3 * losses[0]


def test_gradients_too_small_for_fp16_are_kept(tmp_path: Path) -> None:
    """A thousandth of the smallest fp16: without a scale the weights would not move at all."""

    class Tiny(Regression):
        def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
            return Loss((predictions * torch.tensor(1e-9)).sum(), len(batch))

    brains = [
        half(tmp_path / precision, precision=precision, n_epochs=1, optimizer=sgd(1e6))
        for precision in ("fp16", "fp32")
    ]
    for brain in brains:
        brain.__class__ = Tiny
        brain.fit()
    moved, expected = (weights_of(brain) for brain in brains)
    for name, weight in expected.items():
        torch.testing.assert_close(moved[name], weight, rtol=1e-2, atol=1e-3)
    assert not same_bits(expected, weights_of(half(tmp_path / "new")))


def test_an_overflow_halves_the_scale_and_is_no_fault(tmp_path: Path) -> None:
    brain = half(tmp_path, n_epochs=1, nonfinite_patience=1)
    brain._stepper.loss_scale = LossScale(factor=2.0**40)
    brain.fit()
    assert brain._stepper.loss_scale.factor < 2.0**40
    assert brain.progress.n_nonfinite == 0
    assert brain.progress.step == 8


def test_a_group_that_could_not_be_read_tells_nothing_of_the_scale(tmp_path: Path) -> None:
    def emptied(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        return ToyBatch(batch.x[:0], batch.y[:0]) if number % 2 else batch

    data = ToyData((16,) * 4, dtype=torch.float32, change=emptied)
    brain = half(tmp_path, train_data=data, n_epochs=1)
    brain._stepper.loss_scale = LossScale(factor=8.0)
    brain.fit()
    assert brain._stepper.loss_scale.state_dict() == LossScale(factor=8.0, n_good_steps=2).state_dict()


def test_goes_on_with_its_scale(tmp_path: Path) -> None:
    for folder, lengths in ((tmp_path / "parts", (1, 3)), (tmp_path / "whole", (3,))):
        for n_epochs in lengths:
            brain = half(folder, n_epochs=n_epochs)
            brain._stepper.loss_scale = LossScale(factor=2.0**20, growth_steps=5)
            brain.fit()
    assert brain._stepper.loss_scale.factor != 2.0**20
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
