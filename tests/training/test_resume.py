"""Stopped anywhere and started again: the same weights and log, bit for bit. (Kills: integration.)"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from speechkit.errors import UserError
from speechkit.training import CheckpointFolder, Loss, OneCycle, Plateau, RunLog, Stage
from speechkit.training import checkpoint as checkpoint_module

from .test_checkpoint import DAMAGES, FILES
from .test_step import adversarial
from .toy import (
    Killed,
    Regression,
    ToyBatch,
    ToyData,
    adam,
    checkpoints_of,
    events_of,
    log_of,
    net,
    regression,
    same_bits,
)

N_EPOCHS = 3


def experiment(folder: Path, **changed: Any) -> Regression:
    """All that has a state: moments, running statistics, a cycle, dropout, groups, skipped steps."""

    def spoiled(epoch: int, number: int, batch: ToyBatch) -> ToyBatch:
        return ToyBatch(batch.x, batch.y * torch.nan) if (epoch, number) == (2, 2) else batch

    data = ToyData(
        (3, 5, 2, 4, 6, 2, 3, 4), change=spoiled, on_batch=changed.pop("on_batch", lambda *_: None)
    )
    settings = {
        "net": net(dropout=0.3, batch_norm=True),
        "train_data": data,
        "n_epochs": N_EPOCHS,
        "batches_per_step": 3,
        "schedule": OneCycle(n_epochs=N_EPOCHS),
        "optimizer": adam(0.05),
        "max_gradient_norm": 1.0,
        "log_steps": 2,
        "checkpoint_steps": 2,
    }
    return regression(folder, **{**settings, **changed})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not stopped."""
    folder = tmp_path_factory.mktemp("whole")
    experiment(folder).fit()
    return folder


def die_at(epoch: int, number: int) -> Callable[[int, int], None]:
    def on_batch(now: int, batch: int) -> None:
        if (now, batch) == (epoch, number):
            raise Killed

    return on_batch


