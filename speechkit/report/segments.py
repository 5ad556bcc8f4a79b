"""Segments of two alignments of one reference, for the matched-pairs test."""

from collections.abc import Sequence
from typing import Any

N_GOOD = 2  # words that both got right, between two segments: as NIST's sc_stats asks


def list_segments(alignment: Sequence[Any], other: Sequence[Any]) -> list[tuple[int, int]]:
    """Errors of the first and of the second alignment, in each segment that has any.

    A segment ends where both have two words in a row right, with nothing inserted between (Gillick and Cox,
    1989): a language model carries an error no further. Both align hypotheses to the same reference.

    >>> right, wrong = [["C", "a", "a"]], [["S", "a", "b"]]
    >>> list_segments(wrong + 2 * right + wrong, 4 * right)
    [(1, 0), (1, 0)]
    >>> list_segments(wrong + right + wrong, 2 * right + wrong)
    [(2, 1)]
    """
    segments, errors, n_good = [], (0, 0), 0
    for found in zip(_count_by_place(alignment), _count_by_place(other), strict=True):
        for place, pair in enumerate(zip(*found, strict=True)):
            errors = errors[0] + pair[0], errors[1] + pair[1]
            if any(pair):
                n_good = 0
            elif place == 1:
                n_good += 1
            if n_good >= N_GOOD and any(errors):
                segments.append(errors)
                errors = 0, 0
    return [*segments, errors] if any(errors) else segments


def _count_by_place(alignment: Sequence[Any]) -> list[tuple[int, int]]:
    """For each word of the reference what is inserted before it and whether it is wrong; last, after all."""
    places, inserted = [], 0
    for sign, _, _ in alignment:
        if sign == "I":
            inserted += 1
        else:
            places.append((inserted, int(sign != "C")))
            inserted = 0
    return [*places, (inserted, 0)]
