"""Times of recognised words: from frames that say them, whatever the tokens."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speechkit.data import CharacterTokenizer, WordTokenizer
from speechkit.tasks.timing import find_frame_seconds, list_words, time_texts

CHARACTERS = CharacterTokenizer("abc ")


class Bytes:
    """A tokenizer of pieces and bytes, as SentencePiece's."""

    def __init__(self) -> None:
        self.symbols = ["\u2581a", "b", "<0xC3>", "<0xA9>"]
        self.spellings = [b" a", b"b", b"\xc3", b"\xa9"]


def certain(path: list[int], n_tokens: int) -> Tensor:
    """Frames (1, T, V) that say a path with probability 0.9."""
    at = torch.nn.functional.one_hot(torch.tensor([path]), n_tokens)
    return torch.where(at == 1, 0.9, 0.1 / (n_tokens - 1)).log()


def test_words_last_from_their_first_token_to_their_last() -> None:
    path = [0, 1, 1, 0, 2, 0, 4, 0, 0, 3, 0]  # a a b _ c
    (timed,) = time_texts(certain(path, 5), torch.tensor([11]), [[1, 2, 4, 3]], CHARACTERS, 0.04)
    assert timed is not None
    assert [(word.label, word.start, word.end) for word in timed.words] == [
        ("ab", pytest.approx(0.04), pytest.approx(0.20)),
        ("c", pytest.approx(0.36), pytest.approx(0.40)),
    ]
    assert [token.label for token in timed.tokens] == ["a", "b", " ", "c"]
    nine = -0.1054  # log 0.9
    assert list_words(timed) == [["ab", 0.04, 0.2, nine], ["c", 0.36, 0.4, nine]]


def test_bytes_of_a_character_are_one_word() -> None:
    texts = [[1, 3, 4, 1, 3]]
    log_probs = torch.randn(1, 9, 5).log_softmax(-1)
    (timed,) = time_texts(log_probs, torch.tensor([9]), texts, Bytes(), 0.01)
    assert timed is not None
    assert [word.label for word in timed.words] == ["aé", "a\ufffd"]
    assert [token.label for token in timed.tokens] == ["\u2581a", "<0xC3>", "<0xA9>", "\u2581a", "<0xC3>"]


def test_a_text_without_a_path_has_no_times() -> None:
    """More tokens than frames, as an attention decoder may write; an empty text has no words."""
    log_probs = torch.randn(4, 3, 5).log_softmax(-1)
    log_probs[3] = -torch.inf
    lengths, texts = torch.tensor([3, 2, 0, 3]), [[1, 1], [1, 1], [], [2]]
    timed = time_texts(log_probs, lengths, texts, CHARACTERS, 0.01)
    assert [list_words(each) and len(list_words(each) or []) for each in timed] == [1, None, [], 1]
    assert time_texts(log_probs[:1], torch.tensor([0]), [[1]], CHARACTERS, 0.01) == [None]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_words_are_those_of_the_text_and_padding_never_matters(data: st.DataObject) -> None:
    tokenizer = data.draw(st.sampled_from([CHARACTERS, WordTokenizer("ab c d")]))
    token = st.integers(1, tokenizer.n_tokens - 1)
    texts = data.draw(st.lists(st.lists(token, max_size=6), min_size=1, max_size=4))
    lengths = torch.tensor([2 * len(text) + data.draw(st.integers(0, 3)) for text in texts])
    torch.default_generator.manual_seed(data.draw(st.integers(0, 99)))
    log_probs = torch.randn(len(texts), int(lengths.max()) + 1, tokenizer.n_tokens).log_softmax(-1)
    timed = time_texts(log_probs, lengths, texts, tokenizer, 0.02)
    for row, (text, each) in enumerate(zip(texts, timed, strict=True)):
        assert each is not None
        assert [word.label for word in each.words] == tokenizer.decode(text).split()
        n = int(lengths[row])
        assert time_texts(log_probs[row : row + 1, :n], lengths[row : row + 1], [text], tokenizer, 0.02) == [
            each
        ]


class Frames(nn.Module):
    """Lengths alone."""

    def __init__(self, size: int, step: int) -> None:
        super().__init__()
        self.size, self.step = size, step

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return (lengths - self.size).div(self.step, rounding_mode="floor") + 1


@pytest.mark.parametrize(("hop", "factor"), [(160, 4), (256, 1), (221, 3), (80, 8)])
@pytest.mark.parametrize("sample_rate", [8000, 22050])
def test_frames_are_as_long_as_the_steps_of_all_layers(hop: int, factor: int, sample_rate: int) -> None:
    modules: Any = nn.ModuleDict({"features": Frames(400, hop), "encoder": Frames(factor + 1, factor)})
    assert find_frame_seconds(modules, sample_rate) == hop * factor / sample_rate
