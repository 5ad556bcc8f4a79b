"""Where in time the tokens of a text lie: `alignments/<subset>.jsonl`, its pictures and its TextGrids.

A line is an utterance's tokens over time, "ctc": how probable it is that a token is being said, or
"attention": how much a decoder listens where, as it writes a token.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from speechkit.errors import Place, UserError
from speechkit.report.charts import choose_ticks, format_tick
from speechkit.report.formats import read_lines, write_lines
from speechkit.report.png import draw_shares
from speechkit.report.timed_text import Span, format_textgrid, join_words

FOLDER = "alignments"
LEVELS = "0123456789abcdef"  # of a row's cells: shares of the largest, in fifteenths
MAX_ROWS, MAX_COLUMNS = 200, 400
NAME_PIXELS = 14  # a name's height
HEIGHT = 360  # pixels, of a picture with many tokens


@dataclass(frozen=True)
class Picture:
    """A line as a page shows it; places are percent of the width or numbers of rows."""

    kind: str
    address: str
    height: float  # pixels
    names: list[tuple[str, int]]  # from the top: a name and the rows that it stands for
    ticks: list[tuple[float, str]]
    n_tokens: int
    n_rows: int
    seconds: float
    largest: float


def pack_alignment(weights: np.ndarray, frame_seconds: float) -> dict[str, Any]:
    """Weights (U, T) from 0 on as a line holds them: few levels, of at most `MAX_COLUMNS` spans of time.

    A span has the largest weight of its frames, so that what is short is not lost.

    >>> pack_alignment(np.array([[0.0, 0.4], [0.2, 0.0]]), 0.04)
    {'frame_seconds': 0.04, 'largest': 0.4, 'rows': ['0f', '80']}
    """
    weights = np.nan_to_num(weights[:MAX_ROWS])
    n_pooled = max(1, -(-weights.shape[1] // MAX_COLUMNS))
    weights = np.pad(weights, ((0, 0), (0, -weights.shape[1] % n_pooled)))
    weights = weights.reshape(len(weights), -1, n_pooled).max(2)
    largest = float(weights.max(initial=0))
    levels = np.rint((len(LEVELS) - 1) * weights / (largest or 1)).astype(int)
    rows = ["".join(LEVELS[level] for level in row) for row in levels]
    return {"frame_seconds": n_pooled * frame_seconds, "largest": float(f"{largest:.6g}"), "rows": rows}


def write_alignments(run_folder: str | Path, subset: str, lines: Iterable[dict[str, Any]]) -> None:
    """Write a subset's lines; TextGrids of utterances that were shown before are removed."""
    folder = Path(run_folder) / FOLDER
    shutil.rmtree(folder / subset, ignore_errors=True)
    write_lines(folder / f"{subset}.jsonl", lines, "alignment")


def read_alignments(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of a subset by utterance; rows that make no picture are a UserError."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(read_lines(path, "alignment"), start=1):
        rows, spans = line["rows"], line.get("spans")
        is_picture = len({*map(len, rows)}) <= 1 and len(rows) <= len(line["tokens"])
        if not is_picture or set("".join(rows)) - set(LEVELS):
            expected = "rows of one length, of digits from 0 to f, and no more than tokens"
            raise UserError("rows", expected=expected, place=Place(str(path), number), key="rows")
        if spans is not None and len(spans) != len(line["tokens"]):
            place = Place(str(path), number)
            raise UserError(f"{len(spans)} spans", expected="one a token", place=place, key="spans")
        found.setdefault(line["id"], []).append(line)
    return found


def draw_alignment(line: dict[str, Any]) -> Picture | None:
    """A line as a picture; None where there is nothing to draw."""
    rows, tokens = line["rows"], line["tokens"]
    if not rows or not rows[0]:
        return None
    levels = np.array([[LEVELS.index(cell) for cell in row] for row in rows])
    seconds = levels.shape[1] * line["frame_seconds"]
    row_pixels = min(NAME_PIXELS, max(2.0, HEIGHT / len(rows)))
    return Picture(
        kind=line["kind"],
        address=draw_shares(levels, len(LEVELS)),
        height=row_pixels * len(rows),
        names=name_rows(tokens[: len(rows)], row_pixels),
        ticks=[(100 * time / seconds, format_tick(time)) for time in _times(seconds)],
        n_tokens=len(tokens),
        n_rows=len(rows),
        seconds=seconds,
        largest=line["largest"],
    )


def name_rows(tokens: Sequence[str], row_pixels: float) -> list[tuple[str, int]]:
    """Names for rows of tokens from the top, of which each has room: of tokens, of words, or of several.

    >>> name_rows(["h", "i", " ", "y", "o"], 14)
    [('h', 1), ('i', 1), ('␣', 1), ('y', 1), ('o', 1)]
    >>> name_rows(["h", "i", " ", "y", "o"], 5)
    [('hi', 3), ('yo', 2)]
    """
    if row_pixels >= NAME_PIXELS:
        return [("␣" if token == " " else token, 1) for token in tokens]
    groups: list[tuple[str, int]] = []
    for name, n_rows in _group_words(tokens):
        has_room = groups and groups[-1][1] * row_pixels >= NAME_PIXELS
        if has_room or not groups:
            groups.append((name, n_rows))
        else:
            groups[-1] = (f"{groups[-1][0]} {name}".strip(), groups[-1][1] + n_rows)
    return groups


def format_times(line: dict[str, Any], words: Sequence[Sequence[Any]], seconds: float | None) -> str | None:
    """The TextGrid of a CTC alignment's words and tokens; None where a line has no times."""
    if not line.get("spans"):
        return None
    tokens = [Span(name, *span) for name, span in zip(line["tokens"], line["spans"], strict=True)]
    tiers = {"words": [Span(*word) for word in words], "tokens": tokens}
    ends = max(span.end for spans in tiers.values() for span in spans)
    return format_textgrid(tiers, frame_seconds=1.0, n_frames=max(ends, seconds or 0))


def _group_words(tokens: Sequence[str]) -> list[tuple[str, int]]:
    """Words with their numbers of tokens; where nothing parts words, each token is one."""
    if not any(token == " " or "\u2581" in token for token in tokens):
        return [(token, 1) for token in tokens]
    edges = [Span(token, row, row + 1) for row, token in enumerate(tokens)]
    words = [(word.label, int(word.start)) for word in join_words(edges)]
    if not words or words[0][1] > 0:
        words.insert(0, ("", 0))  # blanks before the first
    starts = [start for _, start in words] + [len(tokens)]
    return [(name, end - start) for (name, _), (start, end) in zip(words, pairwise(starts), strict=True)]


def _times(seconds: float) -> list[float]:
    return [time for time in choose_ticks(0, seconds) if 0 <= time <= 0.93 * seconds]
