"""What stands in the log of a training."""

import json
from pathlib import Path

import pytest
import torch

from speechkit import report

from .toy import Skip, ToyBatch, ToyData, events_of, log_of, net, regression, sgd


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
        """Once, also where another process has it again."""

        def noticed(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
            batch.notices = ["audio at 44100 Hz is resampled"] if number > 2 else []
            return batch

        regression(tmp_path, train_data=ToyData(change=noticed)).fit()
        assert capsys.readouterr().err.count("audio at 44100 Hz is resampled") == 1
        assert events_of(tmp_path) == ["warning"]
