"""What separation costs: `python tools/bench/separation.py PART [--rounds 9]`, PART one of:

`pit`: the permutation-invariant SI-SNR of 8 mixtures of 32,000 samples, forward and backward, by
`losses.separation_loss` and by `get_si_snr_with_pitwrapper`, as its recipes call it, for 2, 3 and 5 speakers.

`sepformer`: a SepFormer of 128 filters and two dual paths of a layer along and one across, with the same
weights, of 4 s at 8 kHz: forward, forward and backward, and the largest memory of a process of its own.

Ours and SpeechBrain's in one process, on two threads (or `--threads`), in rounds that alternate; medians of
milliseconds and of the rounds' ratios, with quartiles. On one thread the processor's time counts, on more the
clock's.
"""

import argparse
import contextlib
import json
import platform
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import speechkit
from speechkit import config
from speechkit.losses import separation_loss

PROJECT = Path(__file__).resolve().parents[2]
N_MIXTURES, N_SAMPLES = 8, 32_000
N_SPEAKERS = (2, 3, 5)
N_FILTERS, CHUNK_SIZE = 128, 250  # of the SepFormer
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


def make_separator(weights: Path | None = None) -> nn.Module:
    """Ours, or with the weights of theirs in a folder what the import makes of them."""
    if weights is not None:
        tool = runpy.run_path(str(PROJECT / "tools" / "import_speechbrain.py"))
        words = [weights, weights / "ours", "--model", "sepformer", "--chunk_size", CHUNK_SIZE]
        with contextlib.redirect_stdout(sys.stderr):
            tool["main"](tool["parse"](list(map(str, words))))
        return speechkit.load(weights / "ours").modules["separator"]
    sizes = {"n_sources": 2, "n_filters": N_FILTERS, "num_layers": 2, "path_layers": 1}
    words = [str(word) for key, size in sizes.items() for word in (f"--{key}", size)]
    document = config.read(PROJECT / "configs" / "separators" / "sepformer.yaml", words)
    return config.build(document, only=["separator"]).values["separator"]


def make_their_separator() -> nn.Module:
    """SpeechBrain's, without dropout, as in its recipe."""
    from speechbrain.lobes.models.dual_path import SepformerWrapper

    sizes = {"masknet_chunksize": CHUNK_SIZE, "intra_numlayers": 1, "inter_numlayers": 1}
    theirs = SepformerWrapper(encoder_out_nchannels=N_FILTERS, masknet_numlayers=2, **sizes)
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return theirs


def make_pair() -> dict[str, nn.Module]:
    """Both, with the same weights and so the same estimates."""
    theirs, mixture = make_their_separator(), torch.randn(1, N_SAMPLES) / 10
    with tempfile.TemporaryDirectory() as folder:
        for name in ("encoder", "masknet", "decoder"):
            torch.save(getattr(theirs, name).state_dict(), Path(folder) / f"{name}.ckpt")
        ours = make_separator(Path(folder)).train()
    with torch.no_grad():
        expected = theirs(mixture).transpose(1, 2)
        torch.testing.assert_close(ours(mixture), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    return {"ours": ours, "SpeechBrain": theirs}


def run_forward(net: nn.Module, mixture: torch.Tensor) -> None:
    with torch.no_grad():
        net(mixture)


def run_backward(net: nn.Module, mixture: torch.Tensor) -> None:
    net.zero_grad()
    net(mixture).square().sum().backward()


def measure_memory(whose: str) -> None:
    """Print the largest memory of this process in MB, before three steps and after."""
    net = make_separator() if whose == "ours" else make_their_separator()
    mixture = torch.randn(1, N_SAMPLES) / 10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in range(3):
        run_backward(net.train(), mixture)
    print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_sepformer(n_rounds: int) -> list[Row]:
    """Milliseconds of both ways through the net, and megabytes."""
    memory: dict[str, list[float]] = {}
    rows: list[Row] = []
    for whose in ("ours", "SpeechBrain"):  # first: a process's largest memory is never below its parent's
        command = [sys.executable, __file__, "sepformer", "--threads", str(torch.get_num_threads())]
        done = subprocess.run([*command, "--memory", whose], capture_output=True, text=True, check=True)
        before, after = map(float, done.stdout.split()[-2:])
        memory[whose] = [after, after - before]
    nets, mixture = make_pair(), torch.randn(1, N_SAMPLES) / 10
    for name, run in (("forward", run_forward), ("forward, backward", run_backward)):
        steps = {whose: partial(run, net, mixture) for whose, net in nets.items()}
        rows.append({"step": name} | describe(measure(steps, n_rounds)))
    for name, ours, theirs in zip(("process", "steps alone"), *memory.values(), strict=True):
        row = {"ours": f"{ours:.0f} MB", "SpeechBrain": f"{theirs:.0f} MB"}
        rows.append({"step": f"memory, {name}"} | row | {"SpeechBrain / ours": f"{theirs / ours:.2f}"})
    return rows


PARTS: dict[str, Callable[[int], list[Row]]] = {"pit": measure_pit, "sepformer": measure_sepformer}


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
    row = {name: f"{statistics.median(each):.1f} ms" for name, each in times.items()}
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
    parser.add_argument("--memory", choices=("ours", "SpeechBrain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.memory:
        measure_memory(options.memory)
        return
    rows = PARTS[options.part](options.rounds)
    rows.append({next(iter(rows[0])): describe_conditions(options.rounds)})
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
