"""What layers over an algebra cost: `python tools/bench/layers.py PART [--rounds 9]`, PART one of:

`recurrent`: both directions, 8 items of 400 frames, 160 inputs, 256 real hidden units, beside torch's layer
of the same real width and SpeechBrain's. `products`: linear layers over 3,200 rows, and convolutions of 3
taps over 8 items of 400 frames, beside torch's of the same real width. `routes`: ours by the block matrix and
by the bilinear product, for `BILINEAR_WIDTH`. Forward and backward on two threads (or `--threads`), in one
process, rounds that alternate; medians of milliseconds and of the rounds' ratios. On one thread the
processor's time counts, on more the clock's.
`memory`: what the same steps need at most above their input (parameters, gradients, and all that is allocated
on the way): the peak of the resident set, in a process that gives every freed block of 64 KiB back.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from speechkit import nnet
from speechkit.nnet import hyper_weight

PROJECT = Path(__file__).resolve().parents[2]
N_ITEMS, N_FRAMES, N_INPUTS, N_HIDDEN, N_TAPS = 8, 400, 160, 256, 3
SHAPE = (N_ITEMS, N_FRAMES, N_INPUTS)
WIDTHS = (512, 1024, 2048)
PARTS = {"C": 2, "Q": 4}
Make = Callable[[], nn.Module]


def recurrent_makers() -> dict[str, tuple[Make, tuple[int, ...]]]:
    """Each cell by torch and by us."""
    makers: dict[str, Make] = {}
    for cell in ("RNN", "LSTM", "GRU", "LiGRU"):
        if cell == "LiGRU":
            makers["LiGRU, ours"] = partial(nnet.LiGRU, N_HIDDEN, SHAPE, bidirectional=True)
        else:
            kernel = getattr(nn, cell)
            makers[f"{cell}, torch"] = partial(
                kernel, N_INPUTS, N_HIDDEN, batch_first=True, bidirectional=True
            )
        for letter, n_parts in PARTS.items():
            layer = getattr(nnet, letter + cell)
            makers[f"{letter}{cell}, ours"] = partial(layer, N_HIDDEN // n_parts, SHAPE, bidirectional=True)
    return {name: (make, SHAPE) for name, make in makers.items()}


def speechbrain_makers() -> dict[str, tuple[Make, tuple[int, ...]]]:
    """SpeechBrain's layers as a user calls them; it has no complex or quaternion GRU."""
    from speechbrain.nnet import RNN
    from speechbrain.nnet.complex_networks import c_RNN
    from speechbrain.nnet.quaternion_networks import q_RNN

    makers: dict[str, Make] = {"LiGRU, SpeechBrain": partial(RNN.LiGRU, N_HIDDEN, SHAPE, bidirectional=True)}
    for letter, room in (("C", c_RNN), ("Q", q_RNN)):
        for cell in ("RNN", "LSTM", "LiGRU"):
            layer = getattr(room, letter + cell)
            makers[f"{letter}{cell}, SpeechBrain"] = partial(
                layer, N_HIDDEN // PARTS[letter], SHAPE, bidirectional=True
            )
    return {name: (make, SHAPE) for name, make in makers.items()}


