"""What a decoder finds."""

from typing import NamedTuple


class Hypothesis(NamedTuple):
    """Tokens, the frame at which each begins, and the score (natural log) by which hypotheses are ranked."""

    tokens: list[int]
    frames: list[int]
    score: float
