"""What separation costs: `python tools/bench/separation.py PART [--rounds 9]`, PART one of:

`pit`: the permutation-invariant SI-SNR of 8 mixtures of 32,000 samples, forward and backward, by
`losses.separation_loss` and by `get_si_snr_with_pitwrapper`, as its recipes call it, for 2, 3 and 5 speakers.

Ours and SpeechBrain's in one process, on two threads (or `--threads`), in rounds that alternate; medians of
milliseconds and of the rounds' ratios, with quartiles. On one thread the processor's time counts, on more the
clock's.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from speechkit.losses import separation_loss

PROJECT = Path(__file__).resolve().parents[2]
N_MIXTURES, N_SAMPLES = 8, 32_000
N_SPEAKERS = (2, 3, 5)
Row = dict[str, str]
Steps = dict[str, Callable[[], object]]


def make_loss_steps(n_speakers: int) -> Steps:
    """A loss and its gradient for the estimates; of both the same values."""
    from speechbrain.nnet.losses import get_si_snr_with_pitwrapper

    references = torch.randn(N_MIXTURES, n_speakers, N_SAMPLES) / 10
    estimates = (references.flip(1) + torch.randn_like(references) / 20).requires_grad_()
    # Theirs are (batch, samples, sources).
    their_references = references.transpose(1, 2).contiguous()
    their_estimates = estimates.detach().transpose(1, 2).contiguous().requires_grad_()

    def ours() -> torch.Tensor:
        estimates.grad = None
        loss = separation_loss(estimates, references)
        loss.mean().backward()
        return loss

    def theirs() -> torch.Tensor:
        their_estimates.grad = None
        loss = get_si_snr_with_pitwrapper(their_references, their_estimates)
        loss.mean().backward()
        return loss

    torch.testing.assert_close(ours(), theirs(), rtol=0, atol=1e-3)
    assert estimates.grad is not None
    assert their_estimates.grad is not None
    torch.testing.assert_close(estimates.grad, their_estimates.grad.transpose(1, 2), rtol=1e-3, atol=1e-5)
    return {"ours": ours, "SpeechBrain": theirs}


def measure_pit(n_rounds: int) -> list[Row]:
    """A row for each number of speakers."""
    return [{"speakers": str(n)} | describe(measure(make_loss_steps(n), n_rounds)) for n in N_SPEAKERS]


PARTS: dict[str, Callable[[int], list[Row]]] = {"pit": measure_pit}


def now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def measure(steps: Steps, n_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each step, round by round; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(n_rounds + 1):
        for name, step in steps.items():
            started = now()
            step()
            if number:
                times[name].append(1000 * (now() - started))
    return times


def describe(times: dict[str, list[float]]) -> Row:
    """Medians, and of how many times faster ours is, with quartiles."""
    row = {f"{name}, ms": f"{statistics.median(each):.1f}" for name, each in times.items()}
    ratios = sorted(theirs / ours for ours, theirs in zip(times["ours"], times["SpeechBrain"], strict=True))
    low, high = (ratios[len(ratios) * quarter // 4] for quarter in (1, 3))
    return row | {"SpeechBrain / ours": f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"}


def describe_conditions(n_rounds: int) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip()
    found = [
        f"{n_rounds} rounds",
        f"{torch.get_num_threads()} threads",
        f"torch {torch.__version__}",
        f"SpeechBrain {version('speechbrain')}",
        platform.machine(),
        f"commit {commit}",
    ]
    return f"({', '.join(found)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows = PARTS[options.part](options.rounds)
    rows.append({next(iter(rows[0])): describe_conditions(options.rounds)})
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
