"""Manifests of cuts: JSON lines, each checked before Lhotse makes an object of it.

Lhotse executes what a manifest may name: sources of type `command`, paths that begin with `pipe:`, Kaldi's
paths that end in `|`, pickled arrays. Here a manifest is data: such lines are refused with file and line.
"""

import gzip
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lhotse import CutSet
from lhotse.cut import Cut, MixedCut, PaddingCut
from lhotse.cut.set import deserialize_cut

from speechkit.errors import Place, UserError

SOURCE_TYPES = frozenset({"file", "memory", "shar"})
# Left out of Lhotse's storage types: memory_raw (a pickle), kaldiio (runs pipes), lilcom_url (the network).
STORAGE_TYPES = frozenset(
    ("lilcom_files", "lilcom_hdf5", "chunked_lilcom_hdf5", "lilcom_chunky", "memory_lilcom")
    + ("numpy_files", "numpy_hdf5", "memory_npy", "pillow_files", "pillow_memory", "shar")
)


def read_cuts(path: str | os.PathLike[str]) -> CutSet:
    """Open a manifest of cuts (`.jsonl` or `.jsonl.gz`); lines are read and checked as one iterates.

    Raises:
        UserError: no such file; while iterating, with file and line: a line that is not a cut, or one that
            names a command, a pipe, a pickle, or another source than a file, memory or Shar
    """
    return CutSet(LazyCuts(path))


def write_cuts(cuts: Iterable[Cut], path: str | os.PathLike[str]) -> None:
    """Write a manifest, whole or not at all: it appears under its name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _open_text(unfinished, "wt") as file:
            for cut in cuts:
                file.write(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def count_cuts(path: str | os.PathLike[str]) -> int:
    """How many cuts a manifest has: its lines that are not blank."""
    return sum(1 for _ in _lines(path))


class LazyCuts:
    """The cuts of a manifest, read anew whenever one iterates; what Lhotse calls a lazy manifest."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise no_manifest(self.path)

    def __iter__(self) -> Iterator[Cut]:
        for number, line in _lines(self.path):
            yield parse_cut(line, Place(self.path, number))

    def __len__(self) -> int:
        return count_cuts(self.path)


def _open_text(path: str | os.PathLike[str], mode: str) -> IO[str]:
    # Lhotse's own opener would run what follows `pipe:` in the name.
    opener: Any = gzip.open if os.fspath(path).endswith(".gz") else open
    return opener(path, mode, encoding="utf-8")


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _open_text(path, "rt") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    yield number, line
    except (FileNotFoundError, IsADirectoryError) as error:
        raise no_manifest(path) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read on: {error}", do="make the manifest anew", place=Place(os.fspath(path), number + 1)
        ) from error


def no_manifest(path: str | os.PathLike[str]) -> UserError:
    """What is said where there is no such file."""
    return UserError(f"no manifest {os.fspath(path)!r}", do="run the recipe's prepare step, or mend the path")


def parse_cut(line: str, place: Place) -> Cut:
    """The cut of a line, if it is one and names nothing that would be executed."""
    try:
        data = json.loads(line.rstrip("\r\n"))  # a column past the end belongs to this line
    except json.JSONDecodeError as error:
        place = Place(place.file, place.line, error.colno)
        raise UserError(f"not JSON: {error.msg}", expected="one cut a line", place=place) from error
    except RecursionError as error:
        raise UserError("JSON nested too deeply", expected="one cut a line", place=place) from error
    if not isinstance(data, dict) or "type" not in data:
        raise UserError("not a cut", expected="an object with a type, such as MonoCut", place=place)
    _check_safe(data, place)
    try:
        cut = deserialize_cut(data)
    except Exception as error:  # Lhotse raises as it comes: KeyError, TypeError, AssertionError, ...
        raise UserError(
            f"not a cut: {type(error).__name__}: {error}", expected="what Lhotse writes", place=place
        ) from error
    _check_numbers(cut, place)
    return cut


def _check_safe(value: Any, place: Place) -> None:
    """Refuse whatever, anywhere in the line, would make Lhotse run, unpickle or fetch something."""
    if isinstance(value, list):
        for item in value:
            _check_safe(item, place)
    elif isinstance(value, dict):
        if "sources" in value:
            _check_sources(value["sources"], place)
        if value.get("storage_type", "shar") not in STORAGE_TYPES:
            expected = f"one of {', '.join(sorted(STORAGE_TYPES))}"
            raise UserError(f"storage of type {value['storage_type']!r}", expected=expected, place=place)
        for key in ("source", "storage_path"):
            _check_path(value.get(key), place)
        for item in value.values():
            if isinstance(item, dict | list):
                _check_safe(item, place)


def _check_sources(sources: Any, place: Place) -> None:
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise UserError("sources that are not a list of objects", place=place)
    for source in sources:
        if source.get("type") not in SOURCE_TYPES:
            raise UserError(
                f"an audio source of type {source.get('type')!r}",
                expected="file, memory or shar",
                do="store the audio as files",
                place=place,
            )


def _check_path(path: Any, place: Place) -> None:
    if isinstance(path, str):
        stripped = path.strip()
        if stripped.startswith(("pipe:", "|")) or stripped.endswith("|"):
            raise UserError(f"a command where a path should be: {path!r}", expected="a file", place=place)


def _check_numbers(cut: Cut, place: Place) -> None:
    try:
        wrong = _what_is_wrong(cut)
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        wrong = f"values that make no sense: {error}"
    if wrong:
        raise UserError(f"cut {cut.id!r}: {wrong}", expected="what Lhotse writes", place=place)


def _what_is_wrong(cut: Cut) -> str:
    if isinstance(cut, MixedCut):
        found = [_what_is_wrong(track.cut) for track in cut.tracks] if cut.tracks else ["no tracks"]
        return next(filter(None, found), "")
    if not isinstance(cut.id, str):
        return "an id that is not text"
    if not (math.isfinite(cut.duration) and cut.duration >= 0):
        return f"a duration of {cut.duration} s"
    if isinstance(cut, PaddingCut) or not cut.has_recording:
        return ""
    if not (isinstance(cut.sampling_rate, int) and cut.sampling_rate > 0):
        return f"a sampling rate of {cut.sampling_rate} Hz"
    # 25 ms: durations are rounded here and there.
    if not (cut.start >= 0 and cut.end <= cut.recording.duration + 0.025):
        return f"{cut.start} to {cut.end} s of a recording of {cut.recording.duration} s"
    channels = set(cut.channel if isinstance(cut.channel, list) else [cut.channel])
    known = {channel for source in cut.recording.sources for channel in source.channels}
    return "" if channels <= known else f"channels {channels} of a recording with {known}"
