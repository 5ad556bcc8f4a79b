"""The separation task: its figures, losses and records against other libraries and by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.audio import (
    scale_invariant_signal_noise_ratio,
    signal_distortion_ratio,
)

from speechkit.data import Batch, Skipped, Talker
from speechkit.errors import UserError
from speechkit.losses import pairwise_l1, separation_loss
from speechkit.tasks import Separation
from speechkit.tasks.dry_run import dry_run
from speechkit.tasks.kept_mixtures import KeptMixtures
from speechkit.training import Stage

RATE = 8000


class Known(nn.Module):
    """Gives what it is told to; counts the mixtures that it is asked for."""

    def __init__(self, estimates: Tensor) -> None:
        super().__init__()
        self.estimates, self.n_asked = estimates, 0
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        self.n_asked += len(waveforms)
        return self.scale * self.estimates[: len(waveforms), :, : waveforms.shape[1]]


class OwnLoss(Known):
    def compute_loss(self, waveforms: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
        return self.scale * lengths


class OneSource(Known):
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(waveforms, lengths)[:, :1]


def make_brain(folder: Path, separator: nn.Module, **changes: Any) -> Separation:
    settings: dict[str, Any] = {
        "modules": {"separator": separator},
        "optimizer": torch.optim.SGD,
        "train_data": None,
        "valid_data": None,
        "output_folder": folder,
        "n_epochs": 1,
        "sample_rate": RATE,
        "device": "cpu",
    }
    settings["optimizer"] = lambda weights: torch.optim.SGD(weights, lr=0.1)
    return Separation(**settings | changes)


@pytest.mark.parametrize("n_sources", [1, 2, 3])
def test_a_dry_run_measures_what_epochs_are_chosen_by(n_sources: int, tmp_path: Path) -> None:
    separator = Known(torch.randn(2, n_sources, RATE))
    brain = make_brain(tmp_path, separator, n_sources=n_sources)
    batch = brain.fake_batch()
    assert not batch.sources[1, :, int(batch.lengths[1]) :].any()
    assert dry_run(brain, lambda name, *children: None)["parameters"] == 1
    brain.criterion = ("sdri", "max")  # of a test only
    with pytest.raises(UserError, match="no metric 'sdri' to choose epochs by"):
        dry_run(brain, lambda name, *children: None)


@pytest.fixture
def batch() -> Batch:
    """Two mixtures of different lengths."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([2000, 1500])
    sources = 0.1 * torch.randn(2, 2, 2000, generator=generator)
    sources[1, :, 1500:] = 0
    return Batch(
        ids=["a", "b"],
        waveforms=sources.sum(1),
        lengths=lengths,
        texts=["", ""],
        speakers=["s1", "s3"],
        groups=["", ""],
        seconds=[0.25, 0.1875],
        paths=["", ""],
        sources=sources,
        talkers=[
            [Talker("s1", "M"), Talker("s2", "F")],
            [Talker("s3", "F"), Talker("s4", "F")],
        ],
    )


