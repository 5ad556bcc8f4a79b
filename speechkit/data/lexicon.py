"""Words and their phones, from a lexicon."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from speechkit.data.tokenizers import WordTokenizer
from speechkit.errors import Place, UserError, suggest

FILE_NAME = "lexicon.txt"
_VARIANT = re.compile(r"(.+)\(\d+\)")  # CMUdict's second pronunciation: READ(2)


def read_lexicon(path: str | os.PathLike[str]) -> dict[str, list[list[str]]]:
    """The pronunciations of each word, in the order of the file: `WORD PHONE PHONE ...` on each line.

    As Kaldi, LibriSpeech and CMUdict write it: `WORD(2)` is another pronunciation of WORD, and lines that
    begin with `;;;` are comments.

    Raises:
        UserError: with file and line, where a word has no phones; no such file, not UTF-8, no words.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", expected="a lexicon") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", do="save it as UTF-8") from None
    found: dict[str, list[list[str]]] = {}
    for number, line in enumerate(lines, start=1):
        word, *phones = line.split() or [""]
        if not word or line.startswith(";;;"):
            continue
        if not phones:
            place = Place(str(path), number)
            raise UserError(f"the word {word!r} has no phones", expected="WORD PHONE PHONE ...", place=place)
        variant = _VARIANT.fullmatch(word)
        pronunciations = found.setdefault(variant[1] if variant else word, [])
        if phones not in pronunciations:
            pronunciations.append(phones)
    if not found:
        raise UserError(f"{path} has no words", expected="WORD PHONE PHONE ...")
    return found


class LexiconTokenizer:
    """A token for each word of a lexicon, or for each phone of its words.

    lexicon_file: see `read_lexicon`.
    n_tokens: words or phones of the lexicon, and the blank: the width of a CTC layer.
    unit: of "phone", a text's words are encoded by their first pronunciations, and decoded to phones.

    Nothing is read before `prepare` or `load`, which a run calls with its folder. Symbols are in the order of
    the alphabet.
    """

    def __init__(self, lexicon_file: str, n_tokens: int, unit: Literal["word", "phone"] = "phone") -> None:
        if unit not in ("word", "phone"):
            raise UserError(f"unit: {unit!r}", expected="word or phone", key="tokenizer.unit")
        self.lexicon_file, self.n_tokens, self.unit = lexicon_file, n_tokens, unit
        self._lexicon: dict[str, list[list[str]]] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether texts can be encoded."""
        return self._lexicon is not None

    def prepare(self, texts: Iterable[str], folder: str | os.PathLike[str]) -> None:
        """Keep the lexicon in a folder; one that is there must be the same, unless `lexicon_file` is gone."""
        path = Path(folder) / FILE_NAME
        if path.is_file() and not os.path.exists(self.lexicon_file):
            self._open(path)
            return
        read_lexicon(self.lexicon_file)
        given = Path(self.lexicon_file).read_bytes()
        if path.is_file() and path.read_bytes() != given:
            found = f"{path} is another lexicon than {self.lexicon_file}"
            raise UserError(found, do="give another output_folder", key="tokenizer.lexicon_file")
        self._open(self.lexicon_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{FILE_NAME}.partial")
        partial.write_bytes(given)
        partial.replace(path)

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Take the lexicon that `prepare` kept in a folder."""
        self._open(Path(folder) / FILE_NAME)

    @property
    def symbols(self) -> list[str]:
        """The words or phones, without the blank; the first has number 1."""
        return self._ready()[1].symbols

    @property
    def spellings(self) -> list[bytes]:
        """What each token writes, with the blank before it, in UTF-8."""
        return self._ready()[1].spellings

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words or phones; a UserError names the first word that is not there."""
        lexicon, table = self._ready()
        words = text.split()
        for word in words:
            if word not in lexicon:
                found = f"the lexicon has no word {word!r}{suggest(word, lexicon)}"
                raise UserError(found, do=f"add it to {self.lexicon_file}, or change the transcript")
        if self.unit == "word":
            return table.encode(text)
        return table.encode(" ".join(phone for word in words for phone in lexicon[word][0]))

    def decode(self, tokens: Sequence[int]) -> str:
        """The words, or phones, of numbers from 1 to n_tokens - 1, with a space between them."""
        return self._ready()[1].decode(tokens)

    def _ready(self) -> tuple[dict[str, list[list[str]]], WordTokenizer]:
        if self._lexicon is None:
            raise UserError("the lexicon is not read", do="call prepare(texts, folder) or load(folder)")
        return self._lexicon, self._table

    def _open(self, path: str | os.PathLike[str]) -> None:
        lexicon = read_lexicon(path)
        phones = {phone for each in lexicon.values() for pronunciation in each for phone in pronunciation}
        symbols = sorted(phones if self.unit == "phone" else lexicon)
        if len(symbols) + 1 != self.n_tokens:
            found = f"{path} has {len(symbols)} {self.unit}s; n_tokens is {self.n_tokens}"
            raise UserError(found, expected=f"n_tokens: {len(symbols) + 1}", key="tokenizer.n_tokens")
        self._table = WordTokenizer(symbols)
        self._lexicon = lexicon
