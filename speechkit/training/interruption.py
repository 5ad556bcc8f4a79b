"""Ctrl-C and SIGTERM: noted, so that the loop can save at the end of its step."""

import signal
import threading
import time
from types import FrameType, TracebackType

from speechkit.training.bar import say


class Interrupted(Exception):
    """Ctrl-C or SIGTERM arrived; a recovery checkpoint was saved."""


class Interruption:
    """Within it the first signal is only noted; a second one ends the process at once.

    speaks: whether it tells the user that it has noted.
    grace_seconds: for which signals are the first one: torchrun passes on what the terminal has already sent.

    >>> with Interruption() as interruption:
    ...     interruption.noted
    False
    """

    def __init__(self, *, speaks: bool = True, grace_seconds: float = 0.0) -> None:
        self.noted = False
        self._speaks, self._grace_seconds, self._noted_at = speaks, grace_seconds, 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        self.noted = False
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.noted = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted and time.monotonic() - self._noted_at < self._grace_seconds:
            return
        if self.noted:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.noted, self._noted_at = True, time.monotonic()
        if self._speaks:
            say("stopping at the next step ... (again: at once, back to the last checkpoint)")
