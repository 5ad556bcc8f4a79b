"""A run that begins with the weights of another: what is taken, what is told, what counts on resume."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from speechkit import report
from speechkit.cli import main as speechkit
from speechkit.errors import UserError
from speechkit.tasks import check_build
from speechkit.tasks.initialize import load_matching

from .conftest import Recipe, read_lines

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together

FRESH = {"model.output.weight", "model.output.bias"}


@pytest.fixture
def wider(recipe: Recipe) -> Recipe:
    """The recipe with one more word to tell apart: its output layer has another width."""
    recipe.change("labels: [low, middle, high]", "labels: [low, middle, high, silence]")
    recipe.change("torch.nn.Linear [16, 3]", "torch.nn.Linear [16, 4]")
    return recipe


@pytest.fixture
def source(finished: Recipe, tmp_path: Path) -> Path:
    """The finished run, copied: to be moved and removed."""
    shutil.copytree(finished.output, tmp_path / "source")
    return tmp_path / "source"


def weights_of(run: Path, epoch: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"epoch-{epoch:04d}" / "modules.safetensors")


def best_of(run: Path) -> dict[str, torch.Tensor]:
    best = [line["epoch"] for line in report.read_run(run).epochs if line["best"]][-1]
    return weights_of(run, best)


def event_of(run: Path, kind: str) -> dict:
    (event,) = [each for each in read_lines(run / "events.jsonl") if each["event"] == kind]
    return event


def test_what_fits_is_taken_and_the_rest_begins_afresh(wider: Recipe, finished: Recipe, run, capsys) -> None:
    """With a rate of 0 the weights after an epoch are those that it began with."""
    still = ("--n_epochs", 1, "--optimizer.lr", 0)
    assert run(wider, *still, "--output_folder", wider.folder / "scratch") == 0
    capsys.readouterr()
    assert run(wider, *still, "--init_from", finished.output) == 0
    told = capsys.readouterr().err
    begun, scratch, taken = weights_of(wider.output, 1), wider.folder / "scratch", best_of(finished.output)
    for name, weight in begun.items():
        if "running" not in name:
            expected = weights_of(scratch, 1) if name in FRESH else taken
            assert torch.equal(weight, expected[name]), name
    assert "6 of 8 tensors match" in told
    assert "model.output.weight: (3, 16) there, (4, 16) here; begins afresh" in told
    event = event_of(wider.output, "initialized")
    assert set(event["matched"]) == set(begun) - FRESH
    assert set(event["other_shape"]) == FRESH
    assert event["only_here"] == event["only_there"] == []
    recorded = report.read_run(wider.output).description["init_from"]
    assert recorded["path"] == str(finished.output)
    assert str(finished.output) not in (wider.output / "report.json").read_text()


def test_other_names_are_listed_both_ways(recipe: Recipe, finished: Recipe, run, capsys) -> None:
    recipe.change("        conv: !new", "        first: !new")
    assert run(recipe, "--n_epochs", 1, "--init_from", finished.output) == 0
    event = event_of(recipe.output, "initialized")
    assert event["only_here"] == ["model.first.conv.weight", "model.first.conv.bias"]
    assert event["only_there"] == ["model.conv.conv.bias", "model.conv.conv.weight"]
    told = capsys.readouterr().err
    assert "model.first.conv.bias: not there; begins afresh" in told
    assert "model.conv.conv.bias: only there; not used" in told


def test_nothing_that_fits_is_an_error_before_data_is_read(
    recipe: Recipe, finished: Recipe, run, capsys
) -> None:
    recipe.change("    model: !new", "    net: !new")
    text = recipe.hparams.read_text() + f"manifest_folder: nowhere\ninit_from: {finished.output}\n"
    recipe.hparams.write_text(text.replace(f"manifest_folder: {recipe.manifests}\n", ""))
    recipe.change("    net: !new", "    model: !new")
    for layer in ("conv", "norm", "output"):
        recipe.change(f"        {layer}: !new", f"        other_{layer}: !new")
    assert run(recipe) == 2
    told = capsys.readouterr().err
    line = text.count("\n")
    assert f"hparams.yaml:{line - 1}:12 init_from: nothing in {finished.output} fits" in told
    assert not recipe.output.exists()


@pytest.mark.parametrize("kind", ["nowhere", "a folder", "a file", "an empty run"])
def test_a_source_that_is_none(kind: str, recipe: Recipe, run, capsys, tmp_path: Path) -> None:
    path = tmp_path / "source"
    if kind == "a file":
        path.write_text("text")
    elif kind != "nowhere":
        (path / "checkpoints" if kind == "an empty run" else path).mkdir(parents=True)
    recipe.hparams.write_text(recipe.hparams.read_text() + f"init_from: {path}\n")
    place = f"{recipe.hparams}:{recipe.hparams.read_text().count(chr(10))}:"
    assert run(recipe) == 2
    assert place in (told := capsys.readouterr().err)
    assert "init_from" in told
    with pytest.raises(UserError, match="init_from"):
        check_build(recipe.train, recipe.hparams, [])
    if kind in ("nowhere", "a file"):
        with pytest.raises(SystemExit) as end:
            speechkit(["check", str(recipe.hparams)])
        assert end.value.code == 2
        assert f"{place}1 init_from: there is no folder {path}" in capsys.readouterr().out
    assert not recipe.output.exists()


def test_weights_that_are_a_pickle_are_not_read(recipe: Recipe, source: Path, run, capsys) -> None:
    from .test_load import Bomb

    mark = recipe.folder / "executed"
    checkpoint = next((source / "checkpoints").iterdir())
    torch.save({"model.output.weight": Bomb(mark)}, checkpoint / "modules.safetensors")
    assert run(recipe, "--init_from", checkpoint) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert not mark.exists()


def test_a_checkpoint_is_a_source_too_of_its_weights_alone(recipe: Recipe, source: Path, run) -> None:
    checkpoint = source / "checkpoints" / "epoch-0005"
    (checkpoint / "state.pt").unlink()
    expected = load_file(checkpoint / "modules.safetensors")
    assert run(recipe, "--n_epochs", 1, "--optimizer.lr", 0, "--init_from", checkpoint) == 0
    begun = weights_of(recipe.output, 1)
    assert all(torch.equal(begun[name], expected[name]) for name in begun if "running" not in name)


def test_a_run_that_goes_on_keeps_its_weights(recipe: Recipe, source: Path, run) -> None:
    """Its source may even be gone; the end is that of the run that was not stopped."""
    given = ("--init_from", source)
    assert run(recipe, *given, "--output_folder", recipe.folder / "whole") == 0
    assert run(recipe, *given, "--n_epochs", 1) == 0
    shutil.rmtree(source)
    assert run(recipe, *given) == 0
    assert weights_of(recipe.output, 2).keys() == weights_of(recipe.folder / "whole", 2).keys()
    for name, weight in weights_of(recipe.folder / "whole", 2).items():
        assert torch.equal(weights_of(recipe.output, 2)[name], weight), name
    event_of(recipe.output, "initialized")  # once


def test_another_beginning_is_another_experiment(recipe: Recipe, source: Path, run, capsys) -> None:
    assert run(recipe, "--n_epochs", 1, "--init_from", source) == 0
    best = best_of(source)
    names = [name for name in ("epoch-0004", "epoch-0005") if (source / "checkpoints" / name).is_dir()]
    other = next(
        source / "checkpoints" / name
        for name in names
        if not torch.equal(
            load_file(source / "checkpoints" / name / "modules.safetensors")["model.output.weight"],
            best["model.output.weight"],
        )
    )
    for given in ((), ("--init_from", other)):
        capsys.readouterr()
        assert run(recipe, "--n_epochs", 1, *given) == 2
        told = capsys.readouterr().err
        assert "holds another experiment" in told
        assert f"init_from: {source} -> {given[1] if given else None}" in told
    moved = source.rename(source.with_name("moved"))
    assert run(recipe, "--n_epochs", 1, "--init_from", moved) == 0


def test_the_weights_are_part_of_the_fingerprint(recipe: Recipe, finished: Recipe, run) -> None:
    assert run(recipe, "--n_epochs", 1) == 0
    plain = report.read_run(recipe.output).description["fingerprint"]
    other = recipe.folder / "other"
    assert run(recipe, "--n_epochs", 1, "--output_folder", other, "--init_from", finished.output) == 0
    assert report.read_run(other).description["fingerprint"] != plain


def test_tied_weights_and_other_precision() -> None:
    first = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)})
    first["b"].weight = first["a"].weight
    saved = {"a.weight": torch.arange(9.0, dtype=torch.float64).view(3, 3)}
    found = load_matching(first, saved)
    assert (found.matched, found.only_here, found.only_there) == (["a.weight"], [], [])
    assert torch.equal(first["b"].weight, saved["a.weight"].float())
    assert first["a"].weight.requires_grad
