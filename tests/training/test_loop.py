"""The loop: randomness by key, precision, stages and their hooks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training import Loss, Stage

from .toy import Killed, Regression, Skip, ToyBatch, ToyData, adam, log_of, net, regression


class TestRandomness:
    """Dropout masks are a function of seed, epoch and batch, of nothing else."""

    def test_by_seed_epoch_and_batch_alone(self, tmp_path: Path) -> None:
        first = self.masks(tmp_path / "a", seed=1, n_epochs=2)
        assert self.masks(tmp_path / "b", seed=1, n_epochs=2, draw=17) == first
        assert len(set(first.values())) == len(first)  # no two alike, over batches and epochs
        other = self.masks(tmp_path / "c", seed=2, n_epochs=2)
        assert not set(other.values()) & set(first.values())

    def test_not_by_what_validation_draws(self, tmp_path: Path) -> None:
        first = self.masks(tmp_path / "a", seed=1, n_epochs=2)
        assert self.masks(tmp_path / "b", seed=1, n_epochs=2, valid_data=ToyData((1, 1, 1, 1))) == first

    def test_evaluation_is_repeatable_too(self, tmp_path: Path) -> None:
        class Sampling(Regression):
            def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
                return self.modules["net"](batch.x) + torch.randn(len(batch), 1)

        brain = regression(tmp_path)
        brain.__class__ = Sampling
        first, _ = brain.evaluate(brain.valid_data)
        torch.rand(100)
        assert brain.evaluate(brain.valid_data)[0] == first

    def masks(self, folder: Path, *, draw: int = 0, **changed: Any) -> dict[tuple[int, int], tuple]:
        """The dropout mask of every batch; `draw` numbers are drawn in between from the same generator."""

        class Masks(Regression):
            def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
                if stage is Stage.TRAIN:
                    mask = nn.functional.dropout(torch.ones(40), 0.5)
                    found[self.progress.epoch, self.progress.n_batches] = tuple(mask.tolist())
                torch.rand(draw)
                return super().compute_forward(batch, stage)

        found: dict[tuple[int, int], tuple] = {}
        brain = regression(folder, **changed)
        brain.__class__ = Masks
        brain.fit()
        return found


class TestPrecision:
    def test_bf16_learns_and_keeps_weights_in_fp32(self, tmp_path: Path) -> None:
        seen = set()

        class Seeing(Regression):
            def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
                output = super().compute_forward(batch, stage)
                seen.add((stage, output.dtype))
                return output

        data = ToyData((16,) * 8, dtype=torch.float32)
        brain = regression(
            tmp_path, net=net(dtype=torch.float32), train_data=data, valid_data=data, precision="bf16",
            eval_precision="fp32", n_epochs=8, optimizer=adam(0.02),
        )  # fmt: skip
        brain.__class__ = Seeing
        brain.fit()
        losses = [line["valid"]["loss"] for line in log_of(tmp_path, "epoch")]
        assert losses[-1] < 0.3 * losses[0]
        assert seen == {(Stage.TRAIN, torch.bfloat16), (Stage.VALID, torch.float32)}
        assert {weight.dtype for weight in brain.modules.parameters()} == {torch.float32}

    def test_bf16_in_evaluation_alone(self, tmp_path: Path) -> None:
        data = ToyData((16, 8), dtype=torch.float32)
        settings = {"train_data": data, "valid_data": data}
        full = regression(tmp_path / "a", net=net(dtype=torch.float32), **settings)
        half = regression(tmp_path / "b", net=net(dtype=torch.float32), eval_precision="bf16", **settings)
        exact, rounded = (brain.evaluate(data)[0]["loss"] for brain in (full, half))
        assert rounded != exact
        assert rounded == pytest.approx(exact, rel=0.02)

    @pytest.mark.parametrize("key", ["precision", "eval_precision"])
    def test_a_typo(self, key: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="fp8") as caught:
            regression(tmp_path, **{key: "fp8"})
        assert caught.value.key == key
        assert "fp32 or bf16 or fp16" in caught.value.expected

    @pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpux"])
    def test_a_device_that_is_none(self, device: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=device) as caught:
            regression(tmp_path, device=device)
        assert caught.value.key == "device"


class TestStages:
    def test_hooks_modes_and_order(self, tmp_path: Path) -> None:
        calls: list[Any] = []

        class Noting(Regression):
            def on_stage_start(self, stage: Stage, epoch: int) -> None:
                calls.append(("start", stage.value, epoch))

            def on_stage_end(self, stage: Stage, metrics: dict[str, float], epoch: int) -> None:
                calls.append(("end", stage.value, epoch))
                metrics["added"] = 7.0

            def compute_forward(self, batch: ToyBatch, stage: Stage) -> Tensor:
                assert self.modules.training == (stage is Stage.TRAIN)
                assert torch.is_grad_enabled() == (stage is Stage.TRAIN)
                return super().compute_forward(batch, stage)

        brain = regression(tmp_path)
        brain.__class__ = Noting
        brain.fit()
        each = [(when, stage) for stage in ("train", "valid") for when in ("start", "end")]
        assert calls == [(*call, epoch) for epoch in (1, 2) for call in each]
        assert all(
            line[stage]["added"] == 7.0 for line in log_of(tmp_path, "epoch") for stage in ("train", "valid")
        )

    def test_records_are_sorted_and_skipped_ones_are_there_but_not_summarized(self, tmp_path: Path) -> None:
        class Recording(Regression):
            def compute_records(
                self, predictions: Tensor, batch: ToyBatch, stage: Stage
            ) -> list[dict[str, Any]]:
                return [{"id": f"{value:.6f}", "skipped": None} for value in batch.x[:, 0].tolist()]

            def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
                return {"n": float(len(records))}

        def broken(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            batch.skipped = [Skip("zzz", "unreadable")] if number == 0 else []
            return batch

        brain = regression(tmp_path)
        brain.__class__ = Recording
        metrics, records = brain.evaluate(ToyData((3, 4), change=broken), Stage.TEST)
        assert metrics["n"] == 7.0
        assert [record["id"] for record in records] == sorted(record["id"] for record in records)
        assert records[-1] == {"id": "zzz", "skipped": "unreadable"}

    def test_the_mean_over_unequal_batches_is_that_of_all_rows(self, tmp_path: Path) -> None:
        brain, data = regression(tmp_path), ToyData((1, 6, 2))
        rows = [brain.modules["net"](batch.x) - batch.y for batch in data.iterate(0, 0)]
        metrics, _ = brain.evaluate(data)
        assert metrics["loss"] == pytest.approx(torch.cat(rows).square().mean().item(), rel=1e-12)


class TestIdleEpochs:
    def test_nothing_to_learn_from_ends_the_run(self, tmp_path: Path) -> None:
        def emptied(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            return ToyBatch(batch.x[:0], batch.y[:0]) if epoch == 2 else batch

        with pytest.raises(UserError, match="train_data: no step was taken in epoch 2"):
            regression(tmp_path, train_data=ToyData(change=emptied), n_epochs=3).fit()

    def test_losses_that_are_not_finite_are_told_otherwise(self, tmp_path: Path) -> None:
        def spoiled(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            return ToyBatch(batch.x, torch.full_like(batch.y, torch.nan))

        regression(tmp_path, train_data=ToyData((3, 5), change=spoiled), n_epochs=1).fit()
        assert log_of(tmp_path, "epoch")[0]["skipped"]["steps_nonfinite"] == 2

    def test_a_run_may_be_shortened_to_where_it_stands(self, tmp_path: Path) -> None:
        def die(epoch: int, number: int) -> None:
            if epoch == 2:
                raise Killed

        with pytest.raises(Killed):
            regression(tmp_path, train_data=ToyData(on_batch=die), n_epochs=2).fit()
        shortened = regression(tmp_path, n_epochs=None, n_steps=5)
        shortened.fit()
        assert (shortened.progress.step, shortened.progress.finished) == (7, True)


def test_deterministic_is_on_within_training_alone(tmp_path: Path) -> None:
    class Asking(Regression):
        def compute_objectives(self, predictions: Tensor, batch: ToyBatch, stage: Stage) -> Loss:
            seen.append(torch.are_deterministic_algorithms_enabled())
            return super().compute_objectives(predictions, batch, stage)

    for wanted in (True, False):
        seen: list[bool] = []
        brain = regression(tmp_path / str(wanted), deterministic=wanted)
        brain.__class__ = Asking
        brain.fit()
        assert set(seen) == {wanted}
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"net": "text"}, "a str"),
        ({"a.b": nn.Linear(1, 1)}, "module name"),
        ({"keys": nn.Linear(1, 1)}, "keys"),
    ],
)
def test_modules_that_are_none_are_named(modules: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        regression(tmp_path, modules=modules)
    assert caught.value.key.startswith("modules")
