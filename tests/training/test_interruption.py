"""A signal is noted, the step finished, a checkpoint saved; a second one ends at once."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from speechkit.training import Interrupted
from speechkit.training import checkpoint as checkpoint_module

from .test_resume import assert_same, experiment
from .toy import ToyData, checkpoints_of, events_of

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    experiment(folder).fit()
    return folder


class Signals:
    """Raises a signal at a call, `times` times at once; then never again."""

    def __init__(self, number: int, at_call: int, times: int = 1) -> None:
        self.number, self.left, self.times = number, at_call, times

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                signal.raise_signal(self.number)


@pytest.fixture(autouse=True)
def handlers_are_as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("at_call", [1, 2, 8, 13, 24])
def test_in_training(number: int, at_call: int, tmp_path: Path, whole: Path) -> None:
    """The group of batches under way becomes a step, which is saved; at the end of an epoch its last one."""
    with pytest.raises(Interrupted, match="stopped and saved at epoch"):
        experiment(tmp_path, on_batch=Signals(number, at_call)).fit()
    assert events_of(tmp_path)[-1] == "interrupted"
    step = {1: 1, 2: 1, 8: 3, 13: 5, 24: 9}[at_call]
    assert checkpoints_of(tmp_path)[-1] == f"recovery-{step:08d}"
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("at_call", [1, 2, 4])
def test_in_validation(at_call: int, tmp_path: Path, whole: Path) -> None:
    """What was trained of the epoch is kept; only the measuring is done again."""
    valid = ToyData((5, 4), on_batch=Signals(signal.SIGINT, at_call))
    with pytest.raises(Interrupted):
        experiment(tmp_path, valid_data=valid).fit()
    batches: list[int] = []
    experiment(tmp_path, on_batch=lambda epoch, number: batches.append(epoch)).fit()
    assert batches[0] == (2 if at_call < 3 else 3)  # none of the epoch that was measured
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("at_call", [1, 2, 3, 4, 5, 6])
def test_in_a_save(at_call: int, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save is finished. That of the last epoch too: the run does not go on to its tests."""
    original, signals = checkpoint_module._publish, Signals(signal.SIGTERM, at_call)

    def publish(aside: Path, final: Path) -> None:
        signals()
        original(aside, final)

    monkeypatch.setattr(checkpoint_module, "_publish", publish)
    with pytest.raises(Interrupted):
        experiment(tmp_path).fit()
    assert all(not name.startswith(".") for name in checkpoints_of(tmp_path))
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_many_times_over(tmp_path: Path, whole: Path) -> None:
    for _ in range(20):
        try:
            experiment(tmp_path, on_batch=Signals(signal.SIGINT, 2)).fit()
        except Interrupted:
            continue
        break
    assert events_of(tmp_path).count("interrupted") > 5
    assert_same(tmp_path, whole)


def test_says_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted, match="epoch 2, step 4"):
        experiment(tmp_path, on_batch=Signals(signal.SIGINT, 10)).fit()
    assert "stopping at the next step" in capsys.readouterr().err


def test_a_second_ctrl_c_is_at_once(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        experiment(tmp_path, on_batch=Signals(signal.SIGINT, 15, times=2)).fit()
    assert checkpoints_of(tmp_path) == ["epoch-0001", "recovery-00000004"]  # none was saved for it
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_a_second_sigterm_is_at_once(tmp_path: Path, whole: Path) -> None:
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        experiment(tmp_path, on_batch=Signals(signal.SIGTERM, 15, times=2)).fit()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
    experiment(tmp_path).fit()
    assert_same(tmp_path, whole)


def test_the_model_can_be_used_after_it(tmp_path: Path) -> None:
    """In a notebook: evaluating after an interrupt must not save or stop again."""
    brain = experiment(tmp_path, on_batch=Signals(signal.SIGINT, 2))
    with pytest.raises(Interrupted):
        brain.fit()
    before = checkpoints_of(tmp_path)
    metrics, _ = brain.evaluate(ToyData((5, 4)))
    assert metrics["loss"] > 0
    assert checkpoints_of(tmp_path) == before
