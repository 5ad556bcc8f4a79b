"""Error rates against jiwer and against the textbook's dynamic programme."""

import math

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.metrics import align, count_operations, edit_distance, error_rate

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a"]), max_size=12)
ERRORS = ("substitutions", "deletions", "insertions")


def distance_by_table(reference: list[str], hypothesis: list[str]) -> int:
    """Wagner and Fischer, 1974."""
    above = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, start=1):
        row = [i]
        for j, heard in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (said != heard)))
        above = row
    return above[-1]


@given(WORDS, WORDS)
def test_an_alignment_is_of_both_texts_and_no_other_is_cheaper(said: list[str], heard: list[str]) -> None:
    aligned = align(said, heard)
    assert [a for _, a, _ in aligned if a is not None] == said
    assert [b for _, _, b in aligned if b is not None] == heard
    kinds = {(False, False): "CS", (False, True): "D", (True, False): "I"}
    for sign, a, b in aligned:
        assert sign in kinds[a is None, b is None]
        assert (sign == "C") == (a == b)
    counts = count_operations(aligned)
    assert sum(counts.values()) == len(aligned)
    assert (
        sum(counts[name] for name in ERRORS) == distance_by_table(said, heard) == edit_distance(said, heard)
    )
    assert counts["correct"] + counts["substitutions"] + counts["deletions"] == len(said)


def make_record(reference: str, hypothesis: str) -> dict:
    said, heard = reference.split(), hypothesis.split()
    counts = count_operations(align(said, heard)) | {
        "words": len(said),
        "characters": len(reference),
        "character_errors": edit_distance(reference, hypothesis),
    }
    return {"counts": counts, "skipped": None}


PAIRS = st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=6)


@given(PAIRS)
def test_rates_are_those_of_jiwer(pairs: list[tuple[list[str], list[str]]]) -> None:
    references = [" ".join(said) for said, _ in pairs]
    hypotheses = [" ".join(heard) for _, heard in pairs]
    records = list(map(make_record, references, hypotheses))
    ours = error_rate(records), error_rate(records, "characters", ["character_errors"])
    theirs = jiwer.wer(references, hypotheses), jiwer.cer(references, hypotheses)
    assert ours == pytest.approx([100 * rate for rate in theirs], rel=1e-12)


@given(st.text(max_size=20), st.text(max_size=20))
def test_characters_are_counted_as_they_stand(said: str, heard: str) -> None:
    assert edit_distance(said, heard) == distance_by_table(list(said), list(heard))


def test_insertions_take_a_rate_above_100_and_skipped_records_do_not_count() -> None:
    skipped = {"counts": None, "skipped": "unreadable"}
    assert error_rate([make_record("a", "a b c d"), skipped]) == 300.0


def test_empty_references_have_no_rate() -> None:
    assert math.isnan(error_rate([]))
    assert math.isnan(error_rate([make_record("", "a")]))
    assert error_rate([make_record("", "a"), make_record("b", "b")]) == 100.0
