"""A step of training of the keyword convnet: `python tools/bench/cnn.py [--rounds 9] [--batch 32]`.

Plain is what one writes by hand with torch's layers, (B, C, T, F), in the published order; ours is
`models.ConvNet` with the same weights; both over the complex spectrogram of seconds at 16 kHz, forward and
backward, on one thread. Also plain in torch's channels-last format, and both in bf16. Rounds alternate in one
process; of each the processor's time is divided by plain's of the same round.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.features import Spectrogram
from speechkit.models import ConvNet

CHANNELS = (32, 64, 128, 256, 512)
N_CLASSES = 10


def make_plain(n_channels: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, width in enumerate(CHANNELS, start=1):
        layers += [nn.Conv2d(n_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(0.2)]
        layers.append(nn.MaxPool2d(2) if number < len(CHANNELS) else nn.AdaptiveAvgPool2d(1))
        n_channels = width
    layers += [nn.Flatten(), nn.Linear(n_channels, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(512, N_CLASSES))


def make_step(
    net: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor, dtype: torch.dtype | None = None
) -> Callable[[], None]:
    def step() -> None:
        net.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = net(*inputs)
        F.cross_entropy(logits.float(), targets).backward()

    return step


def make_steps(n_utterances: int) -> dict[str, Callable[[], None]]:
    torch.manual_seed(0)
    spectrogram = Spectrogram(16000, window_ms=30, hop_ms=10, n_fft=512, power=None)
    features, lengths = spectrogram(0.1 * torch.randn(n_utterances, 16000))
    targets = torch.randint(N_CLASSES, (n_utterances,))
    images = features.permute(0, 3, 1, 2).contiguous()
    plain, ours = make_plain(), ConvNet(spectrogram.output_shape, N_CLASSES, CHANNELS)
    last, images_last = (
        make_plain().to(memory_format=torch.channels_last),
        images.contiguous(memory_format=torch.channels_last),
    )
    return {
        "plain": make_step(plain, (images,), targets),
        "plain channels last": make_step(last, (images_last,), targets),
        "ours": make_step(ours, (features, lengths), targets),
        "plain bf16": make_step(plain, (images,), targets, torch.bfloat16),
        "ours bf16": make_step(ours, (features, lengths), targets, torch.bfloat16),
    }


def measure(n_rounds: int, n_utterances: int) -> dict[str, list[float]]:
    steps = make_steps(n_utterances)
    for step in steps.values():
        step()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(n_rounds):
        for name in sorted(steps, reverse=bool(number % 2)):
            started = time.process_time()
            steps[name]()
            seconds[name].append(time.process_time() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = measure(options.rounds, options.batch)
    project = Path(__file__).resolve().parents[2]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=project, capture_output=True, text=True, check=False
    )
    ratios = {
        name: [own / plain for own, plain in zip(times, seconds["plain"], strict=True)]
        for name, times in seconds.items()
    }
    low, _, high = statistics.quantiles(ratios["ours"], n=4)
    result: dict[str, object] = {
        f"{name}, ms": round(1000 * statistics.median(seconds[name]) / options.batch, 1)
        for name in ("plain", "ours")
    }
    result |= {f"{name} / plain": round(statistics.median(ratios[name]), 2) for name in list(ratios)[1:]}
    result |= {
        "ours / plain, quartiles": [round(low, 2), round(high, 2)],
        "batch": options.batch,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": commit.stdout.strip(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
