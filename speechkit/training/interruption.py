"""Ctrl-C and SIGTERM: noted, so that the loop can save at the end of its step."""

import signal
import threading
from types import FrameType, TracebackType

from speechkit.training.bar import say


class Interrupted(Exception):
    """Ctrl-C or SIGTERM arrived; a recovery checkpoint was saved."""


class Interruption:
    """Within it the first signal is only noted; a second one ends the process at once.

    >>> with Interruption() as interruption:
    ...     interruption.noted
    False
    """

    def __init__(self) -> None:
        self.noted = False
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
        self.noted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("stopping at the next step ... (again: at once, back to the last checkpoint)")
