"""Which words were taken for which, as the geometry of an SVG: said at the left, recognised at the right.

A flow (alluvial) diagram: a ribbon is as wide as its pair's count, a word's bar as high as the ribbons that
end there. What was right is left out: it is nearly all of a set, and would press the errors into hairlines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from speechkit.report.charts import WIDTH
from speechkit.report.crossings import order_columns, sort_ends
from speechkit.report.wer_text import measure

RARE = 1000  # a pair that comes less than once in as many utterances is not drawn
MAX_PAIRS = 30  # drawn: of more, ribbons and names are too many to follow
TOP = 26  # of the view box: above it stand the columns' names
SLOT = 20.0  # what a word takes of its column at least, so that names do not touch
GAP = 8.0  # between the bars of frequent words
BARS = 300.0  # height of all bars of a column together
WIDEST = 44.0  # a ribbon's greatest width, where there are few
BAR_WIDTH = 9
LEFT, RIGHT = 148, WIDTH - 148  # where ribbons begin and end
NAME_COLUMNS = 12  # of a word's name; longer ones are cut, their tooltip is not

Pair = tuple[str, str]  # said, recognised


@dataclass(frozen=True)
class Bar:
    """A word in one of the columns."""

    word: str  # as it is written beside the bar: cut where it is long
    y: float
    height: float
    count: int
    text: str


@dataclass(frozen=True)
class Ribbon:
    """A pair, ready for `<path d>`; `y` are its upper edges at both ends."""

    path: str
    y: tuple[float, float]
    width: float
    count: int
    text: str


@dataclass(frozen=True)
class Flow:
    """The diagram, ready for the template, and what it leaves out."""

    said: list[Bar]
    heard: list[Bar]
    ribbons: list[Ribbon]
    height: float
    n_errors: int  # of all pairs
    n_drawn: int  # errors of the ribbons
    rare: tuple[int, int]  # pairs below `least`, and their errors
    more: tuple[int, int]  # frequent pairs beyond `MAX_PAIRS`, and their errors
    least: int  # times that a pair must come
    n_utterances: int
    width: int = WIDTH
    left: int = LEFT
    right: int = RIGHT
    bar_width: int = BAR_WIDTH


def draw_flow(pairs: Mapping[Pair, int], n_utterances: int) -> Flow | None:
    """The pairs of words confused in a set of so many utterances; None where there is none.

    Pairs that come in fewer than a thousandth of the utterances are counted, not drawn; of the others the
    `MAX_PAIRS` most frequent are drawn (of equal ones the first by name).
    """
    if not pairs:
        return None
    least = -(-n_utterances // RARE)
    frequent = rank_pairs({pair: count for pair, count in pairs.items() if count >= least})
    drawn, more = dict(frequent[:MAX_PAIRS]), frequent[MAX_PAIRS:]
    n_errors, n_drawn = sum(pairs.values()), sum(drawn.values())
    n_more = sum(count for _, count in more)
    scale = min(BARS / max(n_drawn, 1), WIDEST / max(drawn.values(), default=1))
    order = order_columns(drawn)
    columns = _stack_bars(drawn, order, scale)
    return Flow(
        said=columns[0],
        heard=columns[1],
        ribbons=_draw_ribbons(drawn, order, columns, scale),
        height=round(TOP + max(_height(column) for column in columns) + 4, 2),
        n_errors=n_errors,
        n_drawn=n_drawn,
        rare=(len(pairs) - len(frequent), n_errors - n_drawn - n_more),
        more=(len(more), n_more),
        least=least,
        n_utterances=n_utterances,
    )


def list_pairs(pairs: Mapping[Pair, int], flow: Flow | None, n: int = 12) -> list[tuple[str, str, int]]:
    """The n most frequent pairs with their counts, or as many as the diagram draws: its twin as a table."""
    n_rows = max(n, len(flow.ribbons) if flow else 0)
    return [(said, heard, count) for (said, heard), count in rank_pairs(pairs)[:n_rows]]


def rank_pairs(pairs: Mapping[Pair, int]) -> list[tuple[Pair, int]]:
    """Pairs with their counts, the most frequent first; equal ones by name."""
    return sorted(pairs.items(), key=lambda each: (-each[1], each[0]))


def cut_name(word: str, n_columns: int = NAME_COLUMNS) -> str:
    """A word that is no wider than so many columns of text, cut at its end; nothing is written as ∅.

    >>> cut_name("yes"), cut_name("counterrevolution"), cut_name("")
    ('yes', 'counterrevo…', '∅')
    """
    word = word.strip() or "∅"
    if measure(word) <= n_columns:
        return word
    while measure(word) >= n_columns:
        word = word[:-1]
    return word + "…"


def _stack_bars(
    drawn: Mapping[Pair, int], order: tuple[list[str], list[str]], scale: float
) -> tuple[list[Bar], list[Bar]]:
    """The bars of both columns, which have one middle."""
    told = ("said, taken for another word", "recognised in place of another word")
    columns: list[list[Bar]] = []
    for side, words in enumerate(order):
        counts = dict.fromkeys(words, 0)
        for pair, count in drawn.items():
            counts[pair[side]] += count
        bars, y = [], 0.0
        for word, count in counts.items():
            text = f"“{word}” {told[side]}: {count:,} times in the ribbons drawn"
            height = scale * count
            bars.append(Bar(cut_name(word), y + (_room(height) - height) / 2, height, count, text))
            y += _room(height)
        columns.append(bars)
    middle = TOP + max(map(_height, columns)) / 2
    said, heard = (
        [replace(bar, y=bar.y + middle - _height(column) / 2) for bar in column] for column in columns
    )
    return said, heard


def _room(height: float) -> float:
    """How much of a column a bar takes: as much as its name needs, and a gap to the next."""
    return max(SLOT, height + GAP)


def _height(column: Sequence[Bar]) -> float:
    return sum(_room(bar.height) for bar in column)


def _draw_ribbons(
    drawn: Mapping[Pair, int], order: tuple[list[str], list[str]],
    columns: tuple[list[Bar], list[Bar]], scale: float,
) -> list[Ribbon]:  # fmt: skip
    """Ribbons from bar to bar, which leave a bar in the order in which they arrive."""
    edges: list[dict[Pair, float]] = []
    for side in (0, 1):
        free = {word: bar.y for word, bar in zip(order[side], columns[side], strict=True)}
        starts = {}
        for pair in sort_ends(drawn, order, side):
            starts[pair] = free[pair[side]]
            free[pair[side]] += scale * drawn[pair]
        edges.append(starts)
    return [
        Ribbon(
            path=trace_ribbon(edges[0][pair], edges[1][pair], scale * drawn[pair]),
            y=(edges[0][pair], edges[1][pair]),
            width=scale * drawn[pair],
            count=drawn[pair],
            text=f"“{pair[0]}” taken for “{pair[1]}”: {drawn[pair]:,} times",
        )
        for pair in edges[0]
    ]


def trace_ribbon(start: float, end: float, width: float) -> str:
    """A band from the left column to the right one, `width` high at every place, in the view box' units."""
    middle = (LEFT + RIGHT) / 2
    upper = f"M{LEFT} {start:.2f}C{middle:g} {start:.2f} {middle:g} {end:.2f} {RIGHT} {end:.2f}"
    start, end = start + width, end + width
    return f"{upper}V{end:.2f}C{middle:g} {end:.2f} {middle:g} {start:.2f} {LEFT} {start:.2f}Z"
