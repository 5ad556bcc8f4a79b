"""`filters.json` of a run: where filters started, exactly, and where its best weights have them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from speechkit import report
from speechkit.tasks import Classification, evaluate_run, load

from .conftest import Recipe

pytestmark = pytest.mark.integration

NUMBERS = ("direction", "modulation", "width_f", "width_t")
STRF = """        strf: !new:speechkit.nnet.STRFConv2d
            out_channels: 4
            kernel_size: [5, 9]
        relu: !new:torch.nn.ReLU
        flatten: !new:torch.nn.Flatten [2]
        conv: !new:"""


@pytest.fixture
def strf(recipe: Recipe) -> Recipe:
    """The recipe with four filters before its convolution."""
    recipe.change("        conv: !new:", STRF)
    recipe.change("            input_size: 20\n", "            input_size: 80\n")
    return recipe


def filters_of(run: Path) -> dict:
    (layer,) = report.read_run(run).filters["layers"]
    return layer


def saved(run: Path, epoch: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"epoch-{epoch:04d}" / "modules.safetensors")


def as_lists(weights: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    return {name: weights[f"model.strf.{name}"].tolist() for name in NUMBERS}


def test_learned_filters_from_the_first_step_to_the_best_epoch(strf: Recipe, run) -> None:
    """With a rate of 0 the weights at the end are those that training begins with."""
    still = strf.folder / "still"
    assert run(strf, "--n_epochs", 1, "--optimizer.lr", 0, "--output_folder", still) == 0
    assert run(strf, "--n_epochs", 3) == 0
    best = [line["epoch"] for line in report.read_run(strf.output).epochs if line["best"]][-1]
    found = filters_of(strf.output)
    assert found["start"] == as_lists(saved(still, 1))
    assert found["end"] == as_lists(saved(strf.output, best))
    assert found["start"] != found["end"]
    assert "Spectro-temporal filters" in (strf.output / "report.html").read_text()
    assert "temporal modulation (Hz)" in (strf.output / "report.html").read_text()
    (figures,) = json.loads((strf.output / "report.json").read_text())["filters"]
    assert figures["moved_percent"]["median"] > 0
    page = evaluate_run(strf.output, name="again", recipe=strf.folder)
    assert (page.parent / "filters.json").read_bytes() == (strf.output / "filters.json").read_bytes()
    described = load(strf.output).modules["model"].strf.describe_filters()
    assert {"name": "model.strf", **described} == found


def test_a_stopped_run_knows_where_it_began(strf: Recipe, run, monkeypatch) -> None:
    straight = strf.folder / "straight"
    assert run(strf, "--n_epochs", 2, "--output_folder", straight) == 0
    end_epoch = Classification._end_epoch

    def die(self, *arguments):
        end_epoch(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "_end_epoch", die)
        assert run(strf, "--n_epochs", 2) == 130
    assert not (strf.output / "filters.json").exists()
    assert run(strf, "--n_epochs", 2) == 0
    assert (strf.output / "filters.json").read_bytes() == (straight / "filters.json").read_bytes()
    weights = [saved(each, 2) for each in (strf.output, straight)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_frozen_filters_are_the_control(strf: Recipe, run) -> None:
    strf.change("kernel_size: [5, 9]", "kernel_size: [5, 9]\n            trainable: False")
    assert run(strf, "--n_epochs", 1) == 0
    found = filters_of(strf.output)
    assert found["start"] == found["end"]
    assert not found["trainable"]
    assert "4, frozen at their start" in (strf.output / "report.html").read_text()
    first = saved(strf.output, 1)
    assert run(strf, "--n_epochs", 2) == 0
    second = saved(strf.output, 2)
    same = {name for name, tensor in first.items() if torch.equal(tensor, second[name])}
    assert same == {f"model.strf.{name}" for name in (*NUMBERS, "start")}


def test_a_run_that_begins_with_learned_filters_starts_from_these(strf: Recipe, run) -> None:
    source = strf.folder / "source"
    assert run(strf, "--n_epochs", 2, "--output_folder", source) == 0
    assert run(strf, "--n_epochs", 1, "--init_from", source) == 0
    assert filters_of(strf.output)["start"] == filters_of(source)["end"]
    assert run(strf, "--n_epochs", 2, "--init_from", source) == 0
    assert filters_of(strf.output)["start"] == filters_of(source)["end"] != filters_of(strf.output)["end"]


def test_a_run_without_filters_has_no_such_file(finished: Recipe) -> None:
    assert not (finished.output / "filters.json").exists()
