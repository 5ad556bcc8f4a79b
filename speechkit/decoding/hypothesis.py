"""What a decoder finds."""

from typing import NamedTuple


class Hypothesis(NamedTuple):
    """Tokens, the frame at which each begins, and the score (natural log) by which hypotheses are ranked.

    `frames` is None where a decoder does not know them.
    """

    tokens: list[int]
    frames: list[int] | None
    score: float