def assert_same(folder: Path, whole: Path) -> None:
    assert log_of(folder) == log_of(whole)
    assert checkpoints_of(folder) == checkpoints_of(whole)
    for name in checkpoints_of(whole):
        first, second = (each / "checkpoints" / name for each in (folder, whole))
        assert (first / FILES[0]).read_bytes() == (second / FILES[0]).read_bytes()
        states = [torch.load(each / "state.pt", weights_only=True) for each in (first, second)]
        for state in states:  # the log's offset counts digits of the clock
            del state["log_offset"], state["progress"]["train_seconds"]
        assert same_bits(*states)


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("number", [0, 1, 3, 6, 7])
def test_stopped_at_any_batch(epoch: int, number: int, tmp_path: Path, whole: Path) -> None:
    with pytest.raises(Killed):
        experiment(tmp_path, on_batch=die_at(epoch, number)).fit()
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_stopped_at_every_batch_in_turn(tmp_path: Path, whole: Path) -> None:
    """Each process gets a little further than the one before it."""
    for epoch in (1, 2, 3):
        for number in range(8):
            try:
                experiment(tmp_path, on_batch=die_at(epoch, number), checkpoint_steps=1).fit()
            except Killed:
                continue
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("name", ["save_file", "_write_manifest", "_publish", "_sync", "_withdraw"])
@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_stopped_in_a_save(
    name: str, number: int, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = getattr(checkpoint_module, name), iter(range(1, 1000))

    def dies(*arguments: Any) -> Any:
        if next(calls) == number:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, name, dies)
        patched.setattr(checkpoint_module.shutil, "rmtree", lambda *_, **__: None)  # the dead do not tidy up
        try:
            experiment(tmp_path).fit()
        except Killed:
            pass
        else:
            assert name == "_withdraw"  # this one is not called as often
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_stopped_before_the_needless_is_removed(
    number: int, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last save too, when the run that goes on has nothing left to save."""
    original, calls = CheckpointFolder.keep_only, iter(range(1, 1000))

    def dies(folder: CheckpointFolder, names: set[str]) -> None:
        if next(calls) == number:
            raise Killed
        original(folder, names)

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointFolder, "keep_only", dies)
        with pytest.raises(Killed):
            experiment(tmp_path).fit()
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_stopped_in_validation(tmp_path: Path, whole: Path) -> None:
    calls = iter(range(100))

    def on_batch(epoch: int, number: int) -> None:
        if next(calls) == 3:
            raise Killed

    with pytest.raises(Killed):
        experiment(tmp_path, valid_data=ToyData((5, 4), on_batch=on_batch)).fit()
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_plateau_and_named_optimizers_go_on(tmp_path: Path) -> None:
    def settings() -> dict[str, Any]:
        shared = Plateau(0.5, patience=0)
        return {"schedule": {"generator": shared, "critic": shared}, "n_epochs": 5}

    adversarial(tmp_path / "whole", **settings()).fit()
    for epoch in (3, 4):
        with pytest.raises(Killed):
            adversarial(
                tmp_path / "run", train_data=ToyData((3, 5), on_batch=die_at(epoch, 1)), **settings()
            ).fit()
    adversarial(tmp_path / "run", **settings()).fit()
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_in_steps_too(tmp_path: Path) -> None:
    for folder, deaths in (("whole", ()), ("run", ((1, 4), (2, 1)))):
        for death in deaths:
            with pytest.raises(Killed):
                experiment(tmp_path / folder, n_epochs=None, n_steps=5, on_batch=die_at(*death)).fit()
        experiment(tmp_path / folder, n_epochs=None, n_steps=5).fit()
    assert_same(tmp_path / "run", tmp_path / "whole")


class TestDamagedNewest:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("name", FILES)
    def test_is_named_and_the_one_before_is_used(
        self,
        name: str,
        damage: Callable[[Path], None],
        tmp_path: Path,
        whole: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        experiment(tmp_path, n_epochs=2, schedule=OneCycle(n_epochs=N_EPOCHS)).fit()
        damage(tmp_path / "checkpoints" / "epoch-0002" / name)
        capsys.readouterr()
        experiment(tmp_path).fit()
        told = capsys.readouterr().err
        assert "checkpoint epoch-0002 is damaged and not used" in told
        assert "resuming from epoch-0001" in told
        assert "checkpoint_damaged" in events_of(tmp_path)
        assert_same(tmp_path, whole)

    def test_recovery_falls_back_to_the_epoch_before(self, tmp_path: Path, whole: Path) -> None:
        with pytest.raises(Killed):
            experiment(tmp_path, on_batch=die_at(3, 7)).fit()
        assert checkpoints_of(tmp_path)[-1] == "recovery-00000008"
        (tmp_path / "checkpoints" / "recovery-00000008" / "state.pt").write_bytes(b"?")
        experiment(tmp_path).fit()
        assert_same(tmp_path, whole)

    def test_all_of_them_begins_anew(self, tmp_path: Path, whole: Path) -> None:
        with pytest.raises(Killed):
            experiment(tmp_path, on_batch=die_at(3, 2)).fit()
        for manifest in (tmp_path / "checkpoints").glob("*/manifest.json"):
            manifest.unlink()
        experiment(tmp_path).fit()
        assert_same(tmp_path, whole)

    def test_none_is_removed_before_the_run_has_saved_again(self, tmp_path: Path) -> None:
        """It may be of a newer speechkit, or unreadable for a moment."""
        experiment(tmp_path).fit()
        path = tmp_path / "checkpoints" / "epoch-0003" / "manifest.json"
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
        with pytest.raises(Killed):
            experiment(tmp_path, on_batch=die_at(3, 0)).fit()
        assert path.exists()


def test_a_log_that_went_missing_is_begun_again(tmp_path: Path) -> None:
    experiment(tmp_path, n_epochs=2, schedule=OneCycle(n_epochs=N_EPOCHS)).fit()
    (tmp_path / "log.jsonl").unlink()
    experiment(tmp_path).fit()
    assert {line["epoch"] for line in log_of(tmp_path)} == {3}


class TestSensitivity:
    """These tests see what they are there to see."""

    def test_to_keyed_seeds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("speechkit.training.brain.seed_torch", lambda seed, device: None)
        assert not self.is_exact(tmp_path)

    def test_to_the_cut_of_the_log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Uncut(RunLog):
            def __init__(self, path: Path, offset: int = 0) -> None:
                super().__init__(path, path.stat().st_size if path.exists() else 0)

        monkeypatch.setattr("speechkit.training.recorder.RunLog", Uncut)
        assert not self.is_exact(tmp_path)

    def test_to_the_optimizers_state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("speechkit.training.recorder.Recorder._load_state", lambda *_: None)
        assert not self.is_exact(tmp_path)

    def test_and_sees_nothing_where_nothing_is(self, tmp_path: Path) -> None:
        assert self.is_exact(tmp_path)

    def is_exact(self, folder: Path) -> bool:
        experiment(folder / "whole", log_steps=1).fit()
        torch.default_generator.manual_seed(0)
        with pytest.raises(Killed):
            experiment(folder / "run", log_steps=1, on_batch=die_at(2, 7)).fit()
        experiment(folder / "run", log_steps=1).fit()
        try:
            assert_same(folder / "run", folder / "whole")
        except AssertionError:
            return False
        return True


class TestFullDisk:
    @pytest.fixture
    def tiny(self, tmp_path: Path) -> Iterator[Path]:
        """A disk of 256 kB."""
        folder = tmp_path / "tiny"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount a small disk; the other test of this class simulates one")
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)

    @pytest.mark.parametrize("room_left", [0, 3000, 6000, 9000])
    def test_is_one_message_and_the_run_goes_on_later(self, room_left: int, tiny: Path, whole: Path) -> None:
        """Filled up while it trains, with room for none or some of a checkpoint's three files."""
        ballast = tiny / "ballast"

        def fill(epoch: int, number: int) -> None:
            if (epoch, number) == (2, 4):
                free = os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_bsize
                ballast.write_bytes(b"x" * max(0, free - room_left))

        folder = tiny / "run"
        with pytest.raises(UserError, match="no space left on the disk") as caught:
            experiment(folder, on_batch=fill, log_steps=1).fit()
        assert "free space and run the same command" in caught.value.do
        assert checkpoints_of(folder) == ["epoch-0001", "recovery-00000004"]
        ballast.unlink()
        experiment(folder, log_steps=1).fit()
        assert "checkpoint_damaged" not in events_of(folder)
        experiment(tiny.parent / "whole", log_steps=1).fit()
        assert_same(folder, tiny.parent / "whole")

    @pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
    def test_at_any_save(
        self, number: int, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original, calls = checkpoint_module._sync, iter(range(1, 1000))

        def full(path: Path) -> None:
            if next(calls) == 5 + number:  # of the second save
                raise OSError(28, "No space left on device")
            original(path)

        with monkeypatch.context() as patched:
            patched.setattr(checkpoint_module, "_sync", full)
            with pytest.raises(UserError, match="no space left on the disk"):
                experiment(tmp_path).fit()
        experiment(tmp_path).fit()
        assert_same(tmp_path, whole)

    def test_a_cut_event_does_not_spoil_those_that_follow(self, tmp_path: Path) -> None:
        experiment(tmp_path, n_epochs=1).fit()
        (tmp_path / "events.jsonl").write_text('{"event": "started", "time": 1.0}\n{"event": "warn')
        experiment(tmp_path).fit()
        assert events_of(tmp_path) == ["started", "resumed"]

    def test_other_errors_of_the_disk_are_not_called_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(path: Path) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(checkpoint_module, "_sync", broken)
        with pytest.raises(OSError, match="Input/output error"):
            experiment(tmp_path).fit()


def test_a_run_stopped_for_losses_says_so_again(tmp_path: Path) -> None:
    class Hopeless(Regression):
        def compute_objectives(self, predictions: Any, batch: ToyBatch, stage: Stage) -> Loss:
            loss = super().compute_objectives(predictions, batch, stage)
            return Loss(loss.total * torch.nan, loss.count)

    for _ in range(2):
        brain = regression(tmp_path, nonfinite_patience=9, checkpoint_steps=2)
        brain.__class__ = Hopeless
        with pytest.raises(UserError, match="not finite in 9 steps in a row"):
            brain.fit()


def test_events_tell_what_happened(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        experiment(tmp_path, on_batch=die_at(2, 2)).fit()
    experiment(tmp_path).fit()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(line["event"], line["checkpoint"]) for line in lines] == [("resumed", "epoch-0001")]
