"""ARPA files of n-gram language models: read and spelled out."""

import gzip
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from speechkit.decoding.ngram import BEGIN, END, UNKNOWN, Context, NGramModel
from speechkit.errors import Place, UserError

LN10 = math.log(10)  # files hold log10, models the natural log
NEVER = -99.0  # log10 of no probability, as SRILM and KenLM write it for <s>
GZIP = b"\x1f\x8b"

Numbered = Iterator[tuple[int, bytes]]
Found = TypeVar("Found")


def read_arpa(path: str | os.PathLike[str]) -> NGramModel:
    r"""The model of an ARPA file, plain or gzipped, of any order (as in SRILM's ngram-format(5)).

    What stands before `\data\` is not read; `<UNK>` is `<unk>`.

    Raises:
        UserError: with file and line; the file is not there or cut off, lists other numbers of n-grams than
            its head says, an n-gram twice or of words without a unigram, a log-probability that is none; it
            lacks `<s>` or `</s>`.
    """
    return _parse(path, _Reader.read)


def read_order(path: str | os.PathLike[str]) -> int:
    """The order of an ARPA file's model, as its head says; what stands behind that is not read.

    Raises:
        UserError: as `read_arpa`.
    """
    counts, _ = _parse(path, _Reader.read_head)
    return len(counts)


def _parse(path: str | os.PathLike[str], parse: "Callable[[_Reader, Numbered], Found]") -> Found:
    reader = _Reader(Path(path))
    try:
        with open(path, "rb") as file:
            is_gzip = file.read(2) == GZIP
            file.seek(0)
            return parse(reader, enumerate(gzip.open(file) if is_gzip else file, start=1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise reader.error(f"the gzip file is damaged: {error}", expected="the whole file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", expected="an ARPA file") from None


class _Reader:
    """One pass over the lines of a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        self.successors: dict[Context, dict[str, float]] = {(): {}}
        self.backoffs: dict[Context, float] = {}
        self.words: dict[bytes, str] = {}  # one object a word, however often it stands in the file

    def error(self, found: str, *, expected: str = "") -> UserError:
        return UserError(found, expected=expected, place=Place(str(self.path), max(self.number, 1)))

    def read(self, lines: Numbered) -> NGramModel:
        counts, line = self.read_head(lines)
        for order, count in enumerate(counts, start=1):
            if line != b"\\%d-grams:" % order:
                raise self.error(f"{_show(line)}", expected=f"\\{order}-grams:")
            line = self._read_section(lines, order, count)
        if line != b"\\end\\":
            raise self.error(f"{_show(line)}", expected="\\end\\")
        for word in (BEGIN, END):
            if word not in self.successors[()]:
                raise self.error(f"no unigram {word}", expected="a model of sentences")
        return NGramModel(self.successors, self.backoffs)

    def _next(self, lines: Numbered) -> bytes:
        """The next line that is not empty."""
        for self.number, line in lines:
            if stripped := line.strip():
                return stripped
        raise self.error("the file ends here", expected="\\data\\, the n-grams and \\end\\")

    def read_head(self, lines: Numbered) -> tuple[list[int], bytes]:
        """How many n-grams of each order there are, and the line after."""
        while self._next(lines) != b"\\data\\":
            pass
        counts: list[int] = []
        while not (line := self._next(lines)).startswith(b"\\"):
            match = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if not match or int(match[1]) != len(counts) + 1:
                raise self.error(f"{_show(line)}", expected=f"ngram {len(counts) + 1}=COUNT")
            counts.append(int(match[2]))
        if not counts:
            raise self.error(f"{_show(line)}", expected="ngram 1=COUNT")
        return counts, line

    def _read_section(self, lines: Numbered, order: int, count: int) -> bytes:
        """All n-grams of an order; returns the line after."""
        n_read = 0
        while not (line := self._next(lines)).startswith(b"\\"):
            self._read_ngram(line.split(), order)
            n_read += 1
        if n_read != count:
            raise self.error(f"{n_read} n-grams of order {order}", expected=f"{count}, as the head says")
        return line

    def _read_ngram(self, fields: list[bytes], order: int) -> None:
        if len(fields) not in (order + 1, order + 2):
            found = f"{len(fields)} fields"
            raise self.error(found, expected=f"a log10 probability, {order} words and perhaps a weight")
        probability = self._read_log(fields[0])
        if probability > 0:
            raise self.error(f"the log10 probability {probability}", expected="0 at most")
        if order == 1:
            self._add_word(fields[1])
        try:
            *context, word = (self.words[field] for field in fields[1 : order + 1])
        except KeyError as error:
            raise self.error(f"the word {_show(error.args[0])}", expected="one of the 1-grams") from None
        listed = self.successors.setdefault(tuple(context), {})
        if word in listed:
            raise self.error(f"the n-gram {' '.join([*context, word])!r} stands twice")
        listed[word] = probability * LN10
        if len(fields) == order + 2:
            self.backoffs[*context, word] = self._read_log(fields[-1]) * LN10

    def _add_word(self, field: bytes) -> None:
        try:
            word = field.decode()
        except UnicodeDecodeError:
            raise self.error(f"the word {field!r}", expected="UTF-8") from None
        self.words[field] = UNKNOWN if word == "<UNK>" else word

    def _read_log(self, field: bytes) -> float:
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if math.isnan(value) or value == math.inf:
            raise self.error(f"{_show(field)}", expected="a number, the log10 of a probability or weight")
        return NEVER if value == -math.inf else value


def format_arpa(model: NGramModel) -> Iterator[str]:
    """The lines of a model's ARPA file, each with its line end; n-grams in the order of their words.

    >>> model = NGramModel({(): {"<s>": -99 * LN10, "</s>": 0.0}}, {("<s>",): 0.0})
    >>> print("".join(format_arpa(model)))
    \\data\\
    ngram 1=2
    <BLANKLINE>
    \\1-grams:
    0.0000000   </s>
    -99.0000000 <s> 0.0000000
    <BLANKLINE>
    \\end\\
    """
    orders: list[dict[Context, float]] = [{} for _ in range(model.order)]
    for context, listed in model.successors.items():
        for word, score in listed.items():
            orders[len(context)][*context, word] = score
    yield "\\data\\\n"
    yield from (f"ngram {order}={len(ngrams)}\n" for order, ngrams in enumerate(orders, start=1))
    for order, ngrams in enumerate(orders, start=1):
        yield f"\n\\{order}-grams:\n"
        for ngram in sorted(ngrams):
            weight = f"\t{model.backoffs[ngram] / LN10:.7f}" if ngram in model.backoffs else ""
            yield f"{max(ngrams[ngram] / LN10, NEVER):.7f}\t{' '.join(ngram)}{weight}\n"
    yield "\n\\end\\\n"


def _show(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")
