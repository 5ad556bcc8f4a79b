"""Manifests of any size: an index of where each line begins and how long its cut is, 16 bytes a cut.

The index is made in one pass that checks every line, and for large manifests kept beside the manifest as
`.NAME.index`: a line of JSON and an array. Nothing in it is executed, and it counts only for the very file
(size, times, inode) that it was made of.
"""

import contextlib
import gzip
import io
import json
import os
import weakref
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from lhotse.cut import Cut
from tqdm import tqdm

from speechkit.data.manifest import no_manifest, parse_cut
from speechkit.data.tables import Line, as_integers, decode, shuffled
from speechkit.errors import Place, UserError
from speechkit.ops.random import derive_seed

SCHEMA = 1
N_KEPT = 100_000  # cuts from which on an index is worth a file: it takes seconds to make
N_BYTES_SHOWN = 100_000_000  # of a manifest, from which on its indexing shows how far it is
LineAt = Callable[[int, int], bytes]
ENTRY = np.dtype([("begin", "<i8"), ("seconds", "<f8")])


class Index(NamedTuple):
    """Where the lines of a manifest are, and what all that is needed without reading them."""

    begins: np.ndarray  # (n + 1,) int64, bytes; a line ends where the next begins
    seconds: np.ndarray  # (n,) float64
    digest: str


class ManifestTable:
    """The cuts of a `.jsonl`, read line by line where they are needed; of a `.jsonl.gz`, from memory.

    Args:
        path: of the manifest; read and indexed at once, unless an index is kept beside it

    Raises:
        UserError: no manifest, a line that is no cut (`read_cuts`), two cuts of one id, no cuts at all
    """

    def __init__(self, path: str) -> None:
        if not os.path.isfile(path):
            raise no_manifest(path)
        self.path = path
        # Held open: a manifest that is replaced while a run reads it is still read as it was indexed.
        self._file = open(path, "rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._unpacked = _unpack(path, self._file) if path.endswith(".gz") else None
        self._index = _read_index(path, self._file) or self._make_index()
        if not len(self._index.seconds):
            raise UserError(f"no cuts in {path}", do="look at what prepare wrote")
        self.seconds = self._index.seconds

    def digest(self) -> str:
        """Of the ids, durations and texts of the cuts, in order; where their audio lies does not matter."""
        return self._index.digest

    def order(self, *key: object) -> Iterator[int]:
        """All numbers of cuts, shuffled over the whole manifest by a key; in order without one."""
        n = len(self.seconds)
        return as_integers(shuffled(n, derive_seed(*key))) if key else iter(range(n))

    def line(self, number: int) -> Line:
        """One line, from the disk: a read of a few hundred bytes."""
        begin, end = self._index.begins[number : number + 2].tolist()
        text = self._read(begin, end - begin)
        return Line(text, Place(self.path, number + 1), float(self.seconds[number]))

    def _read(self, begin: int, n_bytes: int) -> bytes:
        if self._unpacked is not None:
            return self._unpacked[begin : begin + n_bytes]
        return os.pread(self._file.fileno(), n_bytes, begin)

    def _make_index(self) -> Index:
        lines = self._file if self._unpacked is None else io.BytesIO(self._unpacked)
        size = os.fstat(self._file.fileno()).st_size
        if size < N_BYTES_SHOWN or self._unpacked is not None:
            index = _make(self.path, lines, self._line_at)
        else:
            with tqdm(total=size, unit="B", unit_scale=True, desc=f"indexing {self.path}") as bar:
                index = _make(self.path, _shown(lines, bar), self._line_at)
        if len(index.seconds) >= N_KEPT:
            with contextlib.suppress(OSError):  # a folder one may not write to: indexed anew every time
                _keep_index(self.path, self._file, index)
        return index

    def _line_at(self, begin: int, end: int) -> bytes:
        return self._read(begin, end - begin)


def _unpack(path: str, file: IO[bytes]) -> bytes:
    try:
        with gzip.open(file) as unpacked:
            return unpacked.read()
    except (OSError, EOFError, zlib.error) as error:
        do = "make the manifest anew"
        raise UserError(f"cannot read on: {error}", do=do, place=Place(path, 1)) from error


def _shown(lines: Iterable[bytes], bar: Any) -> Iterator[bytes]:
    for line in lines:
        yield line
        bar.update(len(line))


def _make(path: str, lines: Iterable[bytes], line_at: LineAt) -> Index:
    begins, seconds, hashes = array("q"), array("d"), array("q")
    state, end = blake2b(digest_size=16), 0
    for number, text in enumerate(lines, start=1):
        if not text.isspace():
            place = Place(path, number)
            cut = parse_cut(decode(text, place), place)
            begins.append(end)
            seconds.append(cut.duration)
            hashes.append(hash(cut.id))
            state.update(describe(cut))
        end += len(text)
    begins.append(end)
    index = Index(np.frombuffer(begins, np.int64), np.frombuffer(seconds, np.float64), state.hexdigest())
    _check_ids(path, np.frombuffer(hashes, np.int64), index.begins, line_at)
    return index


def describe(cut: Cut) -> bytes:
    """What a digest of cuts takes of each."""
    text = " ".join(segment.text or "" for segment in cut.supervisions)
    return f"{cut.id}\x1f{cut.duration}\x1f{text}\x1e".encode(errors="surrogatepass")


def _check_ids(path: str, hashes: np.ndarray, begins: np.ndarray, line_at: LineAt) -> None:
    """Refuse two cuts of one id: 8 bytes of each are compared, the ids themselves where these are equal."""
    by_hash = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[by_hash[1:]] == hashes[by_hash[:-1]])
    seen: set[str] = set()
    for number in sorted({*by_hash[same].tolist(), *by_hash[same + 1].tolist()}):
        name = json.loads(line_at(*begins[number : number + 2].tolist()))["id"]
        if name in seen:
            found = f"two cuts with the id {name!r} in {path}"
            raise UserError(found, expected="an id of its own for each cut")
        seen.add(name)


