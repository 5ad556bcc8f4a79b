"""In which order two columns of nodes stand, so that the links between them cross little.

A link joins node `left` of the first column to node `right` of the second and has a weight; two links cross
where one column has them in the other order than the other. Finding the best order is NP-hard (Garey and
Johnson, "Crossing number is NP-complete", SIAM J. Algebraic Discrete Methods 4, 1983), so this is a search.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

N_SWEEPS = 8  # from either start; the orders no longer change after a few

Node = TypeVar("Node", bound=Hashable)
Links = Mapping[tuple[Node, Node], float]  # weights by (left, right)
Columns = tuple[list[Node], list[Node]]


def order_columns(links: Links[Node]) -> Columns[Node]:
    """The nodes of both columns from the top, so that crossings weigh little: see `weigh_crossings`.

    Parts of the graph that no link joins stand one below the other, the heaviest first, so none of their
    links cross. Within a part a node goes to the mean place of its neighbours (the barycenter method:
    Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", IEEE
    Trans. SMC 11, 1981), column by column; then neighbours are swapped as long as that helps.

    >>> order_columns({("a", "x"): 1, ("b", "y"): 5, ("b", "z"): 1})
    (['b', 'a'], ['y', 'z', 'x'])
    """
    columns: Columns[Node] = [], []
    for part in split_parts(links):
        for column, nodes in zip(columns, _order_part(part), strict=True):
            column.extend(nodes)
    return columns


def weigh_crossings(links: Links[Node], columns: Columns[Node]) -> float:
    """The sum, over all pairs of links that cross, of the product of their weights: the area that is shared.

    >>> weigh_crossings({("a", "y"): 2, ("b", "x"): 3}, (["a", "b"], ["x", "y"]))
    6
    """
    left, right = ({node: place for place, node in enumerate(column)} for column in columns)
    ends = [(left[a], right[b], weight) for (a, b), weight in links.items()]
    return sum(
        weight * other
        for number, (a, b, weight) in enumerate(ends)
        for c, d, other in ends[:number]
        if (a - c) * (b - d) < 0
    )


def split_parts(links: Links[Node]) -> list[dict[tuple[Node, Node], float]]:
    """The links that hang together, the heaviest part first; of equal ones in the order of the links.

    The two columns are apart: a word at the left and the same word at the right are two nodes.
    """
    parts: list[dict[tuple[Node, Node], float]] = []
    for (a, b), weight in links.items():
        joined = [part for part in parts if any(a == c or b == d for c, d in part)]
        whole = {pair: each for part in joined for pair, each in part.items()} | {(a, b): weight}
        # Where the first of the joined ones stood, so that the order is that of the links.
        place = parts.index(joined[0]) if joined else len(parts)
        parts = [part for part in parts if part not in joined]
        parts.insert(place, whole)
    return sorted(parts, key=lambda part: -sum(part.values()))


def _order_part(links: Links[Node]) -> Columns[Node]:
    """The better of the orders found from the left column and from the right one."""
    found = []
    for first in (0, 1):
        columns = _by_weight(links, 0), _by_weight(links, 1)
        for sweep in range(N_SWEEPS):
            side = (first + sweep) % 2
            columns = _place_by_means(links, columns, side)
            found.append(columns)
        found.append(_swap_neighbours(links, columns))
    return min(found, key=lambda columns: weigh_crossings(links, columns))


def _by_weight(links: Links[Node], side: int) -> list[Node]:
    sums: dict[Node, float] = {}
    for pair, weight in links.items():
        sums[pair[side]] = sums.get(pair[side], 0.0) + weight
    return sorted(sums, key=lambda node: -sums[node])


def _place_by_means(links: Links[Node], columns: Columns[Node], side: int) -> Columns[Node]:
    """One column in the order of its neighbours' mean places, weighted; the other stays."""
    place = {node: number for number, node in enumerate(columns[1 - side])}
    sums: dict[Node, list[float]] = {node: [0.0, 0.0] for node in columns[side]}
    for pair, weight in links.items():
        sums[pair[side]][0] += weight * place[pair[1 - side]]
        sums[pair[side]][1] += weight
    moved = sorted(columns[side], key=lambda node: sums[node][0] / sums[node][1])
    return (moved, columns[1]) if side == 0 else (columns[0], moved)


def _swap_neighbours(links: Links[Node], columns: Columns[Node]) -> Columns[Node]:
    """Two nodes that stand together swapped where fewer links cross then, until that helps no more."""
    best, cost = (list(columns[0]), list(columns[1])), weigh_crossings(links, columns)
    improved = cost > 0
    while improved:
        improved = False
        for column in best:
            for upper in range(len(column) - 1):
                column[upper : upper + 2] = reversed(column[upper : upper + 2])
                swapped = weigh_crossings(links, best)
                if swapped < cost:
                    cost, improved = swapped, True
                else:
                    column[upper : upper + 2] = reversed(column[upper : upper + 2])
    return best


def sort_ends(
    links: Iterable[tuple[Node, Node]], columns: Columns[Node], side: int
) -> list[tuple[Node, Node]]:
    """Links in the order in which they leave a column from the top, so that none cross at their nodes."""
    places = [{node: number for number, node in enumerate(column)} for column in columns]
    return sorted(links, key=lambda pair: (places[side][pair[side]], places[1 - side][pair[1 - side]]))
