"""How long a training is, what is best in it, and which checkpoints stay."""

import math
from pathlib import Path
from typing import Any

import pytest

from speechkit.errors import UserError
from speechkit.training import CheckpointFolder

from .toy import Regression, ToyData, checkpoints_of, log_of, regression, same_bits, weights_of


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
         "checkpoint_steps", "log_steps", "n_best_checkpoints"],
    )  # fmt: skip
    @pytest.mark.parametrize("value", [0, -3])
    def test_counts_are_positive(self, key: str, value: int, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=f"{key} is {value}") as caught:
            regression(tmp_path, **{key: value})
        assert caught.value.key == key


class TestBestCheckpoints:
    def test_the_best_few_and_the_last_two_stay(self, tmp_path: Path) -> None:
        values = (50, 90, 80, 85, 70, math.nan, 85, 60, 61)
        scripted(tmp_path, values, n_best_checkpoints=3).fit()
        assert checkpoints_of(tmp_path) == [f"epoch-000{epoch}" for epoch in (2, 4, 7, 8, 9)]

    def test_of_equals_the_first_stays(self, tmp_path: Path) -> None:
        scripted(tmp_path, (5, 5, 5, 4, 4), n_best_checkpoints=2).fit()
        assert checkpoints_of(tmp_path) == [f"epoch-000{epoch}" for epoch in (1, 2, 4, 5)]

    def test_another_criterion_than_the_tasks(self, tmp_path: Path) -> None:
        brain = regression(tmp_path, criterion=["loss", "max"], n_epochs=3)
        brain.fit()
        assert log_of(tmp_path, "epoch")[brain.progress.best_epoch - 1]["valid"]["loss"] == max(
            line["valid"]["loss"] for line in log_of(tmp_path, "epoch")
        )

    @pytest.mark.parametrize("criterion", ["loss", ["loss"], ["loss", "up"]])
    def test_a_criterion_that_is_none(self, criterion: Any, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="criterion is"):
            regression(tmp_path, criterion=criterion)


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
        assert brain.progress.epoch == 2  # a test that follows is of this epoch
        assert brain.load_best().folder.name == "epoch-0002"

    def test_a_checkpoint_knows_the_epoch_of_its_weights(self, tmp_path: Path) -> None:
        """A recovery is of the epoch under way, an epoch's end of the one before that."""
        found: dict[str, int] = {}

        def look(epoch: int, number: int) -> None:
            for each in CheckpointFolder(tmp_path / "checkpoints").find():
                found[each.folder.name] = each.weights_epoch

        regression(tmp_path, train_data=ToyData(on_batch=look), checkpoint_steps=5, n_epochs=3).fit()
        assert found == {
            "recovery-00000005": 1, "epoch-0001": 1, "recovery-00000010": 2, "epoch-0002": 2,
            "recovery-00000015": 3, "recovery-00000020": 3,
        }  # fmt: skip

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
        with pytest.raises(UserError, match=r"no metric 'accuracy'.*one of loss"):
            brain.fit()


def _names(folder: Path) -> list[str]:
    return checkpoints_of(folder) if (folder / "checkpoints").exists() else []
