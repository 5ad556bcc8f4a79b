"""Sentences in files, one a line: of plain texts where each line begins is held, 12 bytes a sentence."""

import gzip
import io
import json
import os
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from speechkit.data.tables import as_integers, shuffled
from speechkit.errors import Place, UserError
from speechkit.ops.random import derive_seed

CHUNK = 2**24  # bytes of a text looked through at once
NEWLINE = 10
INK = np.array([not bytes([byte]).isspace() for byte in range(256)])  # of bytes: whether they show


class Sentence(NamedTuple):
    """A text with a name; the speaker, or the book, is what intervals of figures are taken over."""

    id: str
    text: str
    speaker: str | None = None


class Source(Protocol):
    """The sentences of one file."""

    sizes: np.ndarray  # (n,) bytes of each text
    digest: bytes

    def read(self, number: int) -> Sentence: ...


class TextTable:
    """The sentences of several files, one after another, by number.

    Args:
        files: paths of plain text, one sentence a line (blank lines are none), or `.jsonl`, or either packed
            as `.gz` (held in memory unpacked); read through at once

    Raises:
        UserError: no files, no such file, no sentences; a line that is none, or no UTF-8, where it is read
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._sources = [open_source(path) for path in files]
        self.sizes = np.concatenate([np.zeros(0, np.uint32), *(source.sizes for source in self._sources)])
        if not len(self.sizes):
            raise UserError(f"no sentences in {', '.join(files) or 'no file'}", expected="one a line")
        self._ends = np.cumsum([len(source.sizes) for source in self._sources])

    def digest(self) -> str:
        """Of the texts, in order; not of where they lie."""
        return blake2b(b"".join(source.digest for source in self._sources), digest_size=16).hexdigest()

    def order(self, *key: object) -> Iterator[int]:
        """All numbers of sentences, shuffled by a key; in order without one."""
        n = len(self.sizes)
        return as_integers(shuffled(n, derive_seed(*key))) if key else iter(range(n))

    def read(self, number: int) -> Sentence:
        """One sentence."""
        which = int(np.searchsorted(self._ends, number, side="right"))
        source = self._sources[which]
        return source.read(number - int(self._ends[which]) + len(source.sizes))


def write_sentences(path: str | os.PathLike[str], sentences: Iterable[Sentence]) -> None:
    """Write a `.jsonl` of `Sentence`s, whole or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "w", encoding="utf-8") as file:
        for sentence in sentences:
            print(json.dumps(sentence._asdict(), ensure_ascii=False), file=file)
    partial.replace(path)


def open_source(path: str) -> Source:
    """The sentences of a file, by the ending of its name."""
    if not os.path.isfile(path):
        raise UserError(f"there is no file {path}", expected="a text of one sentence a line, or a .jsonl")
    return ListedSentences(path) if path.removesuffix(".gz").endswith(".jsonl") else PlainLines(path)


def read_bytes(path: str) -> bytes:
    """What a `.gz` holds, unpacked."""
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read on: {error}", do="pack it anew", place=Place(path, 1)) from error


class PlainLines:
    """Sentences of plain UTF-8, named by the file and their line."""

    def __init__(self, path: str) -> None:
        self.path, self._name = path, Path(path).name.split(".")[0]
        self._unpacked = read_bytes(path) if path.endswith(".gz") else None
        # Held open: a file that is replaced while a run reads it is still read as it was.
        opened = open(path, "rb") if self._unpacked is None else io.BytesIO(self._unpacked)  # noqa: SIM115
        self._file: IO[bytes] = opened
        weakref.finalize(self, self._file.close)
        self._begins, self.sizes, self._lines, self.digest = _index(self._file)

    def read(self, number: int) -> Sentence:
        begin, size = int(self._begins[number]), int(self.sizes[number])
        line = 1 + (number if self._lines is None else int(self._lines[number]))
        if self._unpacked is not None:
            text = self._unpacked[begin : begin + size]
        else:
            text = os.pread(self._file.fileno(), size, begin)
        try:
            return Sentence(f"{self._name}-{line:08d}", text.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            raise UserError(f"cannot read on: {error}", place=Place(self.path, line)) from error


def _index(file: IO[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, bytes]:
    """Where the lines that are not blank begin, their sizes, their numbers (None: all lines), a digest."""
    begins, sizes, shown = [], [], [np.zeros(0, bool)]
    state, first = blake2b(digest_size=16), 0
    while chunk := file.read(CHUNK):
        chunk += file.readline()
        state.update(chunk)
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == NEWLINE)
        if not chunk.endswith(b"\n"):
            ends = np.append(ends, len(chunk))
        starts = np.concatenate([[0], ends[:-1] + 1])
        has_ink = np.logical_or.reduceat(INK[np.frombuffer(chunk, np.uint8)], starts)
        begins.append((starts + first)[has_ink])
        sizes.append((ends - starts)[has_ink].astype(np.uint32))
        shown.append(has_ink)
        first += len(chunk)
    lines = np.concatenate(shown)
    numbers = None if lines.all() else np.flatnonzero(lines)
    nothing = np.zeros(0, np.int64)
    return (
        np.concatenate([nothing, *begins]),
        np.concatenate([nothing.astype(np.uint32), *sizes]),
        numbers,
        state.digest(),
    )


class ListedSentences:
    """Sentences of a `.jsonl`: lines of `id`, `text` and perhaps `speaker`, or cuts with transcripts."""

    def __init__(self, path: str) -> None:
        self._sentences = list(_parse_lines(path))
        state, seen = blake2b(digest_size=16), set[str]()
        for sentence in self._sentences:
            if sentence.id in seen:
                raise UserError(f"two sentences with the id {sentence.id!r} in {path}")
            seen.add(sentence.id)
            state.update(f"{sentence.id}\x1f{sentence.text}\x1e".encode(errors="surrogatepass"))
        self.digest = state.digest()
        self.sizes = np.array(
            [len(each.text.encode("utf-8", "replace")) for each in self._sentences], np.uint32
        )

    def read(self, number: int) -> Sentence:
        return self._sentences[number]


def _parse_lines(path: str) -> Iterator[Sentence]:
    content = read_bytes(path) if path.endswith(".gz") else Path(path).read_bytes()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            try:
                yield _parse(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                expected = 'such as {"id": "a-1", "text": "..."}, or a cut'
                found = f"no sentence: {type(error).__name__}: {error}"
                raise UserError(found, expected=expected, place=Place(path, number)) from error


def _parse(value: dict[str, Any]) -> Sentence:
    """A sentence, or a cut, whose supervisions' texts are joined; nothing else of the line is looked at."""
    parts = value.get("supervisions", [value])
    texts = [part["text"] for part in parts if part.get("text") is not None]
    speakers = [part["speaker"] for part in parts if part.get("speaker")]
    if not texts or not all(isinstance(each, str) for each in (value["id"], *texts, *speakers)):
        raise TypeError("an id and a text are needed")
    return Sentence(value["id"], " ".join(texts).strip(), speakers[0] if speakers else None)
