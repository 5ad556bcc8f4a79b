"""CTM and TextGrid read back by small readers of their own."""

import itertools
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.report import Span, format_ctm, format_textgrid, join_words
from speechkit.report.timed_text import name_utterance

FRAME = 0.04  # seconds

LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1)


@st.composite
def spans_in_order(draw: st.DrawFn) -> list[Span]:
    """Any labels over frames that touch or leave gaps; log-probabilities where they are known."""
    edges = sorted(draw(st.lists(st.integers(0, 2000), max_size=12, unique=True)))
    pairs = [pair for pair in itertools.pairwise(edges) if draw(st.booleans())]
    log_probs = st.none() | st.floats(-5, 0)
    return [Span(draw(LABELS), start, end, draw(log_probs)) for start, end in pairs]


def read_ctm(text: str) -> dict[str, list[tuple[str, float, float, float | None]]]:
    """Label, start, end and confidence by utterance."""
    found: dict[str, list[tuple[str, float, float, float | None]]] = {}
    for line in text.splitlines():
        utterance, _channel, start, duration, label, *rest = line.split(" ")
        confidence = float(rest[0]) if rest else None
        found.setdefault(utterance, []).append(
            (label, float(start), float(start) + float(duration), confidence)
        )
    return found


def read_textgrid(text: str) -> dict[str, list[tuple[str, float, float]]]:
    """Intervals by tier: label, start, end; what Praat itself asks of a grid is asserted."""
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = ')
    whole, *items = re.split(r"\n    item \[\d+\]:\n", text)
    end = float(re.search(r"xmax = (\S+)", whole)[1])
    assert int(re.search(r"size = (\d+)", whole)[1]) == len(items)
    tiers = {}
    for item in items:
        name = re.search(r'name = "((?:[^"]|"")*)"', item)[1].replace('""', '"')
        pattern = r'xmin = (\S+)\n\s+xmax = (\S+)\n\s+text = "((?:[^"]|"")*)"'
        intervals = [
            (label.replace('""', '"'), float(start), float(stop))
            for start, stop, label in re.findall(pattern, item)
        ]
        assert int(re.search(r"intervals: size = (\d+)", item)[1]) == len(intervals)
        edges = [0.0, *(stop for _, _, stop in intervals)]
        assert [start for _, start, _ in intervals] == edges[:-1], "intervals follow one another"
        assert edges[-1] == end
        tiers[name] = intervals
    return tiers


@given(spans_in_order(), spans_in_order())
def test_ctm_is_read_back(one: list[Span], two: list[Span]) -> None:
    read = read_ctm(format_ctm({"spk1-a": one, "spk2-b": two}, FRAME))
    assert set(read) == {name for name, spans in (("spk1-a", one), ("spk2-b", two)) if spans}
    for name, spans in (("spk1-a", one), ("spk2-b", two)):
        for (label, start, end, confidence), span in zip(read.get(name, []), spans, strict=True):
            assert label == span.label
            assert (start / FRAME, end / FRAME) == pytest.approx((span.start, span.end), abs=1e-6)
            if span.log_prob is None:
                assert confidence is None
            else:
                assert confidence == pytest.approx(2.718281828459045**span.log_prob, abs=1e-4)


