"""What a sequence of batches needs of a manifest: how long each cut is; its line only when it is read."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from speechkit.data.manifest import parse_cut
from speechkit.data.reading import TarAudio
from speechkit.errors import Place, UserError


class Line(NamedTuple):
    """A cut as its manifest has it. It goes to the worker that reads the audio, and is parsed there."""

    text: bytes
    place: Place
    seconds: float
    tar: str = ""  # the archive with the audio, for a cut of a shard


class CutTable(Protocol):
    """Cuts by number, of a manifest or of shards; few bytes a cut are in memory."""

    seconds: np.ndarray  # (n,) float64, the duration of each cut

    def digest(self) -> str:
        """Of all that the sequence of an epoch depends on, and of the texts."""
        ...

    def order(self, *key: object) -> Iterator[int]:
        """All numbers of cuts, shuffled by a key; in order without one."""
        ...

    def line(self, number: int) -> Line: ...


def open_line(line: Line) -> Cut:
    """The cut of a line, checked again: what is on the disk may have changed since it was indexed.

    Raises:
        UserError: the line is no cut, or another than was indexed, or names what would be executed
    """
    cut = parse_cut(decode(line.text, line.place), line.place)
    if cut.duration != line.seconds:
        found = f"cut {cut.id!r} of {cut.duration} s where one of {line.seconds} s was"
        raise UserError(found, do="leave manifests as they are while a run reads them", place=line.place)
    return _with_audio_of_tar(cut, line) if line.tar else cut


def decode(text: bytes, place: Place) -> str:
    """The text of a line; a UserError where it is none."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read on: {error}", do="make the manifest anew", place=place) from error


def _with_audio_of_tar(cut: Cut, line: Line) -> Cut:
    sources = cut.recording.sources if getattr(cut, "recording", None) else []
    if len(sources) != 1 or sources[0].type != "shar":
        expected = "one recording, of type shar"
        raise UserError(f"cut {cut.id!r} is not one of a shard", expected=expected, place=line.place)
    source = TarAudio.from_text(line.tar, sources[0])
    if source is None:
        found = f"cut {cut.id!r} has its audio at {sources[0].source!r}"
        raise UserError(
            found, expected="offset:bytes:checksum, as speechkit shard writes it", place=line.place
        )
    return fastcopy(cut, recording=fastcopy(cut.recording, sources=[source]))


def shuffled(n: int, seed: int) -> np.ndarray:
    """The numbers below n in an order of the seed's, 4 bytes each (8 from 2**32 on).

    >>> sorted(shuffled(4, seed=1).tolist())
    [0, 1, 2, 3]
    """
    numbers = np.arange(n, dtype=np.uint32 if n <= 2**32 else np.uint64)
    np.random.Generator(np.random.PCG64(seed)).shuffle(numbers)
    return numbers


def as_integers(numbers: np.ndarray) -> Iterator[int]:
    """Python's integers of an array, without all of them in memory."""
    for first in range(0, len(numbers), 65536):
        yield from numbers[first : first + 65536].tolist()
