"""Subtitles read back by a small parser of their own, and held against what viewers can read."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.report import TimedWord, Transcript, format_transcript

CLOCK = r"(\d\d+):([0-5]\d):([0-5]\d),(\d{3})"
WORDS = st.text("abcdefghijklmnopqrstuvwxyzäß'-", min_size=1, max_size=14)


@st.composite
def spoken(draw: st.DrawFn, longest: float = 1.5) -> list[TimedWord]:
    """Words one after another: some touch, some are far apart, each lasts 10 ms at least."""
    words, at = [], draw(st.floats(0, 4000))
    for _ in range(draw(st.integers(0, 40))):
        start = at + draw(st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.7, 5.0]))
        at = start + draw(st.floats(0.01, longest))
        words.append(TimedWord(draw(WORDS), start, at, draw(st.none() | st.floats(0, 1))))
    return words


def transcript(words: list[TimedWord]) -> Transcript:
    return Transcript(" ".join(word.word for word in words), words, 9000.0, "aligned")


def read_srt(text: str) -> list[tuple[int, int, list[str]]]:
    """Begin and end in milliseconds and lines of each entry; numbers must count from 1."""
    found = []
    for number, block in enumerate(text.split("\n\n")[:-1], start=1):
        first, times, *lines = block.split("\n")
        assert first == str(number)
        assert lines
        match = re.fullmatch(rf"{CLOCK} --> {CLOCK}", times)
        assert match, times
        h, m, s, ms, *last = map(int, match.groups())
        begin, end = ((h * 60 + m) * 60 + s) * 1000 + ms, ((last[0] * 60 + last[1]) * 60 + last[2]) * 1000
        found.append((begin, end + last[3], lines))
    return found


@settings(max_examples=30)
@given(spoken())
def test_srt_says_every_word_once_in_entries_that_can_be_read(words: list[TimedWord]) -> None:
    entries = read_srt(format_transcript(transcript(words), "srt", "a.wav"))
    assert " ".join(" ".join(lines) for _, _, lines in entries) == transcript(words).text
    at, before = 0, 0
    for begin, end, lines in entries:
        n_words = sum(len(line.split(" ")) for line in lines)
        said, at = words[at : at + n_words], at + n_words
        assert max(map(len, lines)) <= 42
        assert len(lines) <= 2
        assert before <= begin < end
        assert end - begin <= 6000
        assert begin == round(1000 * said[0].start)  # it shows when its first word begins
        assert end >= round(1000 * said[-1].end)  # and until its last has ended
        gaps = [after.start - word.end for word, after in itertools.pairwise(said)]
        assert max(gaps, default=0) < 0.6
        before = end


def test_a_full_entry_ends_at_the_longest_pause_of_its_second_half() -> None:
    words = [TimedWord(f"word{n}", n, n + 0.95) for n in range(8)]
    words[4] = words[4]._replace(start=4.4)  # 0.45 s of silence before it; 0.05 s elsewhere
    assert [text for _, _, (text, *_) in read_srt(format_transcript(transcript(words), "srt", "a.wav"))] == [
        "word0 word1 word2 word3",
        "word4 word5 word6 word7",
    ]


def test_short_entries_stay_as_long_as_there_is_room() -> None:
    words = [TimedWord("a", 1.0, 1.04), TimedWord("b", 1.7, 1.74), TimedWord("c", 9.0, 9.04)]
    assert read_srt(format_transcript(transcript(words), "srt", "a.wav")) == [
        (1000, 1700, ["a"]),
        (1700, 2700, ["b"]),
        (9000, 10000, ["c"]),
    ]


def test_a_word_beyond_all_limits_stays_whole() -> None:
    words = [TimedWord("x" * 60, 0.0, 8.0), TimedWord("y", 8.0, 8.5)]
    assert read_srt(format_transcript(transcript(words), "srt", "a.wav")) == [
        (0, 8000, ["x" * 60]),
        (8000, 9000, ["y"]),
    ]


def test_many_hours() -> None:
    text = format_transcript(transcript([TimedWord("a", 360000.0, 360000.5)]), "srt", "a.wav")
    assert "100:00:00,000 --> 100:00:01,000" in text


@settings(max_examples=30)
@given(spoken())
def test_lines_have_the_times_of_their_words(words: list[TimedWord]) -> None:
    text = format_transcript(transcript(words), "text", "a.wav")
    rows = [re.fullmatch(r"\[(\S+) - (\S+)\] (.+)", line) for line in text.splitlines()]
    assert " ".join(row[3] for row in rows if row) == transcript(words).text
    at = 0
    for row in rows:
        assert row
        said = words[at : at + len(row[3].split(" "))]
        at += len(said)
        for clock, time in ((row[1], said[0].start), (row[2], said[-1].end)):
            hours, minutes, seconds = map(float, clock.split(":"))
            assert hours * 3600 + minutes * 60 + seconds == pytest.approx(time, abs=6e-4)


@settings(max_examples=30)
@given(spoken())
def test_json_is_one_line_that_holds_all(words: list[TimedWord]) -> None:
    line = format_transcript(transcript(words), "json", "a/b.wav")
    assert line.count("\n") == 1
    read = json.loads(line)
    assert (read["file"], read["text"], read["timing"]) == ("a/b.wav", transcript(words).text, "aligned")
    assert [word["word"] for word in read["words"]] == [word.word for word in words]
    for found, word in zip(read["words"], words, strict=True):
        assert (found["start"], found["end"]) == pytest.approx((word.start, word.end), abs=6e-4)
        assert (found["confidence"] is None) == (word.confidence is None)


def test_nothing_said() -> None:
    assert [format_transcript(transcript([]), kind, "a") for kind in ("srt", "text")] == ["", ""]
    assert json.loads(format_transcript(transcript([]), "json", "a"))["words"] == []
