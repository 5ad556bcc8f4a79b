"""Audio of any length and format, a window at a time: never more than one window is held."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from speechkit.data.reading import read_samples
from speechkit.errors import UserError
from speechkit.tasks.inputs import hear
from speechkit.tasks.wav_header import count_missing_bytes

QUIET_SECONDS = 0.2  # how long a pause is looked for, where windows are to end in one
SHORTEST, LONGEST = 2.0, 30.0  # seconds of a window, unless it is given
PAUSES_BELOW = 15.0  # seconds: shorter windows end in pauses
MOST_SHARED = 5.0  # seconds that two windows share, or in which a pause is looked for


class Window(NamedTuple):
    """A stretch of a file, in seconds, and its waveform (N,) at the model's rate."""

    start: float
    end: float
    waveform: Tensor


class WindowPlan(NamedTuple):
    """How a long file is divided, in seconds.

    Windows last `seconds` and share `overlap_seconds` with the next one. With `at_pauses` they share nothing:
    each ends where it is quietest within its last `overlap_seconds`, and the next begins there.
    """

    seconds: float = 30.0
    overlap_seconds: float = 5.0
    at_pauses: bool = False

    def describe(self) -> str:
        """In words.

        >>> WindowPlan().describe()
        'windows of 30 s that share 5 s'
        """
        last = f"{self.overlap_seconds:g} s"
        how = f"end in a pause of their last {last}" if self.at_pauses else f"share {last}"
        return f"windows of {self.seconds:g} s that {how}"

    def check(self) -> None:
        """Raise UserError for windows that cannot be."""
        if not 1 <= self.seconds < 1e6:
            found = f"windows of {self.seconds} s"
            raise UserError(found, expected="1 s at least", key="window_seconds")
        if not 0 <= self.overlap_seconds <= self.seconds / 2:
            found = f"windows of {self.seconds} s that share {self.overlap_seconds} s"
            raise UserError(found, expected="0 s to half of a window", key="overlap_seconds")


def plan_windows(
    utterance_seconds: float | None,
    seconds: float | None = None,
    overlap_seconds: float | None = None,
    at_pauses: bool | None = None,
) -> WindowPlan:
    """The windows for a model: as long as the utterances that it learned from; what is given is kept.

    utterance_seconds: which few of those utterances exceed; None is not known.

    A model hears what is longer than all it has learned from worse, attention above all. Short windows end in
    pauses: a seam comes every few seconds then, and one that cuts a sentence, or a word, makes both of its
    windows begin or end as no utterance did.

    >>> plan_windows(6.42)
    WindowPlan(seconds=6.4, overlap_seconds=3.2, at_pauses=True)
    >>> plan_windows(17.0)
    WindowPlan(seconds=17.0, overlap_seconds=5.0, at_pauses=False)
    """
    if seconds is None:
        longest = LONGEST if utterance_seconds is None else utterance_seconds
        seconds = round(min(LONGEST, max(SHORTEST, longest)), 1)
    if overlap_seconds is None:
        overlap_seconds = min(MOST_SHARED, seconds / 2)
    if at_pauses is None:
        at_pauses = seconds < PAUSES_BELOW
    return WindowPlan(seconds, overlap_seconds, at_pauses)


def read_windows(path: str | PathLike[str], model_rate: int, plan: WindowPlan) -> Iterator[Window]:
    """The windows of an audio file that soundfile reads; the mean of its channels, resampled to `model_rate`.

    A file no longer than a window gives one, which is the whole file. What two windows share is
    kept, not read again.

    Raises UserError, with the file, where it cannot be read, has no samples, or some that are not finite, or
    none but 0; what was read before has then been given already.
    """
    with open_audio(path) as file:
        yield from _divide(file, model_rate, plan)


@contextmanager
def open_audio(path: str | PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """An audio file to read from; a mistake found meanwhile is told with its name."""
    try:
        with _open(path) as file:
            yield file
    except UserError as error:
        if str(path) not in error.found:
            error.found = f"{path}: {error.found}"
        raise


def _open(path: str | PathLike[str]) -> soundfile.SoundFile:
    try:
        n_missing = count_missing_bytes(path)
        if n_missing:
            found = f"the file is cut short: {n_missing:,} bytes that its header tells of are not there"
            raise UserError(found, expected="a whole file")
        return soundfile.SoundFile(path)
    except FileNotFoundError as error:
        raise UserError("there is no such file", expected="an audio file") from error
    except (OSError, soundfile.SoundFileError, TypeError, ValueError) as error:
        # TypeError: raw samples, of which nothing is known.
        raise UserError(_first_line(error), expected="an audio file") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _divide(file: soundfile.SoundFile, model_rate: int, plan: WindowPlan) -> Iterator[Window]:
    rate = file.samplerate
    n_window, n_overlap = round(plan.seconds * rate), round(plan.overlap_seconds * rate)
    start, samples, is_silent = 0, np.zeros(0, np.float32), True
    while True:
        # One sample more than a window tells whether this is the last one.
        fresh = read_mono(file, n_window + 1 - len(samples), start + len(samples))
        samples = np.concatenate([samples, fresh])
        if not len(samples):
            raise UserError("no samples", expected="some audio")
        is_silent = is_silent and not samples.any()
        is_last = len(samples) <= n_window
        end, following = len(samples), len(samples)
        if not is_last:
            end, following = n_window, n_window - n_overlap
            if plan.at_pauses:
                end = following = _find_pause(samples[:n_window], n_overlap, round(QUIET_SECONDS * rate))
        wave = hear(torch.from_numpy(samples[:end].copy()), rate, model_rate)
        yield Window(start / rate, (start + end) / rate, wave)
        if is_last:
            break
        start, samples = start + following, samples[following:]
    if is_silent:
        raise UserError("every sample is 0", expected="some sound")


def read_mono(file: soundfile.SoundFile, n_samples: int, place: int) -> np.ndarray:
    """At most `n_samples` from number `place` on, (N,) float32, the mean of the channels.

    Raises UserError, with the second, where the file is broken or a sample is not finite.
    """
    try:
        x = read_samples(file, place, n_samples).mean(1)
    except (OSError, soundfile.SoundFileError) as error:
        found = f"{_first_line(error)}, at {place / file.samplerate:.3f} s"
        raise UserError(found, expected="an audio file that is whole") from error
    if not np.isfinite(x).all():
        first = (place + int(np.flatnonzero(~np.isfinite(x))[0])) / file.samplerate
        raise UserError(f"a sample at {first:.3f} s is not finite", expected="samples that are numbers")
    return x


def _find_pause(samples: np.ndarray, n_last: int, n_quiet: int) -> int:
    """The middle of the quietest `n_quiet` samples among the last `n_last`; the end if these are fewer."""
    if n_last < n_quiet:
        return len(samples)
    energy = np.concatenate([[0.0], np.square(samples[-n_last:], dtype=np.float64).cumsum()])
    quietest = int((energy[n_quiet:] - energy[:-n_quiet]).argmin())
    return len(samples) - n_last + quietest + n_quiet // 2
