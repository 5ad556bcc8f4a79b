"""What a small Conformer's training step on the CPU costs: `python tools/bench/conformer_step.py`.

The step (forward, CTC loss, backward) of 3.4 million weights on batches of 30 s, autocast to bf16, two
threads, as `configs/recognizers/conformer.yaml` with dropout 0.1. Three ways: as torch is by default; with
freed memory kept (`training/execution.py`); and with `nnet.Dropout` too, in place of torch's. What the C
library does with freed memory cannot be undone, so each way is a process of its own; the processes alternate,
and the figures are medians over rounds of each process's median, the ratios those within a round.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from speechkit.losses import ctc_loss
from speechkit.models import ConformerEncoder
from speechkit.nnet import Dropout
from speechkit.training.execution import keep_freed_memory

PROJECT = Path(__file__).resolve().parents[2]
WAYS = ("torch's defaults", "freed memory kept", "and nnet.Dropout")
N_UTTERANCES, N_BANDS, N_TOKENS = 8, 80, 29
FRAMES = (300, 375, 450)  # of the longest utterance, in turn


def make_net(way: str) -> nn.ModuleDict:
    """The encoder and CTC's layer."""
    encoder = ConformerEncoder(
        (None, None, N_BANDS), channels=32, width=144, num_layers=6, hidden_size=576, kernel_size=15,
        positions="rotary",
    )  # fmt: skip
    if way != WAYS[2]:
        for module in list(encoder.modules()):
            for name, child in module.named_children():
                if isinstance(child, Dropout):
                    setattr(module, name, nn.Dropout(child.p))
    return nn.ModuleDict({"encoder": encoder, "ctc": nn.Linear(144, N_TOKENS)})


def make_steps(net: nn.ModuleDict) -> Iterator[float]:
    """Seconds of one step after another."""
    generator = torch.Generator().manual_seed(0)
    while True:
        for n_frames in FRAMES:
            features = torch.randn(N_UTTERANCES, n_frames, N_BANDS, generator=generator)
            lengths = torch.linspace(0.6 * n_frames, n_frames, N_UTTERANCES).long()
            targets = torch.randint(1, N_TOKENS, (N_UTTERANCES, 30), generator=generator)
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                log_probs = net["ctc"](net["encoder"](features, lengths)).float().log_softmax(-1)
                sizes = net["encoder"].output_lengths(lengths), torch.full((N_UTTERANCES,), 30)
                loss = ctc_loss(log_probs, sizes[0], targets, sizes[1], zero_infinity=True).sum()
            loss.backward()
            net.zero_grad()
            yield time.perf_counter() - begin


def measure(way: str, n_steps: int) -> float:
    """The median of a process's steps, after as many to warm up."""
    torch.set_num_threads(2)
    torch.default_generator.manual_seed(0)
    if way != WAYS[0]:
        keep_freed_memory(torch.device("cpu"))
    steps = make_steps(make_net(way).train())
    seconds = [next(steps) for _ in range(2 * n_steps)]
    return statistics.median(seconds[n_steps:])


def measure_apart(way: str, n_steps: int) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--steps", str(n_steps)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--way", choices=WAYS, help="measure this one here, and print nothing else")
    options = parser.parse_args()
    if options.way:
        print(measure(options.way, options.steps))
        return
    rounds = [{way: measure_apart(way, options.steps) for way in WAYS} for _ in range(options.rounds)]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(commit, cwd=PROJECT, capture_output=True, text=True, check=False)
    times = {way: [1000 * each[way] for each in rounds] for way in WAYS}
    rows = [
        {
            "step": way,
            "milliseconds": round(statistics.median(times[way])),
            "min_to_max": f"{min(times[way]):.0f} to {max(times[way]):.0f}",
            "of_torch's_defaults": f"{statistics.median(each[way] / each[WAYS[0]] for each in rounds):.2f}",
            "rounds": options.rounds,
            "machine": f"{platform.machine()}, 2 threads, torch {version('torch')}",
            "commit": found.stdout.strip(),
        }
        for way in WAYS
    ]
    print(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
