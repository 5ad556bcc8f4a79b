"""The loop: length, early stopping, what is best, what is logged, precision, randomness by key."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit import report
from speechkit.errors import UserError
from speechkit.training import Loss, Stage

from .toy import (
    Regression,
    Skip,
    ToyBatch,
    ToyData,
    adam,
    checkpoints_of,
    events_of,
    log_of,
    net,
    regression,
    same_bits,
    sgd,
    weights_of,
)


class Scripted(Regression):
    """A Brain whose validation metric follows a script."""

    values: tuple[float, ...]

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        return {"score": self.values[min(self.progress.epoch, len(self.values)) - 1]}


def scripted(folder: Path, values: tuple[float, ...], direction: str = "max", **changed: Any) -> Scripted:
    brain = regression(folder, **{"n_epochs": len(values), **changed})
    brain.__class__, brain.values, brain.criterion = Scripted, values, ("score", direction)
    return brain


class TestLength:
    def test_in_epochs(self, tmp_path: Path) -> None:
        regression(tmp_path, n_epochs=3).fit()
        assert [line["epoch"] for line in log_of(tmp_path, "epoch")] == [1, 2, 3]
        assert [line["step"] for line in log_of(tmp_path, "epoch")] == [7, 14, 21]

    @pytest.mark.parametrize(("n_steps", "epochs"), [(10, [7, 10]), (7, [7]), (14, [7, 14]), (2, [2])])
    def test_in_steps_ends_within_an_epoch_and_measures_there(
        self, n_steps: int, epochs: list[int], tmp_path: Path
    ) -> None:
        brain = regression(tmp_path, n_steps=n_steps)
        brain.fit()
        assert [line["step"] for line in log_of(tmp_path, "epoch")] == epochs
        assert brain.progress.step == n_steps
        assert all("loss" in line["valid"] for line in log_of(tmp_path, "epoch"))

    def test_a_finished_run_does_nothing_more(self, tmp_path: Path) -> None:
        for length in ({"n_epochs": 2}, {"n_steps": 9}):
            folder = tmp_path / next(iter(length))
            regression(folder, **length).fit()
            before = (folder / "log.jsonl").read_bytes()
            again = regression(folder, **length)
            again.fit()
            assert (folder / "log.jsonl").read_bytes() == before
            assert again.progress.finished

    def test_more_epochs_go_on_where_fewer_ended(self, tmp_path: Path) -> None:
        """Without a schedule that reads the length, 2 + 2 epochs are 4 epochs."""
        regression(tmp_path / "parts", n_epochs=2).fit()
        (parts := regression(tmp_path / "parts", n_epochs=4)).fit()
        (whole := regression(tmp_path / "whole", n_epochs=4)).fit()
        assert same_bits(weights_of(parts), weights_of(whole))
        assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")

    @pytest.mark.parametrize("length", [{"n_epochs": None}, {"n_epochs": 2, "n_steps": 3}])
    def test_is_given_once(self, length: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(UserError, match="either n_epochs or n_steps"):
            regression(tmp_path, **length)

    @pytest.mark.parametrize(
        "key",
        ["n_epochs", "batches_per_step", "patience", "nonfinite_patience", "checkpoint_minutes",
         "checkpoint_steps", "log_steps"],
    )  # fmt: skip
    @pytest.mark.parametrize("value", [0, -3])
    def test_counts_are_positive(self, key: str, value: int, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=f"{key} is {value}") as caught:
            regression(tmp_path, **{key: value})
        assert caught.value.key == key


class TestEarlyStopping:
    def test_after_patience_epochs_without_gain(self, tmp_path: Path) -> None:
        scripted(tmp_path, (50, 60, 55, 60, 40, 99, 99), patience=3).fit()
        assert len(log_of(tmp_path, "epoch")) == 5  # equal is no gain
        assert [line["best"] for line in log_of(tmp_path, "epoch")] == [True, True, False, False, False]

    def test_counts_over_a_resume(self, tmp_path: Path) -> None:
        values = (50, 60, 55, 60, 40, 99, 99)
        scripted(tmp_path, values, patience=3, n_epochs=4).fit()
        scripted(tmp_path, values, patience=3).fit()
        assert len(log_of(tmp_path, "epoch")) == 5

    def test_more_patience_goes_on(self, tmp_path: Path) -> None:
        values = (50, 40, 40, 70)
        scripted(tmp_path, values, patience=1).fit()
        assert len(log_of(tmp_path, "epoch")) == 2
        scripted(tmp_path, values, patience=3).fit()
        assert len(log_of(tmp_path, "epoch")) == 4

    def test_null_is_never(self, tmp_path: Path) -> None:
        scripted(tmp_path, (9, 8, 7, 6, 5), patience=None).fit()
        assert len(log_of(tmp_path, "epoch")) == 5


class TestKept:
    @pytest.mark.parametrize(
        ("values", "direction", "kept"),
        [
            ((1, 2, 3, 4), "max", [3, 4]),
            ((4, 3, 2, 1), "max", [1, 3, 4]),
            ((4, 3, 1, 2, 5), "min", [3, 4, 5]),
            ((4, 3, 5, 2, 6, 9), "min", [4, 5, 6]),
        ],
    )
    def test_last_previous_and_best(
        self, values: tuple[float, ...], direction: str, kept: list[int], tmp_path: Path
    ) -> None:
        scripted(tmp_path, values, direction, checkpoint_steps=2).fit()
        assert checkpoints_of(tmp_path) == [f"epoch-{epoch:04d}" for epoch in kept]

    def test_the_best_weights_are_loaded_at_the_end(self, tmp_path: Path) -> None:
        (short := scripted(tmp_path / "short", (5, 9))).fit()
        (brain := scripted(tmp_path / "long", (5, 9, 3, 4))).fit()
        assert same_bits(weights_of(brain), weights_of(short))
        assert brain.load_best().folder.name == "epoch-0002"

    def test_recovery_checkpoints_are_neither_logged_nor_kept(self, tmp_path: Path) -> None:
        seen: list[list[str]] = []
        data = ToyData(on_batch=lambda epoch, number: seen.append(_names(tmp_path / "with")))
        (often := regression(tmp_path / "with", train_data=data, checkpoint_steps=1)).fit()
        (never := regression(tmp_path / "without")).fit()
        assert max(sum(name.startswith("recovery") for name in names) for names in seen) == 1
        assert log_of(tmp_path / "with") == log_of(tmp_path / "without")
        assert checkpoints_of(tmp_path / "with") == checkpoints_of(tmp_path / "without")
        assert same_bits(weights_of(often), weights_of(never))

    def test_by_the_clock(self, tmp_path: Path) -> None:
        seen: list[list[str]] = []
        data = ToyData(on_batch=lambda epoch, number: seen.append(_names(tmp_path)))
        regression(tmp_path, train_data=data, checkpoint_minutes=1e-9, n_epochs=1).fit()
        assert [names for names in seen if names] == [[f"recovery-{step:08d}"] for step in range(1, 7)]

    def test_an_unknown_criterion_names_what_there_is(self, tmp_path: Path) -> None:
        brain = regression(tmp_path)
        brain.criterion = ("accuracy", "max")
        with pytest.raises(UserError, match=r"no metric 'accuracy'.*\['loss'\]"):
            brain.fit()


def _names(folder: Path) -> list[str]:
    return checkpoints_of(folder) if (folder / "checkpoints").exists() else []


class TestLog:
    def test_every_line_is_of_its_schema(self, tmp_path: Path) -> None:
        regression(tmp_path, log_steps=3, batches_per_step=2, max_gradient_norm=1.0).fit()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        for number, line in enumerate(lines, start=1):
            report.validate(line["kind"], line, file="log.jsonl", line=number)
        assert report.read_log(tmp_path / "log.jsonl") == lines
        assert {"step", "epoch"} == {line["kind"] for line in lines}

    def test_what_stands_in_it(self, tmp_path: Path) -> None:
        """Losses are means over rows since the last line, with the weights of their time."""
        sizes, lr = (3, 5, 2, 4), 0.05
        data, valid, model = ToyData(sizes), ToyData((5, 4)), net()
        regression(
            tmp_path, train_data=data, valid_data=valid, optimizer=sgd(lr), log_steps=2, n_epochs=1
        ).fit()
        totals, norms = [], []
        for batch in data.iterate(0, 1):
            total = (model(batch.x) - batch.y).square().sum()
            gradients = torch.autograd.grad(total / len(batch), list(model.parameters()))
            norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
            totals.append(total.item())
            with torch.no_grad():
                for weight, gradient in zip(model.parameters(), gradients, strict=True):
                    weight -= lr * gradient
        valid_total = sum((model(each.x) - each.y).square().sum().item() for each in valid.iterate(0, 0))
        step = {"kind": "step", "epoch": 1, "learning_rate": {"main": lr}}
        near = lambda value: pytest.approx(value, rel=1e-6)  # noqa: E731
        assert log_of(tmp_path) == [
            {**step, "step": 2, "loss": near(sum(totals[:2]) / 8), "gradient_norm": near(norms[1])},
            {**step, "step": 4, "loss": near(sum(totals[2:]) / 6), "gradient_norm": near(norms[3])},
            {
                "kind": "epoch",
                "epoch": 1,
                "step": 4,
                "train": {"loss": near(sum(totals) / 14)},
                "valid": {"loss": near(valid_total / 9)},
                "learning_rate": {"main": lr},
                "best": True,
                "skipped": {"steps_nonfinite": 0, "utterances": {}},
            },
        ]

    def test_an_interval_of_the_log_goes_over_the_end_of_an_epoch(self, tmp_path: Path) -> None:
        regression(tmp_path, train_data=ToyData((3, 3, 3)), log_steps=2).fit()
        lines = [(line["step"], line["epoch"]) for line in log_of(tmp_path, "step")]
        assert lines == [(2, 1), (4, 2), (6, 2)]

    def test_skipped_utterances_are_counted_by_reason(self, tmp_path: Path) -> None:
        def broken(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            batch.skipped = [Skip("a", "unreadable"), Skip("b", "empty")][: number + 1]
            return batch

        regression(tmp_path, train_data=ToyData((3, 4), change=broken)).fit()
        counts = [line["skipped"]["utterances"] for line in log_of(tmp_path, "epoch")]
        assert counts == [{"unreadable": 2, "empty": 1}] * 2

    def test_a_notice_is_said_and_an_event(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        def noticed(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            batch.notices = ["audio at 44100 Hz is resampled"] if (epoch, number) == (1, 2) else []
            return batch

        regression(tmp_path, train_data=ToyData(change=noticed)).fit()
        assert capsys.readouterr().err.count("audio at 44100 Hz is resampled") == 1
        assert events_of(tmp_path) == ["warning"]


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
        with pytest.raises(UserError, match="fp16") as caught:
            regression(tmp_path, **{key: "fp16"})
        assert caught.value.key == key
        assert "fp32 or bf16" in caught.value.expected

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
