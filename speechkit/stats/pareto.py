"""Which of several choices no other one beats in every respect."""

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Indices, in their order, of the (N, 2) costs that no other is as good as in both and better in one.

    Both are to be small: negate what is to be large. Equal ones stay together.

    Raises:
        ValueError: a cost that is not finite.

    >>> pareto_front([(1, 9), (2, 5), (3, 7), (2, 5), (4, 1)])
    [0, 1, 3, 4]
    """
    if not all(math.isfinite(cost) for pair in costs for cost in pair):
        raise ValueError("a cost is not finite")
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda index: tuple(costs[index])):
        # All that come before cost as little in the first respect: only the second can save this one.
        if (
            not front
            or costs[index][1] < costs[front[-1]][1]
            or tuple(costs[index]) == tuple(costs[front[-1]])
        ):
            front.append(index)
    return sorted(front)
