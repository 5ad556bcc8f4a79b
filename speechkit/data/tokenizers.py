"""Texts as numbers of symbols, and back; number 0 is no symbol: CTC's blank."""

import os
from collections.abc import Iterable, Sequence

from speechkit.errors import UserError, suggest


class CharacterTokenizer:
    """A token for each character; the space is one like any other.

    symbols: the characters, as one text or a list; the first gets number 1. Texts are taken as they stand:
        what is not among the symbols (capitals, accents, line ends) is told by `encode`.

    >>> tokenizer = CharacterTokenizer("ab ")
    >>> tokenizer.encode("a ba"), tokenizer.decode([1, 3, 2, 1]), tokenizer.n_tokens
    ([1, 3, 2, 1], 'a ba', 4)
    """

    def __init__(self, symbols: str | Sequence[str]) -> None:
        self._table = _Table(list(symbols))
        for symbol in self.symbols:
            if len(symbol) != 1:
                found = f"the symbol {symbol!r} is of {len(symbol)} characters"
                raise UserError(found, do="take WordTokenizer for words and phones")

    @property
    def symbols(self) -> list[str]:
        """All symbols, without the blank; the first has number 1."""
        return self._table.symbols

    @property
    def n_tokens(self) -> int:
        """Symbols and the blank: the width of a CTC layer."""
        return len(self.symbols) + 1

    @property
    def spellings(self) -> list[bytes]:
        """What each symbol writes, in UTF-8."""
        return [symbol.encode() for symbol in self.symbols]

    @property
    def is_ready(self) -> bool:
        """Whether texts can be encoded: always."""
        return True

    def prepare(self, texts: Iterable[str], folder: str | os.PathLike[str]) -> None:
        """Nothing is learned from texts, and nothing kept in the run's folder."""

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Nothing is kept in a run's folder."""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text; a UserError names the first symbol that is not there."""
        return self._table.find(list(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of numbers from 1 to n_tokens - 1."""
        return "".join(self._table.name(tokens))


class WordTokenizer:
    """A token for each word, or phone, between blanks.

    symbols: the words, as a list or a text with blanks between them; the first gets number 1.

    >>> tokenizer = WordTokenizer("yes no")
    >>> tokenizer.encode("no no yes"), tokenizer.decode([2, 2, 1]), tokenizer.n_tokens
    ([2, 2, 1], 'no no yes', 3)
    """

    def __init__(self, symbols: str | Sequence[str]) -> None:
        self._table = _Table(symbols.split() if isinstance(symbols, str) else list(symbols))
        for symbol in self.symbols:
            if symbol.split() != [symbol]:
                raise UserError(f"the symbol {symbol!r}", expected="a word without blanks")

    @property
    def symbols(self) -> list[str]:
        """All symbols, without CTC's blank; the first has number 1."""
        return self._table.symbols

    @property
    def n_tokens(self) -> int:
        """Symbols and the blank: the width of a CTC layer."""
        return len(self.symbols) + 1

    @property
    def spellings(self) -> list[bytes]:
        """What each symbol writes, with the blank before it, in UTF-8."""
        return [f" {symbol}".encode() for symbol in self.symbols]

    @property
    def is_ready(self) -> bool:
        """Whether texts can be encoded: always."""
        return True

    def prepare(self, texts: Iterable[str], folder: str | os.PathLike[str]) -> None:
        """Nothing is learned from texts, and nothing kept in the run's folder."""

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Nothing is kept in a run's folder."""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words; a UserError names the first one that is not there."""
        return self._table.find(text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        """The words of numbers from 1 to n_tokens - 1, with a space between them."""
        return " ".join(self._table.name(tokens))


class _Table:
    """Symbols and their numbers, from 1 on."""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        for symbol in symbols:
            if not isinstance(symbol, str):  # YAML reads 1 and true as no text
                raise UserError(f"the symbol {symbol!r} is no text", do="put it in quotes")
        self._numbers = {symbol: number for number, symbol in enumerate(symbols, start=1)}
        if not symbols or len(self._numbers) != len(symbols):
            twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
            found = f"the symbol {twice[0]!r} stands twice" if twice else "no symbols"
            raise UserError(found, expected="one symbol at least, all different")

    def find(self, pieces: list[str]) -> list[int]:
        try:
            return [self._numbers[piece] for piece in pieces]
        except KeyError as error:
            lacking = error.args[0]
            found = f"the tokenizer has no symbol {lacking!r}{suggest(lacking, self.symbols)}"
            raise UserError(found, do="add it to the symbols, or change the transcript") from None

    def name(self, tokens: Sequence[int]) -> list[str]:
        wrong = [token for token in tokens if not 0 < token <= len(self.symbols)]
        if wrong:
            raise ValueError(f"token {wrong[0]}; symbols have the numbers 1 to {len(self.symbols)}")
        return [self.symbols[token - 1] for token in tokens]
