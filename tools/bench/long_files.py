"""Files of any length by `speechkit separate`: `python tools/bench/long_files.py PART RUN...`, PART one of:

`memory`: 1, 10 and 30 minutes (`--minutes`), each in a process of its own: the largest memory of the process,
and how many seconds of the processor it takes for a minute of audio, on one thread.

`windows`: the mixtures of at least 10 s, cut to 10 s, heard in windows of 4, 6 and 8 s that share half,
beside the whole: how many dB the difference is below the whole, sources in the best order; the median and the
least.

`published`: no RUN: the networks of `configs/separators` as published, untrained, over one window of 16 s at
8 kHz, each in a process of its own.

RUN is a run of separation; what it separates are the mixtures of its test set, one after another.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, permutations
from pathlib import Path

import numpy as np
import soundfile
import torch

import speechkit
from speechkit import config
from speechkit.data import read_cuts
from speechkit.ops.stitching import fit_to_mixture
from speechkit.tasks import WindowPlan

PIECES = Path(__file__).resolve().parents[2] / "configs" / "separators"
PUBLISHED = ("conv_tasnet", "dprnn", "dptnet", "sepformer")
WINDOWS_SECONDS = (4, 6, 8)
WHOLE_SECONDS = 10
Row = dict[str, str]


def read_mixtures(run: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Samples (N,) and rate of each mixture of the test set."""
    for cut in read_cuts(run / "manifests" / "tt.jsonl"):
        yield soundfile.read(cut.recording.sources[0].source, dtype="float32")


def write_minutes(run: Path, path: Path, minutes: float) -> None:
    """The run's test mixtures, over and over."""
    mixtures = list(read_mixtures(run))
    rate = mixtures[0][1]
    left = round(60 * minutes * rate)
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16") as file:
        for samples, _ in cycle(mixtures):
            file.write(samples[:left])
            left -= len(samples[:left])
            if not left:
                return


def measure_memory(run: Path, minutes: list[float]) -> Iterator[Row]:
    for each in minutes:
        with tempfile.TemporaryDirectory() as folder:
            write_minutes(run, Path(folder) / "talk.wav", each)
            command = [sys.executable, __file__, "memory", str(run), "--file", f"{folder}/talk.wav"]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, megabytes = map(float, told.split())
        yield {
            "run": run.absolute().name,
            "minutes": f"{each:g}",
            "memory of the process, MB": f"{megabytes:.0f}",
            "seconds for a minute": f"{seconds / each:.1f}",
        }


def separate_once(run: Path, path: Path) -> str:
    """Seconds of the processor, and the largest memory of this process in megabytes."""
    torch.set_num_threads(1)
    model = speechkit.load(run)
    begin = time.process_time()
    model.separate_file(path, path.parent / "out")
    return f"{time.process_time() - begin} {find_peak()}"


def find_peak() -> float:
    """The largest memory of this process so far, in megabytes."""
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024


def measure_published() -> Iterator[Row]:
    for piece in PUBLISHED:
        command = [sys.executable, __file__, "published", "--piece", piece]
        yield json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def hear_once(piece: str) -> Row:
    """One window of noise, in this process."""
    torch.set_num_threads(1)
    document = config.read(PIECES / f"{piece}.yaml", ["--n_sources", "2"])
    net = config.build(document, only=["separator"]).values["separator"].eval()
    begin = time.process_time()
    with torch.inference_mode():
        net(torch.randn(1, 16 * 8000) / 10, torch.tensor([16 * 8000]))
    return {
        "network": piece,
        "parameters": f"{sum(weight.numel() for weight in net.parameters()):,}",
        "memory of the process, MB": f"{find_peak():.0f}",
        "seconds for a window": f"{time.process_time() - begin:.1f}",
    }


def measure_windows(run: Path) -> Iterator[Row]:
    model = speechkit.load(run)
    long = [
        (x[: WHOLE_SECONDS * rate], rate) for x, rate in read_mixtures(run) if len(x) >= WHOLE_SECONDS * rate
    ]
    for seconds in WINDOWS_SECONDS:
        below = [compare(model, *each, WindowPlan(seconds, seconds / 2)) for each in long]
        yield {
            "run": run.absolute().name,
            "windows, s": f"{seconds}",
            "mixtures": f"{len(long)}",
            "below the whole, dB": f"{np.median(below):.1f}",
            "least, dB": f"{min(below):.1f}",
        }


def compare(model, samples: np.ndarray, rate: int, plan: WindowPlan) -> float:
    """How many dB the difference of a file in windows from the whole is below the whole."""
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(f"{folder}/talk.wav", samples, rate, subtype="FLOAT")
        done = model.separate_file(f"{folder}/talk.wav", folder, plan)
        parts = np.stack([soundfile.read(path)[0] for path in done.paths])
    whole = fit_to_mixture(model.separate(samples, rate), torch.from_numpy(samples)).numpy()
    least = min(np.sum((parts[list(order)] - whole) ** 2) for order in permutations(range(len(parts))))
    return float(10 * np.log10(np.sum(whole**2) / max(least, 1e-20)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("memory", "windows", "published"))
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 30])
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--piece", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        print(json.dumps(hear_once(options.piece)))
        return
    if options.file:
        print(separate_once(options.runs[0], options.file))
        return
    rows = list(measure_published()) if options.part == "published" else []
    for run in options.runs:
        rows += measure_memory(run, options.minutes) if options.part == "memory" else measure_windows(run)
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
