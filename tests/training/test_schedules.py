"""Schedules against torch's own and closed forms, and as the loop asks them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.training import Constant, NewBob, OneCycle, Plateau, WarmupDecay
from speechkit.training.progress import Progress

from .test_length import scripted
from .toy import ToyBatch, ToyData, adam, log_of, regression


def torch_rates(make: Any, n_steps: int, lr: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = make(optimizer)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


class TestOneCycle:
    @pytest.mark.parametrize(("n_steps", "n_warmup"), [(100, 25), (40, 4), (10, 9)])
    @pytest.mark.parametrize(("start", "end"), [(0.04, 1e-4), (0.5, 0.1)])
    def test_has_the_shape_of_torchs(self, n_steps: int, n_warmup: int, start: float, end: float) -> None:
        """torch counts its points from 0 to total_steps - 1 and its peak at pct_start * total_steps - 1."""
        expected = torch_rates(
            lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=1.0,
                total_steps=n_steps + 1,
                pct_start=(n_warmup + 1) / (n_steps + 1),
                div_factor=1 / start,
                final_div_factor=start / end,
            ),
            n_steps,
        )
        ours = OneCycle(n_steps=n_steps, warmup=n_warmup / n_steps, start=start, end=end)
        assert [ours.factor(step, math.nan) for step in range(n_steps)] == pytest.approx(expected, rel=1e-9)

    def test_epochs_and_steps_give_the_same_curve(self) -> None:
        by_steps, by_epochs = OneCycle(n_steps=70), OneCycle(n_epochs=7)
        for step in range(100):
            assert by_epochs.factor(-1, step / 10) == pytest.approx(by_steps.factor(step, -1.0))

    def test_in_the_loop_by_epochs_ends_at_its_end(self, tmp_path: Path) -> None:
        """Epochs count cuts: unequal batches move the rate by their share, the last one to the end."""
        schedule = OneCycle(n_epochs=2, end=0.001)
        regression(tmp_path, train_data=ToyData((6, 2, 2)), schedule=schedule, optimizer=adam(0.5)).fit()
        rates = [line["learning_rate"]["main"] for line in log_of(tmp_path, "step")]
        epochs = [0.6, 0.8, 1.0, 1.6, 1.8, 2.0]
        assert rates == pytest.approx([0.5 * schedule.factor(-1, epoch) for epoch in epochs])
        assert rates[-1] == pytest.approx(0.5 * 0.001)

    def test_in_the_loop_by_steps(self, tmp_path: Path) -> None:
        schedule = OneCycle(n_steps=6)
        regression(tmp_path, train_data=ToyData((6, 2, 2)), schedule=schedule, optimizer=adam(0.5)).fit()
        rates = [line["learning_rate"]["main"] for line in log_of(tmp_path, "step")]
        assert rates == pytest.approx([0.5 * schedule.factor(step, -1.0) for step in range(6)])

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            ({}, "n_epochs"),
            ({"n_epochs": 2, "n_steps": 3}, "n_epochs"),
            ({"n_epochs": 0}, "n_epochs"),
            ({"n_steps": -5}, "n_steps"),
            ({"n_steps": 5, "warmup": 0}, "warmup"),
            ({"n_steps": 5, "warmup": 1.0}, "warmup"),
        ],
    )
    def test_mistakes(self, settings: dict[str, Any], key: str) -> None:
        with pytest.raises(UserError) as caught:
            OneCycle(**settings)
        assert caught.value.key == key


class TestWarmupDecay:
    @pytest.mark.parametrize("width", [64, 512])
    @pytest.mark.parametrize("n_warmup", [1, 7, 400])
    def test_is_the_papers_rate_up_to_a_factor(self, width: int, n_warmup: int) -> None:
        """Vaswani et al., eq. 3, counts steps from 1; its peak is at the last step of the warm-up."""

        def paper(step: int) -> float:
            return width**-0.5 * min(step**-0.5, step * n_warmup**-1.5)

        ours = WarmupDecay(n_warmup_steps=n_warmup)
        for step in range(1, 1000):
            assert ours.factor(step - 1, 0.0) == pytest.approx(paper(step) / paper(n_warmup), rel=1e-12)

    def test_without_decay_is_torchs_linear_warm_up(self) -> None:
        expected = torch_rates(
            lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 20, 1.0, total_iters=19), 40
        )
        ours = WarmupDecay(n_warmup_steps=20, power=0)
        assert [ours.factor(step, 0.0) for step in range(40)] == pytest.approx(expected)

    @pytest.mark.parametrize("settings", [{"n_warmup_steps": 0}, {"n_warmup_steps": 5, "power": 0.5}])
    def test_mistakes(self, settings: dict[str, Any]) -> None:
        with pytest.raises(UserError):
            WarmupDecay(**settings)


class TestPlateau:
    VALUES = (5, 4, 4.5, 4.2, 4.1, 3, 3, 3, 3, 3, 3, math.nan, math.nan, 2, 2.5, 2.5, 2.5, 2.5)

    @pytest.mark.parametrize("patience", [0, 1, 2])
    def test_as_torchs_reduce_on_plateau(self, patience: int) -> None:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=patience, threshold=0, min_lr=0.05, eps=0
        )
        ours, best = Plateau(decay=0.5, patience=patience, floor=0.05), math.inf
        for value in self.VALUES:
            theirs.step(value)
            ours.end_epoch(value < best, gain=0.0)
            best = value if value < best else best
            assert ours.factor(0, 0.0) == optimizer.param_groups[0]["lr"]

    def test_in_the_loop_follows_the_criterion(self, tmp_path: Path) -> None:
        """A rate of 0 never gets better: from epoch 2 on each epoch without gain halves the factor."""
        brain = regression(tmp_path, optimizer=adam(0.0), schedule=Plateau(0.5, patience=0), n_epochs=4)
        brain.learners[0]._base_rates = [1e-30]  # too small to change a weight, but seen in the log
        brain.fit()
        rates = [line["learning_rate"]["main"] for line in log_of(tmp_path, "epoch")]
        assert rates == [1e-30, 1e-30, 0.5e-30, 0.25e-30]

    def test_shared_by_two_optimizers_advances_once_an_epoch(self, tmp_path: Path) -> None:
        from .test_step import adversarial

        schedule = Plateau(decay=0.5, patience=1)
        ends: list[bool] = []
        schedule.end_epoch = lambda improved, gain: ends.append(improved)  # type: ignore[method-assign]
        adversarial(tmp_path, schedule=schedule, n_epochs=3).fit()
        assert len(ends) == 3

    def test_two_of_them_keep_their_own_state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from .test_step import adversarial

        schedules = {"generator": Plateau(0.5, patience=0), "critic": Plateau(0.1, patience=0)}
        brain = adversarial(tmp_path, schedule=schedules, n_epochs=3)
        monkeypatch.setattr(Progress, "note_criterion", lambda *_: (False, 0.0))
        brain.fit()
        again = {"generator": Plateau(0.5, patience=0), "critic": Plateau(0.1, patience=0)}
        adversarial(tmp_path, schedule=again, n_epochs=3).fit()
        assert again["generator"].factor(0, 0.0) == 0.125
        assert again["critic"].factor(0, 0.0) == pytest.approx(0.001)

    @pytest.mark.parametrize("settings", [{"decay": 1.0}, {"decay": 0.0}, {"patience": -1}])
    @pytest.mark.parametrize("schedule", [Plateau, NewBob])
    def test_mistakes(self, schedule: type, settings: dict[str, Any]) -> None:
        with pytest.raises(UserError):
            schedule(**settings)


class TestNewBob:
    @pytest.mark.parametrize(
        ("direction", "values", "factors"),
        [
            # Gains of 10%, 0.1%, 5%, -5%, none (a value that is none), and 1% over the last that is one.
            ("max", (50, 55, 55.055, 57.8, 55, math.nan, 55.6), (1, 1, 0.5, 0.5, 0.25, 0.125, 0.125)),
            ("min", (4, 2, 1.999, 1.0, 1.1), (1, 1, 0.5, 0.5, 0.25)),
        ],
    )
    def test_halves_where_the_relative_gain_is_small(
        self, direction: str, values: tuple[float, ...], factors: tuple[float, ...], tmp_path: Path
    ) -> None:
        schedule = NewBob(decay=0.5, threshold=0.0025)
        found = []
        schedule_end = schedule.end_epoch

        def end(improved: bool, gain: float) -> None:
            schedule_end(improved, gain)
            found.append(schedule.factor(0, 0.0))

        schedule.end_epoch = end  # type: ignore[method-assign]
        scripted(tmp_path, values, direction, schedule=schedule).fit()
        assert found == [*factors]

    def test_goes_on_where_it_was(self, tmp_path: Path) -> None:
        values = (50, 55, 55.055, 57.8, 55)
        scripted(tmp_path, values, schedule=NewBob(), n_epochs=3).fit()
        scripted(tmp_path, values, schedule=(again := NewBob())).fit()
        assert again.factor(0, 0.0) == 0.25


def test_groups_of_weights_keep_their_ratio(tmp_path: Path) -> None:
    """An optimizer with a rate for each group of weights: the factor multiplies each."""

    def two_rates(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": weights[:2], "lr": 0.2}, {"params": weights[2:], "lr": 0.02}])

    brain = regression(tmp_path, optimizer=two_rates, schedule=OneCycle(n_steps=50), n_epochs=1)
    brain.fit()
    first, second = (group["lr"] for group in brain.learners[0].optimizer.param_groups)
    assert first == pytest.approx(10 * second)
    assert first != 0.2


def test_no_schedule_is_the_optimizers_own_rate(tmp_path: Path) -> None:
    regression(tmp_path, optimizer=adam(0.003)).fit()
    assert {line["learning_rate"]["main"] for line in log_of(tmp_path)} == {0.003}
    assert Constant().factor(10**6, 1e6) == 1.0


def test_unread_cuts_count_towards_the_epoch(tmp_path: Path) -> None:
    """Else the rate of a corpus with broken files would never come down to its end."""
    from .toy import Skip

    def broken(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        return ToyBatch(batch.x[:-1], batch.y[:-1], skipped=[Skip(f"{number}", "unreadable")])

    brain = regression(tmp_path, train_data=ToyData((3, 1, 4), change=broken), schedule=OneCycle(n_epochs=2))
    brain.fit()
    assert log_of(tmp_path, "step")[-1]["learning_rate"]["main"] == pytest.approx(0.01 * 1e-4)
    assert [line["skipped"]["utterances"] for line in log_of(tmp_path, "epoch")] == [{"unreadable": 3}] * 2
