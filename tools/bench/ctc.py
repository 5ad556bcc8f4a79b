"""CTC's loss in the open beside torch's kernel: `python tools/bench/ctc.py [--rounds 15] [--device cuda]`.

Forward and backward through log_softmax, float32. Milliseconds: seconds of the processor on one thread (of
the clock on a GPU), medians over rounds that alternate. Memory: what a step needs at most above its input,
by the peak of the resident set of a process of its own (of the allocator on a GPU). Error: the largest
difference of the gradient from that of torch's kernel in float64.
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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit.losses import ctc_forward_backward, ctc_loss

PROJECT = Path(__file__).resolve().parents[2]
LOSSES: dict[str, Callable[..., Tensor]] = {"torch": ctc_loss, "ours": ctc_forward_backward}
CASES = ((1, 100, 32, 20), (16, 400, 32, 60), (8, 1000, 500, 120), (32, 1000, 500, 120))  # B, T, V, U


def make_step(route: str, case: tuple[int, ...], device: str) -> Callable[[], Tensor]:
    """A step that gives the gradient; texts of half the length to the full, frames too."""
    generator = torch.Generator().manual_seed(0)
    n, n_frames, n_tokens, n_longest = case
    logits = torch.randn(n, n_frames, n_tokens, generator=generator).to(device).requires_grad_()
    lengths = torch.randint(n_frames // 2, n_frames + 1, (n,), generator=generator).to(device)
    targets = torch.randint(1, n_tokens, (n, n_longest), generator=generator).to(device)
    sizes = torch.randint(n_longest // 2, n_longest + 1, (n,), generator=generator).to(device)

    def step(dtype: torch.dtype = torch.float32) -> Tensor:
        logits.grad = None
        loss = LOSSES[route](logits.to(dtype).log_softmax(-1), lengths, targets, sizes)
        loss.sum().backward()
        assert logits.grad is not None
        return logits.grad

    return step


def measure(case: tuple[int, ...], n_rounds: int, device: str) -> dict[str, list[float]]:
    """Milliseconds by route, round by round; the first round warms up."""
    steps = {route: make_step(route, case, device) for route in LOSSES}
    clock = time.process_time if device == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {route: [] for route in steps}
    for number in range(n_rounds + 1):
        for route, step in steps.items():
            started = clock()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            if number:
                times[route].append(1000 * (clock() - started))
    return times


def errors(case: tuple[int, ...], device: str) -> dict[str, str]:
    """How far the gradients are from the truth."""
    truth = make_step("torch", case, device)(torch.float64)
    return {
        f"{route}, error": f"{(make_step(route, case, device)() - truth).abs().max().item():.0e}"
        for route in LOSSES
    }


def peak_of(route: str, case: tuple[int, ...], device: str) -> float:
    """MiB that a step needs above its input, in this process."""
    step = make_step(route, case, device)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    make_step(route, CASES[0], device)()  # libraries make their buffers at the first call
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    resident = status("VmRSS")
    step()
    return status("VmHWM") - resident


def status(key: str) -> float:
    """MiB, from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def peak_elsewhere(route: str, number: int, device: str) -> float:
    """`peak_of` in a process of its own, that gives every freed block of 64 KiB back."""
    command = [sys.executable, __file__, "--device", device, "--peak", route, "--case", str(number)]
    blocks = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}
    found = subprocess.run(command, env=os.environ | blocks, capture_output=True, text=True, check=True)
    return float(found.stdout)


def describe(number: int, n_rounds: int, device: str) -> dict[str, Any]:
    """A row of the table."""
    case = CASES[number]
    times = measure(case, n_rounds, device)
    ratios = sorted(ours / torchs for ours, torchs in zip(times["ours"], times["torch"], strict=True))
    row: dict[str, Any] = dict(zip(("utterances", "frames", "tokens", "longest text"), case, strict=True))
    row |= {f"{route}, ms": f"{statistics.median(each):.1f}" for route, each in times.items()}
    row["ours / torch"] = f"{statistics.median(ratios):.2f}"
    row["quartiles"] = [f"{ratios[len(ratios) * k // 4]:.2f}" for k in (1, 3)]
    row |= {f"{route}, MiB": f"{peak_elsewhere(route, number, device):.0f}" for route in LOSSES}
    return row | errors(case, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--peak", choices=tuple(LOSSES), help="the memory of one route only")
    parser.add_argument("--case", type=int, default=0, help="and of this case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        print(peak_of(options.peak, CASES[options.case], options.device))
        return
    commit = ["git", "rev-parse", "--short", "HEAD"]
    found = {
        "torch": f"torch {torch.__version__}",
        "machine": platform.machine() if options.device == "cpu" else torch.cuda.get_device_name(),
        "commit": "commit "
        + subprocess.run(commit, cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip(),
    }
    rows = [describe(number, options.rounds, options.device) for number in range(len(CASES))]
    rows.append({"utterances": f"({options.rounds} rounds, one thread, {', '.join(found.values())})"})
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
