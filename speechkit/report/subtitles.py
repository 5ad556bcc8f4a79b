"""Timed words as what people read and programs take: lines with times, SRT subtitles, JSON."""

import itertools
import json
import textwrap
from collections.abc import Sequence
from typing import Literal, NamedTuple

from speechkit.report.schemas import SCHEMA

# What viewers can read: two lines of 42 characters, for 6 s at most and 1 s at least where there is room.
LINE_CHARACTERS = 42
N_LINES = 2
MAX_SECONDS = 6.0
MIN_SECONDS = 1.0
PAUSE_SECONDS = 0.6  # of silence between two words: a new entry begins


class TimedWord(NamedTuple):
    """A word, its begin and end in seconds, and the confidence in it, within [0, 1], where one is known."""

    word: str
    start: float
    end: float
    confidence: float | None = None


class Transcript(NamedTuple):
    """What is said in `seconds` of audio, and when: words in order of time, none over another.

    timing: "aligned" where words stand at the frames that say them, "estimated" where a stretch's time was
        only shared out among its words.
    """

    text: str
    words: list[TimedWord]
    seconds: float
    timing: Literal["aligned", "estimated"]


class Entry(NamedTuple):
    """A subtitle's begin and end in milliseconds, and its words."""

    start: int
    end: int
    text: str


def group_words(words: Sequence[TimedWord]) -> list[Entry]:
    """Words in order of time, as entries that can be read: short, and divided where the speaker pauses.

    An entry ends at a pause of 0.6 s; one that would last over 6 s, or fill more than two lines of 42
    characters, ends at the longest pause of its second half. A single word beyond these stays whole.

    >>> group_words([TimedWord("yes", 0.5, 0.8), TimedWord("indeed", 0.9, 1.5), TimedWord("no", 2.5, 2.75)])
    [Entry(start=500, end=1500, text='yes indeed'), Entry(start=2500, end=2750, text='no')]
    """
    entries, begin = [], 0
    while begin < len(words):
        end = begin + _n_words(words[begin:])
        text = " ".join(word.word for word in words[begin:end])
        start, stop = round(1000 * words[begin].start), round(1000 * words[end - 1].end)
        entries.append(Entry(start, max(stop, start), text))
        begin = end
    return entries


def _n_words(words: Sequence[TimedWord]) -> int:
    """How many of the words the first entry takes, one at least."""
    count, text = 1, words[0].word
    for before, word in itertools.pairwise(words):
        if word.start - before.end >= PAUSE_SECONDS:
            return count
        text = f"{text} {word.word}"
        if word.end - words[0].start > MAX_SECONDS or len(_wrap(text)) > N_LINES:
            half = (count + 1) // 2
            pauses = [words[n].start - words[n - 1].end for n in range(half, count + 1)]
            return count - pauses[::-1].index(max(pauses))
        count += 1
    return count


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def format_transcript(transcript: Transcript, kind: Literal["text", "srt", "json"], file: str) -> str:
    """A transcript as lines with times, as subtitles or as a line of JSON that names its `file`."""
    if kind == "json":
        return format_json(transcript, file)
    return format_srt(transcript) if kind == "srt" else format_lines(transcript)


def format_lines(transcript: Transcript) -> str:
    """A line an entry: its begin, its end, its text.

    >>> print(format_lines(Transcript("yes", [TimedWord("yes", 61.5, 62.25)], 70.0, "aligned")), end="")
    [00:01:01.500 - 00:01:02.250] yes
    """
    entries = group_words(transcript.words)
    return "".join(f"[{_clock(start)} - {_clock(end)}] {text}\n" for start, end, text in entries)


def format_srt(transcript: Transcript) -> str:
    """Subtitles in the SubRip format. A short entry stays for 1 s, or until the next one begins.

    >>> print(format_srt(Transcript("yes", [TimedWord("yes", 61.5, 61.75)], 70.0, "aligned")), end="")
    1
    00:01:01,500 --> 00:01:02,500
    yes
    <BLANKLINE>
    """
    entries = group_words(transcript.words)
    nexts = [entry.start for entry in entries[1:]]
    blocks = []
    for number, (start, end, text) in enumerate(entries, start=1):
        end = max(end, start + round(1000 * MIN_SECONDS))
        if nexts[number - 1 :]:
            end = min(end, nexts[number - 1])
        times = f"{_clock(start, ',')} --> {_clock(end, ',')}"
        blocks.append("\n".join([str(number), times, *_wrap(text), ""]) + "\n")
    return "".join(blocks)


def format_json(transcript: Transcript, file: str) -> str:
    """One line: an object of schema, file, seconds, timing, text and words; times in seconds."""
    words = [
        {
            "word": word,
            "start": round(start, 3),
            "end": round(end, 3),
            "confidence": None if confidence is None else round(confidence, 4),
        }
        for word, start, end, confidence in transcript.words
    ]
    fields = {"schema": SCHEMA, "file": file, "seconds": round(transcript.seconds, 3)}
    fields |= {"timing": transcript.timing, "text": transcript.text, "words": words}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _clock(milliseconds: int, point: str = ".") -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