@pytest.fixture
def estimates(batch: Batch) -> Tensor:
    """The sources in another order, at another scale, with noise in them; rubbish past the lengths."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 2, 2000, generator=generator)
    return 3 * batch.sources.flip(1) + 0.03 * noise


def test_records_hold_the_figures_of_the_best_order(tmp_path, batch, estimates):
    brain = make_brain(tmp_path, Known(estimates))
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    for row, record in enumerate(records):
        n = int(batch.lengths[row])
        heard, said = estimates[row, :, :n].flip(0).double(), batch.sources[row, :, :n].double()
        mixture = batch.waveforms[row, :n].double().expand(2, -1)
        for name, measure in (
            ("si_snr", scale_invariant_signal_noise_ratio),
            ("sdr", signal_distortion_ratio),
        ):
            after, before = measure(heard, said), measure(mixture, said)
            assert record["scores"][name] == pytest.approx(float(after.mean()), abs=1e-3)
            assert record["scores"][f"{name}i"] == pytest.approx(float((after - before).mean()), abs=1e-3)
            assert [each[name] for each in record["sources"]] == pytest.approx(after.tolist(), abs=1e-3)
        assert [each["estimate"] for each in record["sources"]] == [1, 0]
    assert [record["group"] for record in records] == ["mixed gender", "same gender"]
    assert records[1]["sources"][1]["speaker"] == "s4"
    found = brain.summarize(records)
    assert found["si_snri"] == pytest.approx(np.mean([each["scores"]["si_snri"] for each in records]))


def test_validation_leaves_out_what_takes_long(tmp_path, batch, estimates):
    brain = make_brain(tmp_path, Known(estimates))
    records = brain.compute_records(brain.compute_forward(batch, Stage.VALID), batch, Stage.VALID)
    assert set(brain.summarize(records)) == {"si_snr", "si_snri"}


def test_the_loss_is_the_negative_si_snr_or_another(tmp_path, batch, estimates):
    for changes, expected in (
        ({}, separation_loss(estimates, batch.sources, batch.lengths)),
        (
            {"loss": lambda *given: separation_loss(*given, pairwise=pairwise_l1)},
            separation_loss(estimates, batch.sources, batch.lengths, pairwise_l1),
        ),
    ):
        brain = make_brain(tmp_path, Known(estimates), **changes)
        loss = brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)
        assert loss.count == 2
        torch.testing.assert_close(loss.total, expected.sum())


def test_a_separator_with_a_loss_of_its_own(tmp_path, batch, estimates):
    separator = OwnLoss(estimates)
    brain = make_brain(tmp_path, separator)
    found = brain.compute_forward(batch, Stage.TRAIN)
    assert found.losses.tolist() == [2000, 1500]
    assert separator.n_asked == 0  # estimates are of no use in training
    assert brain.compute_forward(batch, Stage.VALID).estimates.shape == (2, 2, 2000)


def test_data_and_separators_that_do_not_fit_are_told(tmp_path, batch, estimates):
    with pytest.raises(UserError, match=r"data with 2 sources; expected n_sources, 3"):
        make_brain(tmp_path, Known(estimates), n_sources=3).compute_forward(batch, Stage.TRAIN)
    with pytest.raises(UserError, match=r"the separator gives a tensor of shape \(2, 1, 2000\)"):
        make_brain(tmp_path, OneSource(estimates)).compute_forward(batch, Stage.TRAIN)
    with pytest.raises(UserError, match=r"n_clips -1; expected 0 or more"):
        make_brain(tmp_path, Known(estimates), n_clips=-1)
    batch.sources = None
    with pytest.raises(UserError, match="data with 0 sources"):
        make_brain(tmp_path, Known(estimates)).compute_forward(batch, Stage.TRAIN)


def test_silence_has_defined_figures(tmp_path, batch):
    batch.sources[0, 1] = 0
    batch.sources[1] = 0
    batch.waveforms = batch.sources.sum(1)
    brain = make_brain(tmp_path, Known(torch.zeros(2, 2, 2000)))
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    assert records[1]["scores"]["si_snri"] is None
    assert records[0]["sources"][1]["si_snri"] is None
    loss = brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)
    assert loss.total.isfinite()


def test_a_measure_that_does_not_work_is_told_before_training(tmp_path, estimates):
    def missing(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
        raise UserError("PESQ needs the package pesq", do="install speechkit[metrics]")

    with pytest.raises(UserError, match=r"measures.pesq: PESQ needs the package pesq"):
        make_brain(tmp_path, Known(estimates), measures={"pesq": missing}).prepare_run()
    make_brain(tmp_path, Known(estimates), measures={"error": lambda x, y: (x - y).mean(1)}).prepare_run()


class Data:
    sample_rate = RATE

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Any = None) -> Any:
        return iter(self.batches)

    def n_cuts(self) -> int:
        return sum(map(len, self.batches))


def test_each_mixture_is_separated_once_and_three_are_kept(tmp_path, batch, estimates):
    """The worst, the median and the best: what is heard is what was scored."""
    separator, batches = Known(estimates), []
    for number in range(30):
        level = 10 ** (-number / 20)
        changed = batch.without({1: Skipped("b", "", "")})
        changed.skipped = []
        changed.ids, changed.sources = [f"m{number:02d}"], batch.sources[:1] * 1.0
        changed.sources[:, 1] *= level
        changed.waveforms = changed.sources.sum(1)
        batches.append(changed)
    brain = make_brain(tmp_path, separator)
    brain.recorder = SimpleNamespace(tell=lambda notices: None)
    _, records = brain.evaluate(Data(batches))
    assert separator.n_asked == 30
    clips = brain.list_clips(records)
    parts = ["mixture", "estimate 1", "estimate 2", "reference 1", "reference 2"]
    assert [part for *_, part in clips] == 3 * parts
    order = [record["id"] for record in sorted(records, key=lambda each: each["scores"]["si_snri"])]
    worst, median, best = (name for name, *_ in clips[::5])
    assert (worst, best) == (order[0], order[29])
    assert median in order[14:16]
    by_id = {each.ids[0]: each for each in batches}
    for name, x, rate, part in clips:
        assert rate == RATE
        if part.startswith("reference"):
            expected = by_id[name].sources[0, int(part[-1]) - 1]
            np.testing.assert_allclose(x / 32767, expected, atol=1e-4)


def test_kept_mixtures_of_several_processes_are_those_of_one():
    scores = np.random.default_rng(0).normal(size=400)
    alone, halves = KeptMixtures(3), [KeptMixtures(3), KeptMixtures(3)]
    for number, score in enumerate(scores):
        x = np.full((1, 4), number / 1000)
        for kept in (alone, halves[number % 2]):
            kept.add(f"{number}", float(score), x, x, x[0])
    together, ids = KeptMixtures(3), {str(number) for number in range(400)}
    for half in halves:
        together.join(half, ids)
    ranks = {str(index): rank for rank, index in enumerate(np.argsort(scores))}
    for kept in (alone, together):
        found = [ranks[name] for name in kept.choose()]
        assert found[0] == 0
        assert abs(found[1] - 200) <= 3
        assert found[2] == 399