@given(spans_in_order(), spans_in_order(), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_textgrid_is_read_back(words: list[Span], tokens: list[Span], name: str) -> None:
    n_frames = max([span.end for span in [*words, *tokens]], default=0) + 1
    read = read_textgrid(format_textgrid({"words": words, f"tokens{name}": tokens}, FRAME, n_frames))
    for tier, spans in (("words", words), (f"tokens{name}", tokens)):
        said = [(label, start / FRAME, end / FRAME) for label, start, end in read[tier] if label]
        assert [label for label, _, _ in said] == [span.label for span in spans]
        times = [time for _, *both in said for time in both]
        assert times == pytest.approx([time for span in spans for time in span[1:3]], abs=1e-6)


# Half characters too, which names of files that are not UTF-8 leave in an id.
IDS = st.text(st.characters(exclude_categories=()) | st.sampled_from("ab_ %;.\u3000\u200b\ud800"), max_size=8)


@given(IDS, IDS)
def test_utterances_of_any_two_names_stay_two(one: str, two: str) -> None:
    """One word each, no comment, and the name can be read back."""
    spans = [Span("x", 0, 1)]
    names = list(read_ctm(format_ctm({one: spans, two: spans}, FRAME)))
    assert len(names) == len({one, two})
    for name, utterance in zip(names, dict.fromkeys((one, two)), strict=True):
        assert re.fullmatch(r"\S+", name)
        assert name.isprintable()
        assert not name.startswith(";;")
        assert unquote(name, errors="surrogatepass") == (utterance or "%")


@pytest.mark.parametrize("name", ["spk1-utt_02.wav", "né-語", "a;;b"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert name_utterance(name) == name


def test_quotes_are_doubled_and_spaces_named() -> None:
    spans = [Span('say "hi"', 0, 3), Span(" ", 3, 4)]
    assert read_textgrid(format_textgrid({"a": spans}, FRAME, 4))["a"] == [
        ('say "hi"', 0, 0.12),
        (" ", 0.12, 0.16),
    ]
    assert read_ctm(format_ctm({"u": spans[1:]}, FRAME))["u"][0][0] == "<space>"


def test_times_are_whole_frames_of_any_hop() -> None:
    """256 samples at 22,050 Hz: ends are starts of the next, though durations are rounded."""
    spans = [Span("x", frame, frame + 1) for frame in range(500)]
    read = read_ctm(format_ctm({"u": spans}, 256 / 22050))["u"]
    for (_, _, end, _), (_, start, _, _) in itertools.pairwise(read):
        assert end == pytest.approx(start, abs=1e-9)


def test_words_of_characters_and_of_pieces_are_the_same() -> None:
    characters = [Span(c, 2 * i, 2 * i + 1, -float(i)) for i, c in enumerate(" to  be ")]
    words = join_words(characters)
    assert [(word.label, word.start, word.end) for word in words] == [("to", 2, 5), ("be", 10, 13)]
    assert [word.log_prob for word in words] == [-1.5, -5.5]
    pieces = [
        Span("\u2581t", 2, 3, -1.0),
        Span("o", 4, 5, -2.0),
        Span("\u2581", 8, 9, -4.0),
        Span("be", 10, 13, 0.0),
    ]
    assert [(word.label, word.start, word.end) for word in join_words(pieces)] == [
        ("to", 2, 5),
        ("be", 10, 13),
    ]
    assert join_words([]) == []


def test_a_token_of_several_words_is_shared_by_them() -> None:
    spans = [
        Span("o", 0, 2, -1.0),
        Span("f the\u00a0c", 2, 8, -2.0),
        Span("at", 8, 9, -3.0),
        Span(" a b", 9, 10),
    ]
    found = [(word.label, word.start, word.end) for word in join_words(spans)]
    assert found == [("of", 0, 4), ("the", 4, 6), ("cat", 6, 9), ("a", 9, 9.5), ("b", 9.5, 10)]
    assert join_words(spans)[0].log_prob == pytest.approx((2 * -1 + 2 * -2) / 4)


@given(st.lists(st.text("ab \u2581\n", max_size=4), max_size=8))
def test_words_are_those_of_the_whole_text_in_order_of_time(labels: list[str]) -> None:
    words = join_words([Span(label, 2 * n, 2 * n + 1) for n, label in enumerate(labels)])
    assert [word.label for word in words] == "".join(labels).replace("\u2581", " ").split()
    format_ctm({"u": words}, FRAME)  # which refuses spans out of order


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span("a b", 0, 1)], "'a b' in a CTM file; expected a name without blanks"),
        ([Span("", 0, 1)], "without blanks"),
        ([Span("a", 1, 1)], "u: 'a' in frames 1 to 1; expected spans in order"),
        (
            [Span("a", 0, 3), Span("b", 2, 4)],
            "'b' in frames 2 to 4; expected spans in order, within frames 3 to",
        ),
    ],
)
def test_what_ctm_cannot_hold_is_named(spans: list[Span], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        format_ctm({"u": spans}, FRAME)


def test_what_textgrid_cannot_hold_is_named() -> None:
    with pytest.raises(
        UserError, match="words: 'a' in frames 0 to 3; expected spans in order, within frames 0 to 2"
    ):
        format_textgrid({"words": [Span("a", 0, 3)]}, FRAME, 2)
    with pytest.raises(UserError, match="0 frames"):
        format_textgrid({}, FRAME, 0)
    with pytest.raises(UserError, match="frame_seconds: frames of 0 seconds"):
        format_textgrid({"words": []}, 0, 2)
