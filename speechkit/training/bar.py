"""The progress bar of an epoch: where it is, when it ends, the loss, the rate; silent where nobody looks."""

import sys
import time

from tqdm import tqdm

REFRESH_SECONDS = 0.2


class ProgressBar:
    """Counts cuts, not batches: with dynamic batches only their number is known beforehand.

    Drawn at most five times a second, whatever the speed of the steps; quiet where stderr is no terminal.
    """

    def __init__(self, title: str, n_cuts: int, n_done: int = 0, *, shown: bool = True) -> None:
        self._quiet = not (shown and sys.stderr.isatty())
        self._bar = (
            None if self._quiet else tqdm(total=n_cuts, initial=n_done, desc=title, unit="clip", leave=False)
        )
        self._n_done = n_done
        self._next = 0.0

    def update(self, n_done: int, loss: float | None = None, learning_rate: float | None = None) -> None:
        if self._bar is None:
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REFRESH_SECONDS
        figures = {} if loss is None else {"loss": f"{loss:.3g}"}
        if learning_rate is not None:
            figures["rate"] = f"{learning_rate:.2g}"
        self._bar.set_postfix(figures, refresh=False)
        self._bar.update(n_done - self._n_done)
        self._n_done = n_done

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()


def say(text: str) -> None:
    """A line for the person at the terminal, above any bar."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
