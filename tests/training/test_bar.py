"""The bar: at a terminal loss, rate and time left; elsewhere not a sign of it."""

import contextlib
import os
import pty
import re
import sys
import termios
import time
from pathlib import Path

import pytest

from speechkit.training import bar
from speechkit.training.bar import ProgressBar

from .toy import ToyData, adam, regression

SLOW = 0.12  # seconds a batch: above tqdm's least time between two drawings


class Terminal:
    """A pseudo-terminal in place of stderr; what is drawn on it is in `text` afterwards.

    Entered within the test: pytest puts its own stderr in place when a test begins.
    """

    def __enter__(self) -> "Terminal":
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 120))
        self._stream = open(slave, "w")
        self._before, sys.stderr = sys.stderr, self._stream
        return self

    def __exit__(self, *error: object) -> None:
        sys.stderr = self._before
        self._stream.flush()
        os.set_blocking(self._master, False)
        self.text = ""
        with contextlib.suppress(BlockingIOError):
            while True:  # a terminal gives a few kilobytes at a time
                self.text += os.read(self._master, 4096).decode(errors="replace")
        self._stream.close()
        os.close(self._master)


@pytest.fixture(autouse=True)
def drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar, "REFRESH_SECONDS", 0.0)


def slowly(epoch: int, number: int) -> None:
    time.sleep(SLOW)


def test_shows_loss_rate_and_time_left_at_a_terminal(tmp_path: Path) -> None:
    data = ToyData((3,) * 6, on_batch=slowly)
    with Terminal() as terminal:
        regression(tmp_path, train_data=data, n_epochs=1, optimizer=adam(0.025)).fit()
    line = r"epoch 1: +\d+%.*\d+/18 \[00:0\d<00:0\d,.*clip.*loss=\d.*rate=0\.025"
    assert re.search(line, terminal.text)
    assert "epoch   1 | train loss" in terminal.text


def test_is_silent_elsewhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    regression(tmp_path).fit()
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"(epoch   \d \| train loss \S+ \| valid loss \S+ \| \d\.\d s( \| best)?\n){2}", err)


def test_begins_where_a_resumed_epoch_stands() -> None:
    with Terminal() as terminal, ProgressBar("epoch 3", 200, n_done=50) as progress:
        time.sleep(SLOW)
        progress.update(100)
    assert " 50/200" in terminal.text
    assert " 100/200" in terminal.text


def test_is_drawn_a_few_times_a_second_whatever_the_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bar, "REFRESH_SECONDS", 0.2)
    n_done, end = 0, time.monotonic() + 0.5
    with Terminal() as terminal, ProgressBar("epoch 1", 10**9) as progress:
        while time.monotonic() < end:
            progress.update(n_done := n_done + 1, loss=1.0)
    assert n_done > 1000
    assert 1 <= terminal.text.count("loss=1") <= 4


def test_a_line_of_its_own_does_not_break_the_bar() -> None:
    with Terminal() as terminal, ProgressBar("epoch 1", 10):
        bar.say("a line")
    assert "a line\r\n" in terminal.text