def product_makers(widths: tuple[int, ...] = WIDTHS) -> dict[str, tuple[Make, tuple[int, ...]]]:
    """Linear layers and convolutions of one real width, by torch and by us."""
    makers: dict[str, tuple[Make, tuple[int, ...]]] = {}
    for width in widths:
        rows, frames = (N_ITEMS * N_FRAMES, width), (N_ITEMS, N_FRAMES, width)
        makers[f"Linear {width}, torch"] = partial(nn.Linear, width, width), rows
        makers[f"Conv1d {width}, torch"] = partial(RealConv1d, width), frames
        for letter, n_parts in PARTS.items():
            linear, conv = (getattr(nnet, letter + kind) for kind in ("Linear", "Conv1d"))
            makers[f"{letter}Linear {width}, ours"] = partial(linear, width // n_parts, rows), rows
            makers[f"{letter}Conv1d {width}, ours"] = partial(conv, width // n_parts, N_TAPS, frames), frames
    return makers


class RealConv1d(nn.Module):
    """torch's convolution over the same (B, T, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, N_TAPS, padding=N_TAPS // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


def now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def make_step(make: Make, shape: tuple[int, ...]) -> Callable[[], None]:
    """Forward and backward, to the input too, as inside a net."""
    layer, x = make(), torch.randn(shape, requires_grad=True)

    def step() -> None:
        y = layer(x)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(torch.ones_like(y))
        x.grad = None
        layer.zero_grad()

    return step


def measure(makers: dict[str, tuple[Make, tuple[int, ...]]], n_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each step, round by round; the first round warms up."""
    steps = {name: make_step(make, shape) for name, (make, shape) in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(n_rounds + 1):
        for name, step in steps.items():
            started = now()
            step()
            if number:
                times[name].append(1000 * (now() - started))
    return times


def ratio(times: dict[str, list[float]], above: str, below: str) -> str:
    """The median over rounds, with the quartiles."""
    if below not in times or above not in times:
        return ""
    ratios = sorted(a / b for a, b in zip(times[above], times[below], strict=True))
    low, high = (ratios[len(ratios) * k // 4] for k in (1, 3))
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def describe(times: dict[str, list[float]]) -> list[dict[str, str]]:
    """A row for each of our layers, with those that it stands beside."""
    rows = []
    for name in (each.removesuffix(", ours") for each in times if each.endswith(", ours")):
        real = f"{name if name == 'LiGRU' else name[1:]}, torch"
        row = {"layer": name}
        for who, key in (("ours", f"{name}, ours"), ("torch", real), ("SpeechBrain", f"{name}, SpeechBrain")):
            row[f"{who}, ms"] = f"{statistics.median(times[key]):.1f}" if key in times else ""
        row["ours / torch"] = ratio(times, f"{name}, ours", real)
        row["SpeechBrain / ours"] = ratio(times, f"{name}, SpeechBrain", f"{name}, ours")
        rows.append({key: value for key, value in row.items() if value})
    return rows


def measure_routes(n_rounds: int) -> list[dict[str, str]]:
    """A row for each layer and width: milliseconds by both routes, and the median of the rounds' ratios."""
    makers = product_makers((128, 256, 512, 1024))
    rows = []
    for name, (make, shape) in makers.items():
        if name.endswith("ours"):
            step, times = make_step(make, shape), {"block": [], "bilinear": []}
            for number in range(n_rounds + 1):
                for route, width in (("block", 10**9), ("bilinear", 1)):
                    for widths in hyper_weight.BILINEAR_WIDTH.values():
                        widths.update(complex=width, quaternion=width)
                    started = now()
                    step()
                    times[route] += [1000 * (now() - started)] if number else []
            medians = {f"{key}, ms": f"{statistics.median(each):.1f}" for key, each in times.items()}
            row = {"layer": name.removesuffix(", ours"), **medians}
            rows.append(row | {"bilinear / block": ratio(times, "bilinear", "block")})
    return rows


def all_makers() -> dict[str, tuple[Make, tuple[int, ...]]]:
    return recurrent_makers() | product_makers()


def peak_of(name: str) -> float:
    """MiB that a layer and its step need, in this process and by this platform's /proc."""
    make, shape = all_makers()[name]
    step = make_step(make, shape)
    step()  # libraries make their buffers at the first call
    parameters = sum(each.numel() * each.element_size() for each in make().parameters()) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    step()
    return parameters + resident("VmHWM") - before


def resident(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def measure_memory() -> list[dict[str, str]]:
    """Each layer in a process of its own."""
    blocks = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}
    peaks = {}
    for name in all_makers():
        command = [sys.executable, __file__, "peak", "--layer", name]
        found = subprocess.run(command, env=os.environ | blocks, capture_output=True, text=True, check=True)
        peaks[name] = [float(found.stdout)]
    rows = describe(peaks)
    return [{key.replace("ms", "MiB"): value.split(" (")[0] for key, value in row.items()} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("recurrent", "products", "routes", "memory", "peak"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layer", help="for one peak")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.part == "peak":
        print(peak_of(options.layer))
        return
    if options.part == "memory":
        rows = measure_memory()
    elif options.part == "routes":
        rows = measure_routes(options.rounds)
    else:
        is_recurrent = options.part == "recurrent"
        makers = recurrent_makers() | speechbrain_makers() if is_recurrent else product_makers()
        rows = describe(measure(makers, options.rounds))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    how = (
        f"({options.rounds} rounds, {options.threads} threads, torch {torch.__version__}, "
        f"SpeechBrain {version('speechbrain')}, {platform.machine()}, {os.cpu_count()} cores, "
        f"commit {commit.stdout.strip()})"
    )
    result = {"rows": [*rows, {"layer": how}]}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