def _index_path(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}.index")


def _identity(file: IO[bytes]) -> list[int]:
    stat = os.fstat(file.fileno())
    # With the time of change, which no program sets at will, and the inode: files get put in place of others.
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _keep_index(path: str, file: IO[bytes], index: Index) -> None:
    entries = np.empty(len(index.begins), ENTRY)
    entries["begin"], entries["seconds"] = index.begins, np.append(index.seconds, 0)
    head = {"schema": SCHEMA, "of": _identity(file), "n_cuts": len(index.seconds), "digest": index.digest}
    unfinished = _index_path(path).with_name(f".{os.getpid()}{_index_path(path).name}")
    try:
        with open(unfinished, "wb") as out:
            # Numbers on a disk are aligned to their size.
            text = json.dumps(head).encode()
            out.write(text.ljust(-(len(text) + 1) % 8 + len(text)) + b"\n")
            entries.tofile(out)
        os.replace(unfinished, _index_path(path))
    finally:
        unfinished.unlink(missing_ok=True)


def _read_index(path: str, file: IO[bytes]) -> Index | None:
    """The index beside a manifest, if there is one and it is this manifest's."""
    try:
        with open(_index_path(path), "rb") as kept:
            first = kept.readline(4096)
            head = json.loads(first)
            if head["schema"] != SCHEMA or head["of"] != _identity(file):
                return None
            n_cuts, digest = int(head["n_cuts"]), str(head["digest"])
            if n_cuts < 1 or os.fstat(kept.fileno()).st_size != len(first) + (n_cuts + 1) * ENTRY.itemsize:
                return None
            # Copied, not mapped: half of each page would be of the other column.
            entries = np.fromfile(kept, ENTRY)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    begins, seconds = entries["begin"].copy(), entries["seconds"][:-1].copy()
    is_whole = (
        (np.diff(begins) > 0).all() and begins[0] >= 0 and (np.isfinite(seconds) & (seconds >= 0)).all()
    )
    return Index(begins, seconds, digest) if is_whole else None
