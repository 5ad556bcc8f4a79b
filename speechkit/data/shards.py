"""Reading what `speechkit shard` wrote: Lhotse's Shar format, and an index of it.

FOLDER/index.json        what there is: numbers of cuts, bytes and checksums, shard by shard
FOLDER/seconds.npy       the duration of every cut
FOLDER/shar/cuts.000000.jsonl.gz, recording.000000.tar, ...    Lhotse reads it by `CutSet.from_shar(in_dir=)`

Each line of a shard's cuts says where in the tar its audio lies, so that batches are composed without opening
an archive, a resume skips without reading one, and workers read only the bytes of their own cuts. The headers
of the archives are never interpreted.
"""

import gzip
import hashlib
import json
import math
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechkit.data.tables import Line, as_integers, shuffled
from speechkit.errors import Place, UserError
from speechkit.ops.random import derive_seed

SCHEMA = 1
# Cuts are shuffled over so many consecutive shards of the epoch's order.
N_SHARDS_IN_WINDOW = 10
# Lines in memory: more than the window and a bucketing sampler's buffer (20,000 cuts) together.
N_LINES_IN_MEMORY = 60_000


class Shard(NamedTuple):
    """One line of the index."""

    n_cuts: int
    seconds: float
    cuts_sha256: str
    tar_bytes: int


def cuts_file(folder: str | Path, number: int) -> Path:
    """Where the cuts of a shard are."""
    return Path(folder, "shar", f"cuts.{number:06d}.jsonl.gz")


def tar_file(folder: str | Path, number: int) -> Path:
    """Where the audio of a shard is."""
    return Path(folder, "shar", f"recording.{number:06d}.tar")


class ShardTable:
    """The cuts of a folder of shards, by number.

    Args:
        folder: that `speechkit shard` wrote; only its index is read at once

    Raises:
        UserError: no such folder, an index that is damaged; later, files that are not those of the index
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.shards, self._digest = read_index(folder)
        counts = [shard.n_cuts for shard in self.shards]
        # (n_shards + 1,) the number of each shard's first cut
        self._firsts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.seconds = _read_seconds(folder, int(self._firsts[-1]))
        if not len(self.seconds):
            raise UserError(f"no cuts in {folder}", do="shard a manifest that has some")
        self._lines: OrderedDict[int, list[bytes]] = OrderedDict()
        self._n_shards_in_memory = max(2, N_LINES_IN_MEMORY // max(counts))

    def digest(self) -> str:
        """Of the cuts and of how they are sharded: the order of an epoch depends on both."""
        return self._digest

    def order(self, *key: object) -> Iterator[int]:
        """All numbers of cuts; by a key, shards are shuffled, and cuts within every ten shards of these."""
        if not key:
            yield from range(len(self.seconds))
            return
        shards = shuffled(len(self.shards), derive_seed(*key))
        for first in range(0, len(shards), N_SHARDS_IN_WINDOW):
            window = shards[first : first + N_SHARDS_IN_WINDOW].tolist()
            cuts = np.concatenate([np.arange(*self._firsts[shard : shard + 2]) for shard in window])
            yield from as_integers(cuts[shuffled(len(cuts), derive_seed(*key, "cuts", window[0]))])

    def line(self, number: int) -> Line:
        """One cut; the lines of its shard are read at once, and kept for those that follow."""
        shard = int(np.searchsorted(self._firsts, number, side="right")) - 1
        if shard not in self._lines:
            self._lines[shard] = self._read(shard)
            while len(self._lines) > self._n_shards_in_memory:
                self._lines.popitem(last=False)
        self._lines.move_to_end(shard)
        row = number - int(self._firsts[shard])
        place = Place(str(cuts_file(self.folder, shard)), row + 1)
        tar = str(tar_file(self.folder, shard))
        return Line(self._lines[shard][row], place, float(self.seconds[number]), tar)

    def _read(self, number: int) -> list[bytes]:
        about, path, tar = self.shards[number], cuts_file(self.folder, number), tar_file(self.folder, number)
        do = "copy the shards again, or make them anew"
        if not path.is_file() or not tar.is_file():
            missing = path if not path.is_file() else tar
            raise UserError(f"no file {os.fspath(missing)!r}, of which the index knows", do=do)
        packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != about.cuts_sha256:
            raise UserError(f"{path} is not the file that the index knows", do=do)
        if tar.stat().st_size != about.tar_bytes:
            found = f"{tar} has {tar.stat().st_size} bytes"
            raise UserError(found, expected=f"{about.tar_bytes}, as the index says", do=do)
        try:
            lines = gzip.decompress(packed).splitlines(keepends=True)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: {error}", do=do) from error
        if len(lines) != about.n_cuts:
            raise UserError(f"{path} has {len(lines)} cuts", expected=f"{about.n_cuts}", do=do)
        return lines


def read_index(folder: str | Path) -> tuple[list[Shard], str]:
    """What FOLDER/index.json says: the shards and the digest; a UserError if it says nothing sensible."""
    path = Path(folder, "index.json")
    if not path.is_file():
        do = "write shards by `speechkit shard MANIFEST FOLDER` (the same command goes on after a stop)"
        raise UserError(f"no shards in {os.fspath(folder)!r}: it has no index.json", do=do)
    try:
        found = json.loads(path.read_bytes())
        if found["schema"] != SCHEMA:
            raise ValueError(f"schema {found['schema']}")
        shards = [_shard(each) for each in found["shards"]]
        return shards, str(found["digest"])
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _shard(found: dict[str, Any]) -> Shard:
    shard = Shard(**found)
    for number in (shard.n_cuts, shard.tar_bytes):
        if type(number) is not int or not 0 <= number < 2**53:
            raise ValueError(f"{number} cuts or bytes")
    if not (isinstance(shard.seconds, float) and math.isfinite(shard.seconds)):
        raise ValueError(f"{shard.seconds} seconds")
    return shard


def _read_seconds(folder: str | Path, n_cuts: int) -> np.ndarray:
    path = Path(folder, "seconds.npy")
    try:
        # Mapped: the processes of a machine share it. Never a pickle.
        seconds = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(seconds, np.ndarray) or seconds.dtype != np.float64 or seconds.shape != (n_cuts,):
        raise _damaged(path, f"not the durations of {n_cuts} cuts")
    if not (np.isfinite(seconds) & (seconds >= 0)).all():
        raise _damaged(path, "durations that make no sense")
    return seconds


def _damaged(path: Path, found: str) -> UserError:
    do = "copy it again, or make the shards anew in an empty folder"
    return UserError(f"{os.fspath(path)} is damaged: {found}", do=do)
