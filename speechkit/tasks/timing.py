"""When the words of recognised texts are spoken: CTC's forced alignment, in seconds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechkit.losses import ctc_min_frames
from speechkit.ops.alignment import TokenSpan, forced_align, token_spans
from speechkit.report import Span, join_words
from speechkit.tasks.targets import Tokenizer

# B batch, T frames, V tokens with the blank

DECIMALS = 4  # of seconds and log-probabilities in a record
_LEAST = -1e4  # a log-probability for what has none, so that a text which fits its frames has an alignment


class TimedText(NamedTuple):
    """The words and the tokens of a text in order, with their times in seconds."""

    words: list[Span]
    tokens: list[Span]


def time_texts(
    log_probs: Tensor,
    lengths: Tensor,
    texts: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    frame_seconds: float,
) -> list[TimedText | None]:
    """The times of each of B texts by the most probable CTC path that says it; None where there is no path.

    log_probs: (B, T, V); token 0 is the blank. lengths: (B,) true frames.
    texts: tokens from 1 to V - 1 of each utterance, of CTC or of any other search.
    tokenizer: its `symbols` name the tokens, its `spellings` are joined to words.
    frame_seconds: from one frame to the next, see `find_frame_seconds`.

    A word begins with the first frame of its first token and ends with the last one of its last token. CTC
    says a token within its sound but not how long it lasts, so words come out short, and blanks between long.
    The log-probability of a span is the mean over its frames.
    """
    fits = [row for row, n in enumerate(lengths.tolist()) if texts[row] and ctc_min_frames(texts[row]) <= n]
    timed = [None if text else TimedText([], []) for text in texts]
    if not fits:
        return timed
    targets = [torch.tensor(texts[row], dtype=torch.int64) for row in fits]
    log_probs, lengths = log_probs[fits].nan_to_num(nan=_LEAST, neginf=_LEAST), lengths[fits]
    path, scores = forced_align(
        log_probs, lengths, pad_sequence(targets, batch_first=True), torch.tensor([*map(len, targets)])
    )
    names = tokenizer.symbols, tokenizer.spellings
    for row, spans in zip(fits, token_spans(path, scores, lengths), strict=True):
        timed[row] = _name(spans, names, frame_seconds)
    return timed


def describe_times(
    modules: nn.ModuleDict,
    sample_rate: int,
    heard: tuple[Tensor | None, Tensor],
    texts: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """What records say of where their texts come from: `tokens`, and with CTC `words` with their times.

    heard: CTC's log-probabilities (B, T, V) or None, and true lengths (B,).
    """
    log_probs, lengths = heard
    if log_probs is None:
        return [{"tokens": list(text)} for text in texts]
    frame_seconds = find_frame_seconds(modules, sample_rate)
    timed = time_texts(log_probs, lengths, texts, tokenizer, frame_seconds)
    return [
        {"tokens": list(text), "words": list_words(each)} for text, each in zip(texts, timed, strict=True)
    ]


def find_frame_seconds(modules: nn.ModuleDict, sample_rate: int) -> float:
    """From one of the encoder's frames to the next: what 10,000 more seconds of sound add to its output."""
    n_samples = torch.tensor([10, 10_010]) * sample_rate
    features, encoder = modules["features"], modules["encoder"]  # type: Any, Any
    n_frames = encoder.output_lengths(features.output_lengths(n_samples))
    each = 10_000 * sample_rate / max(1, int(n_frames[1] - n_frames[0]))
    return round(each) / sample_rate  # whole samples; what is beyond is the rounding of the lengths


def list_words(timed: TimedText | None) -> list[list[Any]] | None:
    """Words as a record of predictions holds them: [word, start, end, log-probability], in seconds."""
    if timed is None:
        return None
    return [
        [word, *(None if x is None else round(x, DECIMALS) for x in (start, end, log_prob))]
        for word, start, end, log_prob in timed.words
    ]


def _name(
    spans: Sequence[TokenSpan], names: tuple[list[str], list[bytes]], frame_seconds: float
) -> TimedText:
    symbols, spellings = names
    times = [(start * frame_seconds, end * frame_seconds, log_prob) for _, start, end, log_prob in spans]
    numbers = [token - 1 for token, *_ in spans]
    # A token may write a part of a character: its bytes are kept apart until the word is whole.
    written = [spellings[number].decode("utf-8", "surrogateescape") for number in numbers]
    words = join_words([Span(label, *time) for label, time in zip(written, times, strict=True)])
    return TimedText(
        [word._replace(label=_mend(word.label)) for word in words],
        [Span(symbols[number], *time) for number, time in zip(numbers, times, strict=True)],
    )


def _mend(label: str) -> str:
    """Bytes put together; what is no UTF-8 becomes U+FFFD, and a word holds no blanks."""
    text = label.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(text.split()) or "\ufffd"
