"""Files of any length to timed words: window by window, in small batches, put together by their times."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from typing import NamedTuple

from torch import Tensor

from speechkit.errors import UserError
from speechkit.report import TimedWord, Transcript
from speechkit.tasks.windows import Window, WindowPlan, read_windows

SAME_SECONDS = 0.3  # two windows may place the middle of one word this far from each other
SHORTEST_SECONDS = 0.01  # of a word that another one leaves no time


class Recognized(NamedTuple):
    """The text of one waveform, and its words in seconds from the waveform's begin where they are known."""

    text: str
    words: Sequence[TimedWord] | None


Recognize = Callable[[Sequence[Tensor]], Sequence[Recognized]]  # waveforms (N,) of any lengths


def transcribe_file(
    path: str | PathLike[str], recognize: Recognize, sample_rate: int, plan: WindowPlan, batch_size: int = 4
) -> Transcript:
    """The words of an audio file and their times, in memory that does not grow with its length.

    A word belongs to the window in which its middle lies farther from an edge (`join_windows`). Where
    `recognize` gives no times, plan windows `at_pauses`; a window's time is then shared out among its words
    by their letters. Windows in which every sample is 0 are not listened to.

    sample_rate: Hz, of the waveforms that `recognize` takes.

    Raises UserError for a file that cannot be read to its end, as `read_windows`.
    """
    plan.check()
    if batch_size < 1:
        raise UserError(f"batches of {batch_size} windows", expected="1 at least", key="batch_size")
    words: list[TimedWord] = []
    texts: list[str] = []
    seconds, is_estimated = 0.0, False
    for window, found in _recognize_windows(read_windows(path, sample_rate, plan), recognize, batch_size):
        join_windows(words, _place(window, found), window.start, max(seconds, window.start))
        texts.append(found.text)
        seconds, is_estimated = window.end, is_estimated or found.words is None
    text = texts[0] if len(texts) == 1 else " ".join(word.word for word in words)
    return Transcript(text, words, seconds, "estimated" if is_estimated else "aligned")


def _recognize_windows(
    windows: Iterable[Window], recognize: Recognize, batch_size: int
) -> Iterator[tuple[Window, Recognized]]:
    remaining = iter(windows)
    while batch := list(islice(remaining, batch_size)):
        heard = [window for window in batch if window.waveform.any()]
        found = iter(recognize([window.waveform for window in heard]) if heard else [])
        for window in batch:
            yield window, next(found) if window.waveform.any() else Recognized("", [])


def _place(window: Window, found: Recognized) -> list[TimedWord]:
    """The words of a window at their times in the file."""
    words = found.words
    if words is None:
        words = share_out(found.text, window.end - window.start)
    return [
        word._replace(start=window.start + word.start, end=min(window.start + word.end, window.end))
        for word in words
    ]


def share_out(text: str, seconds: float) -> list[TimedWord]:
    """The words of a text of which only the length in seconds is known: each lasts as its letters are many.

    >>> [(word, round(start, 6), round(end, 6)) for word, start, end, _ in share_out("a bcd", 1.2)]
    [('a', 0.0, 0.4), ('bcd', 0.4, 1.2)]
    """
    words = text.split()
    each = seconds / max(1, sum(len(word) + 1 for word in words))  # a word's letters, and what follows it
    timed, at = [], 0.0
    for word in words:
        timed.append(TimedWord(word, at, at + (len(word) + 1) * each))
        at = timed[-1].end
    return timed


def join_windows(words: list[TimedWord], new: Sequence[TimedWord], begin: float, end: float) -> None:
    """Put the words of the next window to those of the windows before it, which end at `end`.

    words: in order of time; changed in place. new: those of a window that begins at `begin`, in order too.

    Between `begin` and `end` both windows were heard; where that is nothing, `new` only follows. A word there
    is taken from the window in which its middle lies farther from the edge: before the middle of the overlap
    from the former. Two windows seldom agree on a word's time to the frame; so words of both that are one
    (see `_likeness`) are found first, and such a pair lies where the mean of its two middles does. Hence a
    word at the seam is neither doubled nor lost, if both windows heard it whole: if it is no longer than the
    overlap.
    """
    if begin >= end:
        words.extend(new)
        return
    first = next((n for n in range(len(words), 0, -1) if _middle(words[n - 1]) < begin - SAME_SECONDS), 0)
    former, seam = words[first:], (begin + end) / 2
    pairs = _pair(former, new)
    settled = [(a, b) for a, b in pairs if _middle(former[a]) + _middle(new[b]) < 2 * seam]
    a, b = settled[-1] if settled else (-1, -1)
    next_a, next_b = ([*pairs[len(settled) :], (len(former), len(new))])[0]
    n_former = a + 1 + sum(_middle(word) < seam for word in former[a + 1 : next_a])
    n_passed = b + 1 + sum(_middle(word) < seam for word in new[b + 1 : next_b])
    del words[first + n_former :]
    for word in new[n_passed:]:
        start = max(word.start, words[-1].end) if words else word.start
        words.append(word._replace(start=start, end=max(word.end, start + SHORTEST_SECONDS)))


def _pair(former: Sequence[TimedWord], new: Sequence[TimedWord]) -> list[tuple[int, int]]:
    """The words of two windows that are one, in order: those that are most alike in sum."""
    near = [n for n, word in enumerate(new) if former and _middle(word) <= former[-1].end + SAME_SECONDS]
    n_former, n_new = len(former), len(near)
    best = [[0.0] * (n_new + 1) for _ in range(n_former + 1)]  # of the words from a and b on
    alike = [[_likeness(one, other) for other in new[:n_new]] for one in former]
    for a in reversed(range(n_former)):
        for b in reversed(range(n_new)):
            paired = best[a + 1][b + 1] + alike[a][b] if alike[a][b] > 0 else 0
            best[a][b] = max(best[a + 1][b], best[a][b + 1], paired)
    pairs, a, b = [], 0, 0
    while a < n_former and b < n_new:
        if best[a][b] == best[a + 1][b]:
            a += 1
        elif best[a][b] == best[a][b + 1]:
            b += 1
        else:
            pairs.append((a, b))
            a, b = a + 1, b + 1
    return pairs


def _likeness(one: TimedWord, other: TimedWord) -> float:
    """How surely two words of two windows are one, above 0 to 1; 0 or less: they are two.

    The same word counts the more, the nearer the middles; another one as far as they lie over each other.
    """
    if one.word == other.word:
        return 1 - abs(_middle(one) - _middle(other)) / SAME_SECONDS
    shared = min(one.end, other.end) - max(one.start, other.start)
    return 0.5 * shared / max(max(one.end, other.end) - min(one.start, other.start), 1e-9)


def _middle(word: TimedWord) -> float:
    return (word.start + word.end) / 2
