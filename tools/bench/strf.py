"""What the routes of an STRF layer cost: `python tools/bench/strf.py [--rounds 7]`.

64 kernels of 9 bands by 111 frames over a batch of log-mel features, on one thread: forward, and forward with
backward, by the vectorised dense convolution and by the other routes, side by side in one process; seconds of
the processor, medians over rounds that alternate.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch

from speechkit.nnet import STRFConv2d

ROUTES = ("dense", "separable", "fourier")
SHAPE = (2, 400, 64)  # batch, frames, bands


def make_steps() -> dict[str, Callable[[], None]]:
    """A forward pass, and one with its backward pass, by route."""
    features = torch.randn(SHAPE)
    layers = {
        route: STRFConv2d(64, (9, 111), input_shape=(None, None, SHAPE[-1]), route=route) for route in ROUTES
    }

    def forward(route: str) -> None:
        with torch.no_grad():
            layers[route](features)

    def both(route: str) -> None:
        layers[route](features).square().mean().backward()

    return {
        f"{route}, {name}": (lambda step=step, route=route: step(route))
        for name, step in (("forward", forward), ("both", both))
        for route in ROUTES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = make_steps()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds + 1):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if number:  # the first warms up
                seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result: dict[str, object] = {f"{name}, ms": round(1000 * value) for name, value in medians.items()}
    for kind in ("forward", "both"):
        for route in ROUTES[1:]:
            ratio = medians[f"dense, {kind}"] / medians[f"{route}, {kind}"]
            result[f"dense / {route}, {kind}"] = round(ratio, 2)
    project = Path(__file__).resolve().parents[2]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    result |= {
        "rounds": options.rounds,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "commit": subprocess.run(
            commit, cwd=project, capture_output=True, text=True, check=False
        ).stdout.strip(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
