"""Whether a tokenizer can write the words of a model: one of other texts would be of no use, unnoticed."""

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from speechkit.decoding.arpa_file import KEY
from speechkit.errors import UserError

SHARE = 0.01  # of a model's words must be spelled
N_NAMED = 5  # symbols that an error shows


class Symbols(Protocol):
    """The names of the tokens 1, 2, ..., as tokenizers have them."""

    @property
    def n_tokens(self) -> int: ...

    @property
    def is_ready(self) -> bool: ...  # whether it has its tokens: pieces are learned

    @property
    def symbols(self) -> list[str]: ...


class Spellings(Symbols, Protocol):
    """And what they write, in UTF-8."""

    @property
    def spellings(self) -> list[bytes]: ...


def check_spelling(words: Sequence[str], tokenizer: Spellings, file: str) -> None:
    """A UserError if next to no word of a model can be spelled, as words in small letters by capitals.

    One word in a hundred is enough; and where that is less, half as many as there are tokens: ten tokens that
    are words themselves spell no more than ten of a large model. Tokens for single bytes (SentencePiece's
    `<0x61>`) do not count, since they spell everything, even what the tokenizer's texts never had.
    """
    named = zip(tokenizer.symbols, tokenizer.spellings, strict=True)
    pieces = [(name, spelling) for name, spelling in named if name != f"<0x{spelling.hex().upper()}>"]
    can_spell = _speller({spelling for _, spelling in pieces})
    n_wanted = math.ceil(min(SHARE * len(words), len(pieces) / 2))
    n_found = sum(1 for _ in islice(filter(can_spell, words), n_wanted))
    if n_found >= n_wanted:
        return
    if pair := find_other_case(words, can_spell):
        strange, familiar = pair
        expected = f"words such as {familiar!r}"
        do = "make the file anew of texts in the tokenizer's case"
    else:
        strange = next(word for word in words if not can_spell(word))
        expected = f"words spelled by {', '.join(repr(name) for name, _ in pieces[:N_NAMED])}, ..."
        do = "make the file anew of texts as the tokenizer has them"
    found = f"the tokenizer can spell {n_found} of the {len(words)} words of {file}, and not {strange!r}"
    raise UserError(found, expected=expected, do=do, key=KEY)


def find_other_case(words: Sequence[str], is_known: Callable[[str], bool]) -> tuple[str, str] | None:
    """A word, and how it is known, if most words are known in capitals or in small letters alone.

    >>> find_other_case(["7", "an", "ant"], {"ANT", "AN"}.__contains__)
    ('an', 'AN')
    """
    strange = [word for word in words if not is_known(word)]
    pairs = [(word, other) for word in strange for other in (word.upper(), word.lower()) if is_known(other)]
    return pairs[0] if 2 * len(pairs) > len(words) else None


def _speller(spellings: set[bytes]) -> Callable[[str], bool]:
    """Whether a word is a row of these, at the begin of a text or behind a blank."""
    longest = max(map(len, spellings), default=0)

    def covers(text: bytes) -> bool:
        reached = {0}
        for start in range(len(text)):
            if start in reached:
                ends = range(start + 1, min(len(text), start + longest) + 1)
                reached.update(end for end in ends if text[start:end] in spellings)
        return len(text) in reached

    return lambda word: covers(b" " + word.encode()) or covers(word.encode())
