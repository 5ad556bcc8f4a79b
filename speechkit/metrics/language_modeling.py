"""How well a language model tells texts beforehand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def perplexity(records: Sequence[Mapping[str, Any]], unit: str = "words") -> float:
    """exp of the mean of -log p over `counts[unit]` of all records, among them the end of each text.

    Over "words" it is comparable between models of any tokens; over "tokens" only of the same ones. NaN where
    there are no records.

    >>> coins = [{"scores": {"log_probability": n * math.log(0.5)}, "counts": {"words": n}} for n in (1, 3)]
    >>> round(perplexity(coins), 6)
    2.0
    """
    total = sum(record["counts"][unit] for record in records)
    if not total:
        return math.nan
    mean = -sum(record["scores"]["log_probability"] for record in records) / total
    return math.exp(mean) if mean < 700 else math.inf  # NaN stays NaN
