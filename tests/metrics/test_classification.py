"""Accuracy and confusions against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from speechkit.metrics import accuracy, confusion_matrix

LABELS = ["yes", "no", "up", "down"]
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=50)


def record(reference: str, hypothesis: str) -> dict:
    return {"counts": {"correct": int(reference == hypothesis), "total": 1}, "skipped": None}


@given(PAIRS)
def test_accuracy_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    expected = 100 * sklearn.metrics.accuracy_score(references, hypotheses)
    assert accuracy([record(*pair) for pair in pairs]) == pytest.approx(expected, rel=1e-12)


@given(PAIRS, st.permutations(LABELS))
def test_confusion_matrix_is_that_of_scikit_learn(pairs: list[tuple[str, str]], labels: list[str]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    ours = confusion_matrix(references, hypotheses, labels)
    assert np.array_equal(ours, sklearn.metrics.confusion_matrix(references, hypotheses, labels=labels))
    assert ours.dtype == np.int64
    assert 100 * np.trace(ours) / ours.sum() == pytest.approx(accuracy([record(*pair) for pair in pairs]))


def test_rows_are_what_was_said() -> None:
    assert confusion_matrix(["yes", "yes"], ["no", "yes"], ["yes", "no"]).tolist() == [[1, 1], [0, 0]]


def test_skipped_records_do_not_count() -> None:
    skipped = {"id": "a", "skipped": "unreadable", "counts": None}
    assert accuracy([record("yes", "yes"), record("yes", "no"), skipped]) == 50.0
    assert accuracy(iter([record("yes", "yes")])) == 100.0


def test_nothing_classified_has_no_accuracy() -> None:
    assert math.isnan(accuracy([]))


def test_a_label_from_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="'left' is not among the 4 labels"):
        confusion_matrix(["left"], ["yes"], LABELS)
