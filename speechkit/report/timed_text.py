"""Alignments as files that other programs read: NIST's CTM, and TextGrid for Praat."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote

from speechkit.errors import UserError

SPACE = "<space>"  # names the token " " where fields stand between blanks
DECIMALS = 4  # of seconds
_BLANKS = re.compile(r"[\s\u2581]")


class Span(NamedTuple):
    """A label, its frames from `start` up to, not including, `end`, and their mean log-probability.

    The times may be seconds as well, where `frame_seconds` is given as 1.
    """

    label: str
    start: float
    end: float
    log_prob: float | None = None


def join_words(spans: Sequence[Span]) -> list[Span]:
    """Words of an utterance's tokens: what stands between blanks, or SentencePiece's U+2581, in their labels.

    A word lasts from its first token to its last; its log-probability is the mean over its tokens' frames. A
    token with a blank within is shared evenly by its words.

    >>> join_words([Span("a", 2, 3), Span("t", 5, 6), Span(" ", 6, 7), Span("e", 9, 12)])
    [Span(label='at', start=2, end=6, log_prob=None), Span(label='e', start=9, end=12, log_prob=None)]
    >>> join_words([Span("\u2581th", 0, 2, -1.0), Span("e", 2, 3, -4.0)])
    [Span(label='the', start=0, end=3, log_prob=-2.0)]
    """
    words: list[list[Span]] = [[]]
    for span in spans:
        first, *others = _share(span, _BLANKS.split(span.label))
        words[-1] += first
        words += others
    return [_join(word) for word in words if word]


def _share(span: Span, labels: Sequence[str]) -> list[list[Span]]:
    """A span for each label, none for an empty one, of equal parts of the time."""
    n_parts = sum(map(bool, labels))
    if n_parts < 2:
        return [[span._replace(label=label)] if label else [] for label in labels]
    step = (span.end - span.start) / n_parts
    edges = iter(pairwise([*(span.start + number * step for number in range(n_parts)), span.end]))
    return [[Span(label, *next(edges), span.log_prob)] if label else [] for label in labels]


def _join(tokens: Sequence[Span]) -> Span:
    weighted = [(end - start, log_prob) for _, start, end, log_prob in tokens if log_prob is not None]
    mean = None
    if len(weighted) == len(tokens):
        mean = sum(n * log_prob for n, log_prob in weighted) / sum(n for n, _ in weighted)
    return Span("".join(token.label for token in tokens), tokens[0].start, tokens[-1].end, mean)


def format_ctm(utterances: Mapping[str, Sequence[Span]], frame_seconds: float, channel: str = "1") -> str:
    """A line a word or token: utterance, channel, start and duration in seconds, label, confidence if known.

    utterances: spans by id, of which `name_utterance` makes one word. frame_seconds: from one frame to the
    next. The label " " is written <space>; others with blanks, which a reader would take apart, are a
    UserError. The confidence is the geometric mean of the frames' probabilities.

    >>> print(format_ctm({"a-1": [Span("yes", 2, 12, 0.0)]}, 0.04), end="")
    a-1 1 0.0800 0.4000 yes 1.0000
    """
    lines = []
    for utterance, spans in utterances.items():
        _check(spans, frame_seconds, utterance)
        name = name_utterance(utterance)
        for label, start, end, log_prob in spans:
            begins, ends = (round(frame * frame_seconds, DECIMALS) for frame in (start, end))
            fields = [name, channel, _seconds(begins), _seconds(ends - begins)]
            fields += [_one_word(label)] + ([] if log_prob is None else [f"{math.exp(log_prob):.4f}"])
            lines.append(" ".join(fields) + "\n")
    return "".join(lines)


def name_utterance(utterance: str) -> str:
    """An id as a field of a file whose fields stand between blanks; distinct for distinct ids.

    Percent-encoded, as in addresses, is what cannot be seen, blanks above all, and the sign % itself; of ;;,
    with which a comment would begin, the first sign. An empty id is %.

    >>> name_utterance("a b"), name_utterance("a_b"), name_utterance("100%"), name_utterance("né")
    ('a%20b', 'a_b', '100%25', 'né')
    """
    signs = [
        sign if sign.isprintable() and sign not in " %" else quote(sign, safe="", errors="surrogatepass")
        for sign in utterance
    ]
    if utterance.startswith(";;"):
        signs[0] = quote(";", safe="")
    return "".join(signs) or "%"


def format_textgrid(tiers: Mapping[str, Sequence[Span]], frame_seconds: float, n_frames: float) -> str:
    """A TextGrid of an utterance, in Praat's long format: tiers of intervals by name, say words and tokens.

    frame_seconds: from one frame to the next; n_frames: of the utterance, above 0. Where no span is, an
    interval is empty.

    >>> lines = format_textgrid({"words": [Span("yes", 2, 12)]}, 0.04, 15).splitlines()
    >>> [line.strip() for line in lines if "text" in line]
    ['text = ""', 'text = "yes"', 'text = ""']
    """
    if not n_frames > 0:
        raise UserError(f"an utterance of {n_frames} frames", expected="at least one")
    end = _seconds(n_frames * frame_seconds)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, spans) in enumerate(tiers.items(), start=1):
        _check(spans, frame_seconds, name, n_frames)
        intervals = _fill_gaps(spans, n_frames)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quote(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(intervals)}"]
        for place, span in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {_seconds(span.start * frame_seconds)}",
                f"            xmax = {_seconds(span.end * frame_seconds)}",
                f"            text = {_quote(span.label)}",
            ]
    return "\n".join(lines) + "\n"


def _fill_gaps(spans: Sequence[Span], n_frames: float) -> list[Span]:
    filled: list[Span] = []
    at = 0.0
    for span in spans:
        filled += [Span("", at, span.start)] if span.start > at else []
        filled.append(span)
        at = span.end
    return filled + ([Span("", at, n_frames)] if at < n_frames else [])


def _check(spans: Sequence[Span], frame_seconds: float, key: str, n_frames: float = math.inf) -> None:
    """Spans in order, each of some time."""
    if not 0 < frame_seconds < math.inf:
        raise UserError(
            f"frames of {frame_seconds} seconds", expected="a number above 0", key="frame_seconds"
        )
    at = 0.0
    for span in spans:
        if not at <= span.start < span.end <= n_frames:
            found = f"{span.label!r} in frames {span.start:g} to {span.end:g}"
            raise UserError(found, expected=f"spans in order, within frames {at:g} to {n_frames:g}", key=key)
        at = span.end


def _seconds(time: float) -> str:
    return f"{time:.{DECIMALS}f}"


def _one_word(label: str) -> str:
    if label == " ":
        return SPACE
    if not re.fullmatch(r"\S+", label):
        raise UserError(f"{label!r} in a CTM file", expected="a name without blanks")
    return label


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
