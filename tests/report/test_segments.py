"""Segments for the matched-pairs test, beside a slow and plain route to them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from speechkit.report.segments import list_segments

# For each word of a reference how it was heard, and how many words are inserted before it; then after all.
PLACE = st.tuples(st.sampled_from("CSD"), st.integers(0, 2))
PLACES = st.lists(PLACE, max_size=12)


def make_alignment(places: list[tuple[str, int]], after: int) -> list[list[str | None]]:
    rows: list[list[str | None]] = []
    for sign, n_inserted in [*places, ("", after)]:
        rows += [["I", None, "x"]] * n_inserted
        rows += [[sign, "word", "word" if sign == "C" else "other" if sign == "S" else None]] if sign else []
    return rows


def segments_by_text(
    ours: list[tuple[str, int]], theirs: list[tuple[str, int]], ends: tuple[int, int]
) -> list[tuple[int, int]]:
    """The same by splitting a text: a letter a word, 'g' where both are right, and one an insertion."""
    letters: list[str] = []
    errors: list[tuple[int, int]] = []
    for (sign, n), (other, m) in zip(ours, theirs, strict=True):
        if n or m:
            letters.append("i")
            errors.append((n, m))
        letters.append("g" if sign == other == "C" else "b")
        errors.append((int(sign != "C"), int(other != "C")))
    if any(ends):
        letters.append("i")
        errors.append(ends)
    text, found = "".join(letters), []
    for part in re.finditer(r"(?:(?!gg).)+", text):
        inside = errors[part.start() : part.end()]
        total = sum(each[0] for each in inside), sum(each[1] for each in inside)
        found += [total] if any(total) else []
    return found


@given(st.data())
def test_segments_are_those_between_two_words_that_both_got_right(data: st.DataObject) -> None:
    ours = data.draw(PLACES)
    theirs = data.draw(st.lists(PLACE, min_size=len(ours), max_size=len(ours)))
    ends = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    found = list_segments(make_alignment(ours, ends[0]), make_alignment(theirs, ends[1]))
    assert found == segments_by_text(ours, theirs, ends)


def test_no_error_is_no_segment() -> None:
    assert list_segments([["C", "a", "a"]] * 3, [["C", "a", "a"]] * 3) == []
    assert list_segments([], []) == []
    assert list_segments([], [["I", None, "x"]]) == [(0, 1)]
