"""wer.txt read back: its sums are those of the alignments it shows, whatever the words are."""

import re
import unicodedata
from collections import Counter
from typing import Any

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.metrics import align, count_operations, edit_distance
from speechkit.report.wer_text import format_alignment, format_wer, measure

ALPHABET = ["a", "B", "*", "é", "東", "ｗ", "한", "\u0301", "'", "\u200d", "|", ":", "("]
WORDS = st.lists(st.text(st.sampled_from(ALPHABET), min_size=1, max_size=5), max_size=7)


def make_record(name: str, said: list[str], heard: list[str], speaker: str | None = "s") -> dict[str, Any]:
    alignment = align(said, heard)
    both = " ".join(said), " ".join(heard)
    counts = count_operations(alignment) | {
        "words": len(said), "characters": len(both[0]), "character_errors": edit_distance(*both)
    }  # fmt: skip
    return {"id": name, "speaker": speaker, "alignment": alignment, "counts": counts, "skipped": None}


def columns_of(sign: str) -> int:
    """As a terminal lays it out (Unicode's annex 11); combining signs stand over the one before."""
    return (
        0 if unicodedata.category(sign) in ("Mn", "Cf") else 1 + (unicodedata.east_asian_width(sign) in "WF")
    )


def read_alignments(text: str) -> dict[str, list[tuple[str, str | None, str | None]]]:
    """By id, from the columns alone: a word and the mark below it begin at the same place."""
    found = {}
    for block in text.split("\n\n"):
        if not block.startswith("id: ("):
            continue
        head, scores, *rows = block.rstrip("\n").split("\n")
        said, heard, marks = (
            _cells(row, label) for row, label in zip(rows, ("REF:", "HYP:", "Eval:"), strict=True)
        )
        assert set(said) == set(heard) >= set(marks), "words and marks stand below each other"
        aligned = [
            (
                marks.get(at, "C"),
                None if marks.get(at) == "I" else said[at],
                None if marks.get(at) == "D" else heard[at],
            )
            for at in sorted(said)
        ]
        counts = Counter(sign for sign, _, _ in aligned)
        assert scores == f"Scores: (#C #S #D #I) {' '.join(str(counts[sign]) for sign in 'CSDI')}"
        found[re.fullmatch(r"id: \((.*)\)", head)[1]] = aligned
    return found


def _cells(row: str, label: str) -> dict[int, str]:
    """What stands in a row, by the column at which it begins."""
    assert row.startswith(label)
    cells: dict[int, str] = {}
    column, begins = 0, None
    for sign in row:
        if sign == " ":
            begins = None
        elif begins is None:
            begins = column
            cells[begins] = sign
        else:
            cells[begins] += sign
        column += columns_of(sign)
    del cells[0]
    return cells


@given(st.lists(st.tuples(WORDS, WORDS, st.sampled_from(["s1", "s 2", None])), min_size=1, max_size=5))
def test_the_alignments_read_back_give_the_sums(texts: list[tuple[list[str], list[str], str | None]]) -> None:
    records = [make_record(f"u-{number}", *pair) for number, pair in enumerate(texts)]
    text = format_wer(records)
    read = read_alignments(text)
    assert read == {record["id"]: record["alignment"] for record in records}
    signs = Counter(sign for aligned in read.values() for sign, _, _ in aligned)
    n_errors, n_words = signs["S"] + signs["D"] + signs["I"], signs["C"] + signs["S"] + signs["D"]
    rate = f"{100 * n_errors / n_words:.2f}" if n_words else "nan"
    parts = f"{signs['I']} ins, {signs['D']} del, {signs['S']} sub"
    first, cer, ser, scored, *_ = text.splitlines()
    assert first == f"%WER {rate} [ {n_errors} / {n_words}, {parts} ]"
    n_wrong = sum(any(sign != "C" for sign, *_ in aligned) for aligned in read.values())
    assert ser == f"%SER {100 * n_wrong / len(texts):.2f} [ {n_wrong} / {len(texts)} ]"
    assert scored == f"Scored {len(texts)} sentences, 0 skipped."
    assert cer.startswith("%CER ")


