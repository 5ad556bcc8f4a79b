"""What STRF filters cost: `python tools/bench/strf.py [--rounds 15]`.

64 kernels of 9 bands by 111 frames, on one thread. Synthesis: the kernels from their four numbers each, and
the gradients of these, by `nnet.STRFConv2d` and by a loop over kernels that writes one after another into a
tensor, as the code published with the paper does; with its rotation by theta, which no kernel uses, and
without. Then the layer over a batch of log-mel features: forward, and forward with backward from a given
gradient (B, T', F', C), by the vectorised dense convolution and by the other routes. All side by side in one
process; milliseconds of the processor, medians over rounds that alternate.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from speechkit.nnet import STRFConv2d

ROUTES = ("dense", "separable", "fourier")
KERNEL_SIZE = (9, 111)
N_KERNELS = 64
SHAPE = (2, 400, 64)  # batch, frames, bands
Steps = dict[str, Callable[[], object]]


def loop_kernels(layer: STRFConv2d, theta: Tensor | None = None) -> Tensor:
    """The kernels (C, 1, K, L) one by one, by the published formula as it stands.

    theta: angles (C,) of a rotation that the published code makes and does not use.
    """
    half_f, half_t = (math.ceil(size / 2) for size in KERNEL_SIZE)
    f, t = torch.meshgrid(
        torch.linspace(1 - half_f, half_f, KERNEL_SIZE[0]),
        torch.linspace(1 - half_t, half_t, KERNEL_SIZE[1]),
        indexing="ij",
    )
    weight = torch.empty(N_KERNELS, 1, *KERNEL_SIZE)
    for number in range(N_KERNELS):
        width_f, width_t = layer.width_f[number].expand_as(f), layer.width_t[number].expand_as(f)
        direction = layer.direction[number].expand_as(f)
        modulation = layer.modulation[number].expand_as(f)
        if theta is not None:
            angle = theta[number].expand_as(f)
            _ = t * torch.cos(angle) + f * torch.sin(angle), -t * torch.sin(angle) + f * torch.cos(angle)
        turned = t * torch.cos(direction) + f * torch.sin(direction)
        kernel = torch.exp(-0.5 * (f**2 / (width_f + 1e-3) ** 2 + t**2 / (width_t + 1e-3) ** 2))
        kernel = kernel * torch.cos(modulation * turned)
        weight[number, 0] = kernel / (2 * math.pi * width_f * width_t)
    return weight


def make_syntheses() -> Steps:
    """Kernels and their gradients, by the loop and by the layer."""
    layer = STRFConv2d(N_KERNELS, KERNEL_SIZE)
    gradient = torch.randn(N_KERNELS, *KERNEL_SIZE)
    torch.testing.assert_close(loop_kernels(layer)[:, 0], layer.kernels())
    theta = torch.nn.Parameter(torch.randn(N_KERNELS))
    return {
        "synthesis, published loop": lambda: loop_kernels(layer, theta).backward(gradient.unsqueeze(1)),
        "synthesis, loop": lambda: loop_kernels(layer).backward(gradient.unsqueeze(1)),
        "synthesis": lambda: layer.kernels().backward(gradient),
    }


def make_layers() -> Steps:
    """A forward pass, and one with its backward pass, by route."""
    features, gradient = torch.randn(SHAPE), torch.randn(*SHAPE, N_KERNELS)
    layers = {route: STRFConv2d(N_KERNELS, KERNEL_SIZE, route=route) for route in ROUTES}

    def forward(route: str) -> None:
        with torch.no_grad():
            layers[route](features)

    def both(route: str) -> None:
        layers[route](features).backward(gradient)

    return {
        f"{route}, {name}": (lambda step=step, route=route: step(route))
        for name, step in (("forward", forward), ("both", both))
        for route in ROUTES
    }


def measure(steps: Steps, n_rounds: int) -> dict[str, list[float]]:
    """Processor's milliseconds of each step in each round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(n_rounds + 1):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if number:  # the first warms up
                times[name].append(1000 * (time.process_time() - started))
    return times


def compare(times: dict[str, list[float]], slow: str, quick: str) -> list[float]:
    """Quartiles of how many times faster `quick` was, round by round."""
    ratios = [a / b for a, b in zip(times[slow], times[quick], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return [round(low, 2), round(high, 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    times = measure(make_syntheses(), 3 * options.rounds) | measure(make_layers(), options.rounds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    result: dict[str, object] = {f"{name}, ms": round(value, 1) for name, value in medians.items()}
    pairs = [(f"synthesis, {loop}", "synthesis") for loop in ("published loop", "loop")]
    pairs += [(f"dense, {kind}", f"{route}, {kind}") for kind in ("forward", "both") for route in ROUTES[1:]]
    for slow, quick in pairs:
        result[f"{slow} / {quick}"] = round(medians[slow] / medians[quick], 2)
        result[f"{slow} / {quick}, quartiles"] = compare(times, slow, quick)
    commit = ["git", "rev-parse", "--short", "HEAD"]
    project = Path(__file__).resolve().parents[2]
    run = subprocess.run(commit, cwd=project, capture_output=True, text=True, check=False)
    result |= {
        "rounds": options.rounds,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": run.stdout.strip(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
