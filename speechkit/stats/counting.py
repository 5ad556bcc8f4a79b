"""Counting labels (numpy only)."""

from collections.abc import Sequence

import numpy as np


def count_pairs(rows: Sequence[str], columns: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """How often each pair of labels occurs: (len(labels), len(labels)) int64.

    Raises:
        ValueError: sequences of different length, or a label that is not among `labels`.

    >>> count_pairs(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    index = {label: position for position, label in enumerate(labels)}
    unknown = sorted((set(rows) | set(columns)) - set(index))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not among the {len(index)} labels")
    size = len(labels)
    cells = [index[row] * size + index[column] for row, column in zip(rows, columns, strict=True)]
    return np.bincount(np.array(cells, dtype=np.int64), minlength=size * size).reshape(size, size)