@given(st.lists(st.tuples(WORDS, WORDS, st.sampled_from(["s1", "s2", "s 3"])), min_size=1, max_size=6))
def test_speakers_add_up_to_the_whole(texts: list[tuple[list[str], list[str], str]]) -> None:
    records = [make_record(f"u-{number}", *pair) for number, pair in enumerate(texts)]
    table = format_wer(records).split("\n\n")[1].splitlines()
    assert table[0].split() == [
        "SPEAKER",
        "id",
        "#SENT",
        "#WORD",
        "Corr",
        "Sub",
        "Ins",
        "Del",
        "Err",
        "S.Err",
    ]
    assert len({measure(line) for line in table}) == 1, "columns are aligned"
    raw = {row[0]: list(map(int, row[2:])) for row in map(str.split, table[1:]) if row[1] == "raw"}
    total = raw.pop("SUM")
    assert total == [sum(column) for column in zip(*raw.values(), strict=True)]
    for name, (n_sentences, n_words, *counts, n_errors, n_wrong) in raw.items():
        own = [record for record in records if record["speaker"].replace(" ", "_") == name]
        assert (n_sentences, n_errors) == (len(own), sum(counts[1:]))
        sums = Counter({"words": 0})
        for record in own:
            sums.update(record["counts"])
        names = ("correct", "substitutions", "insertions", "deletions")
        assert [n_words, *counts] == [sums["words"], *(sums[each] for each in names)]
        shares = next(row.split()[4:] for row in table if row.split()[:2] == [name, "sys"])
        expected = [
            *(count / n_words if n_words else float("nan") for count in (*counts, n_errors)),
            n_wrong / len(own),
        ]
        assert list(map(float, shares)) == pytest.approx(
            [100 * x for x in expected], abs=0.005001, nan_ok=True
        )


def test_the_first_line_is_jiwers_figure() -> None:
    said = ["the red door is open", "again", "now and then"]
    heard = ["a red door open", "again oh", "now and then"]
    records = [
        make_record(str(n), a.split(), b.split()) for n, (a, b) in enumerate(zip(said, heard, strict=True))
    ]
    theirs = jiwer.process_words(said, heard)
    assert format_wer(records).splitlines()[0] == (
        f"%WER {100 * theirs.wer:.2f} [ 3 / 9, {theirs.insertions} ins, {theirs.deletions} del, "
        f"{theirs.substitutions} sub ]"
    )


def test_skipped_utterances_are_listed_and_not_counted() -> None:
    skipped = {"id": "u 2\n", "speaker": None, "alignment": None, "counts": None, "skipped": "unreadable"}
    text = format_wer([make_record("u1", ["a"], []), skipped], [("Texts", "lower case")])
    assert "%WER 100.00 [ 1 / 1, 0 ins, 1 del, 0 sub ]" in text
    assert "Scored 1 sentences, 1 skipped.\nTexts: lower case\n" in text
    assert text.endswith("Skipped, and in none of the sums:\n(u 2 ) unreadable\n")
    assert format_wer([skipped]).startswith("%WER nan [ 0 / 0, 0 ins, 0 del, 0 sub ]\n")


def test_phones_have_their_own_name_and_no_characters() -> None:
    record = make_record("u", ["AH", "B"], ["AH"])
    counts = {
        name: record["counts"][name] for name in ("correct", "substitutions", "deletions", "insertions")
    }
    text = format_wer([record | {"counts": counts | {"phones": 2}}])
    assert text.startswith("%PER 50.00 [ 1 / 2, 0 ins, 1 del, 0 sub ]\n%SER 100.00 [ 1 / 1 ]\n")
    assert "#PHONE" in text


def test_an_id_or_a_word_cannot_break_the_layout() -> None:
    record = {"id": "a\nREF: b\x1b[2J", "alignment": [["S", "x\ty", "\x1b[31m"], ["I", None, ""]]}
    assert format_alignment(record) == [
        "id: (a REF: b\\x1b[2J)",
        "Scores: (#C #S #D #I) 0 1 0 1",
        "REF:  x_y      *",
        "HYP:  \\x1b[31m _",
        "Eval: S        I",
    ]
