"""Ctrl-C and SIGTERM reach the whole group of processes; the main one saves, and then ends its workers."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def hold_signals() -> Iterator[None]:
    """Processes that start within it are born with the signals held back; for this one they come after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Called in a worker: from now on only a SIGTERM of its own parent ends it.

    To ignore SIGTERM altogether would do for a batch system's, but Python ends with a SIGTERM to the workers
    that are left and then waits for them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        threading.Thread(target=_end_when_told, args=(parent.pid,), daemon=True).start()


def _end_when_told(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
