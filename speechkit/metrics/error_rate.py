"""Errors of recognised texts: rows of words, phones or characters aligned, and what that costs."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import Levenshtein

OPERATIONS = {"C": "correct", "S": "substitutions", "D": "deletions", "I": "insertions"}
ERRORS = ("substitutions", "deletions", "insertions")
Aligned = tuple[str, str | None, str | None]


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Aligned]:
    """The cheapest way from what was said to what was recognised, every error at cost 1 (Levenshtein, 1966).

    Returns:
        (operation, of the reference, of the hypothesis) in order; C correct, S substituted, D deleted (no
        hypothesis), I inserted (no reference). Of equally cheap ways one; their number of errors is the same.

    >>> align("the cat sat".split(), "a cat sat down".split())
    [('S', 'the', 'a'), ('C', 'cat', 'cat'), ('C', 'sat', 'sat'), ('I', None, 'down')]
    """
    aligned: list[Aligned] = []
    for operation in Levenshtein.opcodes(reference, hypothesis):
        said = reference[operation.src_start : operation.src_end]
        heard = hypothesis[operation.dest_start : operation.dest_end]
        if operation.tag == "delete":
            aligned += [("D", word, None) for word in said]
        elif operation.tag == "insert":
            aligned += [("I", None, word) for word in heard]
        else:
            sign = "C" if operation.tag == "equal" else "S"
            aligned += [(sign, *pair) for pair in zip(said, heard, strict=True)]
    return aligned


def count_operations(alignment: Iterable[Aligned]) -> dict[str, int]:
    """How many there are of each.

    >>> count_operations([("S", "a", "b"), ("I", None, "c")])
    {'correct': 0, 'substitutions': 1, 'deletions': 0, 'insertions': 1}
    """
    found = Counter(sign for sign, _, _ in alignment)
    return {name: found[sign] for sign, name in OPERATIONS.items()}


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Errors of the cheapest alignment, without the alignment.

    >>> edit_distance("kitten", "sitting")
    3
    """
    return Levenshtein.distance(reference, hypothesis)


def error_rate(records: Iterable[dict], total: str = "words", errors: Sequence[str] = ERRORS) -> float:
    """Percent of errors over the units of the references, summed over utterances; above 100 by insertions.

    Args:
        records: lines of `predictions/<subset>.jsonl`; skipped ones do not count.
        total, errors: of the records' `counts`, the units of the reference and the kinds of errors.

    Returns:
        NaN where the references are empty.

    >>> error_rate([{"counts": {"substitutions": 1, "deletions": 0, "insertions": 1, "words": 4}}])
    50.0
    """
    counts = [record["counts"] for record in records if not record.get("skipped")]
    n_units = sum(count[total] for count in counts)
    n_errors = sum(count[error] for count in counts for error in errors)
    return 100.0 * n_errors / n_units if n_units else math.nan
