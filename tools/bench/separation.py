"""What separation costs: `python tools/bench/separation.py PART [--rounds 9]`, PART one of:

`pit`: the permutation-invariant SI-SNR of 8 mixtures of 32,000 samples, forward and backward, by
`losses.separation_loss` and by `get_si_snr_with_pitwrapper`, as its recipes call it, for 2, 3 and 5 speakers.

`sepformer`: a SepFormer of 128 filters and two dual paths of a layer along and one across, with the same
weights, of 4 s at 8 kHz: forward, forward and backward, and the largest memory of a process of its own.

`evaluation`: the same nets over a test set of 8 mixtures of 4 s, with SI-SNR and SDR and what they gain over
the mixture: `Separation.evaluate`, and what SpeechBrain's recipe does, `evaluate` for the loss and
`save_results` for the figures, in which it separates each mixture again and calls mir_eval for SDR.

Ours and SpeechBrain's in one process, on two threads (or `--threads`), in rounds that alternate; medians of
milliseconds and of the rounds' ratios, with quartiles. On one thread the processor's time counts, on more the
clock's.
"""

import argparse
import contextlib
import json
import math
import platform
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import speechkit
from speechkit import config
from speechkit.data import Batch, Talker
from speechkit.losses import separation_loss
from speechkit.tasks import Separation
from speechkit.tasks.inputs import noise_batch

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


class Mixtures:
    """A test set in memory, a mixture a batch."""

    def __init__(self, n_mixtures: int) -> None:
        self.batches = [self._make(number) for number in range(n_mixtures)]

    def _make(self, number: int) -> Batch:
        batch = noise_batch(8000, [""])
        sources = torch.randn(1, 2, N_SAMPLES) / 10
        return replace(
            batch,
            ids=[f"mixture {number}"],
            waveforms=sources.sum(1),
            lengths=torch.tensor([N_SAMPLES]),
            sources=sources,
            talkers=[[Talker(), Talker()]],
        )

    def iterate(self, *_: object) -> Iterator[Batch]:
        return iter(self.batches)

    def n_cuts(self) -> int:
        return len(self.batches)


def evaluate_ours(brain: Separation, data: Mixtures) -> float:
    """Mean SI-SNRi, dB."""
    figures, _ = brain.evaluate(data)
    return figures["si_snri"]


@torch.no_grad()
def evaluate_theirs(net: nn.Module, data: Mixtures) -> float:
    """As recipes/WSJ0Mix/separation/train.py does: all mixtures for the loss, then all again for figures."""
    from mir_eval.separation import bss_eval_sources
    from speechbrain.nnet.losses import get_si_snr_with_pitwrapper

    gains = []
    net.eval()
    for batch in data.batches:
        get_si_snr_with_pitwrapper(batch.sources.transpose(1, 2), net(batch.waveforms)).mean().item()
    for batch in data.batches:
        targets, mixtures = batch.sources.transpose(1, 2), batch.waveforms.unsqueeze(2).expand(-1, -1, 2)
        found = net(batch.waveforms)
        after, before = (get_si_snr_with_pitwrapper(targets, each) for each in (found, mixtures))
        for each in (found, mixtures):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                bss_eval_sources(targets[0].t().numpy(), each[0].t().numpy())
        gains.append(-(after - before).item())
    return statistics.mean(gains)


def measure_evaluation(n_rounds: int) -> list[Row]:
    """A row."""
    nets, data = make_pair(), Mixtures(8)
    with tempfile.TemporaryDirectory() as folder:
        brain = Separation(
            modules={"separator": nets["ours"]},
            optimizer=torch.optim.SGD,
            train_data=None,
            valid_data=None,
            output_folder=folder,
            n_epochs=1,
            sample_rate=8000,
            device="cpu",
        )
        steps: Steps = {
            "ours": partial(evaluate_ours, brain, data),
            "SpeechBrain": partial(evaluate_theirs, nets["SpeechBrain"], data),
        }
        ours, theirs = (step() for step in steps.values())
        assert math.isclose(ours, theirs, abs_tol=0.01), (ours, theirs)
        return [{"mixtures": "8"} | describe(measure(steps, n_rounds))]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "pit": measure_pit,
    "sepformer": measure_sepformer,
    "evaluation": measure_evaluation,
}


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
