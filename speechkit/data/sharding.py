"""`speechkit shard`: a manifest to shards, in several processes, that goes on where it was stopped."""

import fcntl
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from tqdm import tqdm

from speechkit.data.indexing import ManifestTable
from speechkit.data.packing import Format, Packed, pack, whole
from speechkit.data.shards import SCHEMA, Shard
from speechkit.data.signals import hold_signals, leave_signals_to_parent
from speechkit.data.tables import Line
from speechkit.errors import UserError

FORMATS = ("flac", "wav", "original")


@dataclass(frozen=True)
class Sharded:
    """What was written."""

    n_cuts: int
    seconds: float
    n_shards: int
    n_bytes: int  # of audio archives
    skipped: list[list[str]]  # id, reason, detail of the cuts that are left out


def write_shards(
    manifest: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    shard_size: int = 1000,
    audio_format: Format = "flac",
    n_workers: int = 0,
) -> Sharded:
    """Write the cuts and the audio of a manifest as shards, which `CutBatches` reads in its place.

    Every shard is written whole or not at all, and the folder is one of shards once its index is there.
    Stopped before (killed, too), the same call goes on with the shards that are missing.

    Args:
        manifest: `.jsonl` or `.jsonl.gz` of cuts
        folder: new or empty, or one where the same call was stopped
        shard_size: cuts in a shard; of 1000 utterances of 12 s a shard has some 200 MB as FLAC of 16 kHz
        audio_format: "flac" or "wav" hold the samples as they are (as WAV where FLAC cannot: float32);
            "original" copies files unchanged where a cut is a whole one
        n_workers: processes beside this one

    Raises:
        UserError: no such manifest, a folder of something else, cuts that shards cannot hold
    """
    if shard_size < 1:
        raise UserError(f"shard_size: {shard_size}", expected="1 or more")
    if audio_format not in FORMATS:
        raise UserError(f"format: {audio_format!r}", expected=" or ".join(FORMATS))
    table, path = ManifestTable(os.fspath(manifest)), Path(folder)
    plan = {"schema": SCHEMA, "manifest": table.digest(), "shard_size": shard_size, "format": audio_format}
    _begin(path, plan)
    with _alone(path):
        if not (path / "index.json").is_file():
            _write_missing(table, path, shard_size, audio_format, n_workers)
            _write_index(path, plan, -(-len(table.seconds) // shard_size))
        shutil.rmtree(path / "unfinished", ignore_errors=True)
        return _describe(path)


def _begin(folder: Path, plan: dict[str, object]) -> None:
    """See that a folder is this plan's, or nobody's: then make it so."""
    path = folder / "plan.json"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{os.fspath(folder)!r} is a file", expected="a folder for the shards")
    if path.is_file():
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = None
        if found != plan:
            found_text = f"{os.fspath(folder)!r} has shards of another manifest or other settings"
            raise UserError(found_text, do="give another folder, or remove this one")
    elif folder.is_dir() and any(not each.name.startswith(".unfinished.") for each in folder.iterdir()):
        raise UserError(f"{os.fspath(folder)!r} is not empty", do="give a folder for the shards alone")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write(json.dumps(plan).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with open(folder / "plan.json", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            found = f"another process is writing shards to {os.fspath(folder)!r}"
            raise UserError(found, do="wait for it, or end it") from error
        yield


def _write_missing(
    table: ManifestTable, folder: Path, shard_size: int, audio_format: Format, n_workers: int
) -> None:
    for name in ("shar", "unfinished"):
        (folder / name).mkdir(exist_ok=True)
    for left in folder.glob("*/.unfinished.*"):
        left.unlink()
    n_cuts = len(table.seconds)

    def jobs() -> Iterator[tuple[int, list[Line]]]:
        for number, first in enumerate(range(0, n_cuts, shard_size)):
            if not _record(folder, number).is_file():
                yield number, [table.line(row) for row in range(first, min(first + shard_size, n_cuts))]

    n_done = shard_size * len(list((folder / "unfinished").glob("*.json")))
    with tqdm(total=n_cuts, initial=min(n_done, n_cuts), unit="cut", delay=1, desc="shards") as bar:
        for n_written in _run(jobs(), folder, audio_format, n_workers):
            bar.update(n_written)


def _run(
    jobs: Iterator[tuple[int, list[Line]]], folder: Path, audio_format: Format, n_workers: int
) -> Iterator[int]:
    if n_workers == 0:
        yield from (_write(folder, number, lines, audio_format) for number, lines in jobs)
        return
    running: deque[Future[int]] = deque()
    executor = ProcessPoolExecutor(n_workers, initializer=leave_signals_to_parent)
    try:
        for number, lines in jobs:
            with hold_signals():  # processes start as they are needed
                running.append(executor.submit(_write, folder, number, lines, audio_format))
            if len(running) > 2 * n_workers:  # no more in memory than these
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool as error:
        do = "look at the memory; the same command goes on"
        raise UserError("a process that was writing shards was ended", do=do) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _write(folder: Path, number: int, lines: list[Line], audio_format: Format) -> int:
    packed = pack(folder, number, lines, audio_format)
    with whole(_record(folder, number)) as file:
        file.write(json.dumps(packed).encode())
    return len(lines)


def _record(folder: Path, number: int) -> Path:
    """What is known of a shard that is written, until the index is."""
    return folder / "unfinished" / f"{number:06d}.json"


def _write_index(folder: Path, plan: dict[str, object], n_shards: int) -> None:
    state = blake2b(json.dumps(plan).encode(), digest_size=16)
    shards, skipped = [], []
    seconds = []
    for number in range(n_shards):
        shard, durations, digest, left_out = Packed(*json.loads(_record(folder, number).read_bytes()))
        shards.append(Shard(*shard)._asdict())
        seconds.append(np.array(durations, np.float64))
        skipped += left_out
        state.update(f"{len(durations)} {digest}\n".encode())
    with whole(folder / "seconds.npy") as file:
        np.save(file, np.concatenate(seconds), allow_pickle=False)
    index = plan | {"digest": state.hexdigest(), "skipped": skipped, "shards": shards}
    with whole(folder / "index.json") as file:
        file.write(json.dumps(index, ensure_ascii=False).encode())


def _describe(folder: Path) -> Sharded:
    index = json.loads((folder / "index.json").read_bytes())
    shards = [Shard(**shard) for shard in index["shards"]]
    return Sharded(
        n_cuts=sum(shard.n_cuts for shard in shards),
        seconds=sum(shard.seconds for shard in shards),
        n_shards=len(shards),
        n_bytes=sum(shard.tar_bytes for shard in shards),
        skipped=index["skipped"],
    )
