"""What a manifest of millions of cuts costs: `python tools/bench/manifest.py [--cuts 5000000] [--shards]`.

Writes a synthetic manifest (every cut is a part of one silent file) and reads batches of 200 s from it
through `CutBatches`, shuffled and in buckets as the recipes do, without workers. Each figure comes from a
process of its own: the first start (which makes the index), a later one, a second epoch, resumes, and the
memory while it reads: resident, above that of the process with its libraries, after glibc has handed back
what was freed (it keeps the room of some batches of 13 MB, and not always of as many). Times are seconds of
the processor to seconds by the clock: the first is what an idle machine takes, files being in its memory.
`--shards` writes the index and the lines of shards of 1000 instead, and measures the same; their archives are
one byte, so that no audio can be read from them.
"""

import argparse
import ctypes
import gzip
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

SHARD_SIZE = 1000


def write_manifest(path: Path, n_cuts: int) -> None:
    """Cuts of 2 to 20 s with a text of some 30 words."""
    import soundfile

    audio = path.with_name("silence.wav")
    soundfile.write(audio, np.zeros(20 * 16000, np.int16), 16000)
    seconds = np.random.default_rng(0).integers(2000, 20000, n_cuts) / 1000
    with open(path, "w") as file:
        for number, duration in enumerate(seconds.tolist()):
            file.write(describe_cut(number, duration, "file", str(audio)) + "\n")


def describe_cut(number: int, seconds: float, kind: str, source: str) -> str:
    name = f"speaker{number % 9973:04d}-chapter{number % 131:03d}-{number:08d}"
    text = " ".join(["something"] * int(1.5 * seconds))
    segment = f'{{"id": "{name}", "recording_id": "{name}", "start": 0.0, "duration": {seconds}, '
    segment += f'"channel": 0, "text": "{text}", "language": "English", "speaker": "{name[:11]}"}}'
    recording = (
        f'{{"id": "{name}", "sources": [{{"type": "{kind}", "channels": [0], "source": "{source}"}}], '
    )
    recording += '"sampling_rate": 16000, "num_samples": 320000, "duration": 20.0, "channel_ids": [0]}'
    return (
        f'{{"id": "{name}", "start": 0.0, "duration": {seconds}, "channel": 0, '
        f'"supervisions": [{segment}], "recording": {recording}, "type": "MonoCut"}}'
    )


def write_shards(folder: Path, n_cuts: int) -> None:
    """Shards without their audio: the index, the durations and the lines."""
    (folder / "shar").mkdir(parents=True)
    seconds = np.random.default_rng(0).integers(2000, 20000, n_cuts) / 1000
    shards = []
    for number, first in enumerate(range(0, n_cuts, SHARD_SIZE)):
        own = seconds[first : first + SHARD_SIZE].tolist()
        lines = [describe_cut(first + i, each, "shar", f"0:1:{0:08x}") + "\n" for i, each in enumerate(own)]
        packed = gzip.compress("".join(lines).encode(), 6, mtime=0)
        (folder / "shar" / f"cuts.{number:06d}.jsonl.gz").write_bytes(packed)
        (folder / "shar" / f"recording.{number:06d}.tar").write_bytes(b"\0")
        sha256 = hashlib.sha256(packed).hexdigest()
        shards.append({"n_cuts": len(own), "seconds": sum(own), "cuts_sha256": sha256, "tar_bytes": 1})
    np.save(folder / "seconds.npy", seconds)
    (folder / "index.json").write_text(json.dumps({"schema": 1, "digest": "bench", "shards": shards}))


def resident_mb() -> float:
    """Resident memory of this process, with what is mapped from files, without what is free."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def now() -> tuple[float, float]:
    """By the clock, and of the processor."""
    return time.perf_counter(), time.process_time()


def seconds(start: tuple[float, float], end: tuple[float, float]) -> list[float]:
    """From one moment to another: the processor's, which other programs do not lengthen, and the clock's."""
    return [round(end[1] - start[1], 2), round(end[0] - start[0], 2)]


def measure(manifest: str, epoch: int, skip: int, n_batches: int) -> dict[str, Any]:
    """One start, in this process: seconds to a batch, memory there and after each quarter of the batches."""
    from lhotse.dataset import DynamicBucketingSampler

    from speechkit.data import CutBatches

    sampler = partial(DynamicBucketingSampler, max_duration=200.0, num_buckets=20, shuffle=True)
    before, started = resident_mb(), now()
    data = CutBatches(manifest, sampler, 16000)
    n_cuts = data.n_cuts()
    opened = now()
    batches = data.iterate(seed=1, epoch=epoch, skip=skip)
    next(batches)
    first = now()
    memory = [resident_mb() - before]
    for _ in range(4 if n_batches else 0):
        for _ in range(n_batches // 4):
            next(batches)
        memory.append(resident_mb() - before)
    return {
        "n_cuts": n_cuts,
        "open_seconds": seconds(started, opened),
        "first_batch_seconds": seconds(opened, first),
        "memory_mb": [round(each) for each in memory],
    }


def measure_apart(*arguments: object) -> dict:
    """`measure` in a new process."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_all(folder: Path, n_cuts: int, n_batches: int, skips: list[int], shards: bool) -> dict:
    manifest = folder / ("shards" if shards else "cuts.jsonl")
    (write_shards if shards else write_manifest)(manifest, n_cuts)
    result: dict = {"read": "shards" if shards else "manifest", "cuts": n_cuts}
    if not shards:
        made = measure_apart(manifest, 1, 0, 0)
        result["gigabytes"] = round(manifest.stat().st_size / 1e9, 2)
        result["first_index_seconds"] = made["open_seconds"]
    later = measure_apart(manifest, 1, 0, n_batches)
    second = measure_apart(manifest, 2, 0, 0)
    result["open_seconds"] = later["open_seconds"]
    result["epoch_1_first_batch_seconds"] = later["first_batch_seconds"]
    result["epoch_2_first_batch_seconds"] = second["first_batch_seconds"]
    for skip in skips:
        resumed = measure_apart(manifest, 1, skip, 0)
        result[f"resume_at_batch_{skip}_seconds"] = resumed["first_batch_seconds"]
    result["memory_mb_at_first_batch"], *result["memory_mb_after"] = later["memory_mb"]
    result["memory_mb_after_batches"] = [n_batches * k // 4 for k in (1, 2, 3, 4)]
    return result


def describe_machine() -> dict[str, str]:
    commit = ["git", "rev-parse", "--short", "HEAD"]
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "commit": subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cuts", type=int, default=5_000_000)
    parser.add_argument("--batches", type=int, default=4000)
    parser.add_argument("--skips", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--shards", action="store_true")
    parser.add_argument("--folder", help="for the manifest, 5 GB for 5 million cuts")
    parser.add_argument(
        "--measure", nargs=4, metavar=("MANIFEST", "EPOCH", "SKIP", "BATCHES"), help="one process"
    )
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], *map(int, options.measure[1:]))))
    else:
        with tempfile.TemporaryDirectory(dir=options.folder) as own:
            found = measure_all(Path(own), options.cuts, options.batches, options.skips, options.shards)
        print(json.dumps(found | describe_machine(), indent=1))
