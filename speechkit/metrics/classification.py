"""How often the right class was found, and which was taken for which."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from speechkit import stats


def accuracy(records: Iterable[dict]) -> float:
    """Percent of utterances classified correctly.

    Args:
        records: lines of `predictions/<subset>.jsonl`, each with `counts` of "correct" and "total". Skipped
            ones do not count.

    Returns:
        Within [0, 100]; NaN where nothing was classified.

    >>> right, wrong = {"correct": 1, "total": 1}, {"correct": 0, "total": 1}
    >>> accuracy([{"counts": right}, {"counts": right}, {"counts": wrong}, {"counts": right}])
    75.0
    """
    counts = [record["counts"] for record in records if not record.get("skipped")]
    total = sum(count["total"] for count in counts)
    return 100.0 * sum(count["correct"] for count in counts) / total if total else math.nan


def confusion_matrix(
    references: Sequence[str], hypotheses: Sequence[str], labels: Sequence[str]
) -> np.ndarray:
    """How often each label was said (row) and recognised (column).

    Args:
        references: what was said, one label an utterance.
        hypotheses: what was recognised, in the same order.
        labels: the order of rows and columns.

    Returns:
        (len(labels), len(labels)) int64.

    Raises:
        ValueError: a label that is not among `labels`, or sequences of different length.

    >>> confusion_matrix(["no", "no", "yes"], ["no", "yes", "yes"], ["yes", "no"]).tolist()
    [[1, 0], [1, 1]]
    """
    return stats.count_pairs(references, hypotheses, labels)
