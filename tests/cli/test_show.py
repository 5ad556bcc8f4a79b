"""`speechkit show`: the model of a YAML, without data."""

import json
from pathlib import Path

import pytest

from speechkit.report import read_json, validate

from .conftest import HPARAMS, Typed


def files_in(folder: Path) -> list[Path]:
    """But for what Python keeps of a recipe's modules."""
    return [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]


def test_the_tree_of_a_yaml_without_its_data(typed: Typed, recipe: Path) -> None:
    """Linear: 24 weights and 2 biases, from the mean and the deviation of 12 bands."""
    before = files_in(recipe.parents[1])
    code, told, complaint = typed("show", recipe)
    assert (code, complaint) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line.strip()}
    assert rows["features:"][0] == "LogMel"
    assert rows["pool:"][:2] == ["StatisticsPooling", "1x24"]
    assert rows["output:"] == ["Linear", "1x2", "50", "48"]
    assert rows["50"][:3] == ["parameters,", "all", "trained;"]
    assert files_in(recipe.parents[1]) == before, "nothing is written"


def test_json_is_what_a_run_records(typed: Typed, trained: Path) -> None:
    told = json.loads(typed("show", trained / "tones.yaml", "--json")[1])
    validate("model", told, file="stdout")
    assert told == read_json(trained / "run" / "model.json", "model")
    assert typed("show", trained / "run", "--json")[1] == typed("show", trained / "tones.yaml", "--json")[1]


def test_overrides_count(typed: Typed, recipe: Path) -> None:
    told = typed("show", recipe, "--n_mels", 20, "--folder", "anywhere")[1]
    assert "82 parameters" in told  # 40 in, 2 out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "n_mels: 12",
            "n_mels: !PLACEHOLDER",
            "tones.yaml:7:9 n_mels: a value must be given: --n_mels VALUE",
        ),
        ("n_neurons: 2", "n_neurons: 3", "expected (2, 2), one output a label"),
        ("n_epochs: 3", "n_epoch: 3", "n_epochs"),
        ("optimizer: !name", "optimizer: !nam", "tones.yaml:30"),
    ],
)
def test_mistakes_are_told(old: str, new: str, told: str, typed: Typed, recipe: Path) -> None:
    recipe.write_text(HPARAMS.replace(old, new))
    code, printed, complaint = typed("show", recipe)
    assert (code, printed) == (2, "")
    assert told in complaint
    assert "not-given" not in complaint
    assert "--folder" not in complaint


def test_what_cannot_be_shown(typed: Typed, recipe: Path, trained: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely.yaml"
    lonely.write_text(HPARAMS)
    assert "has no train.py beside it or one folder above" in typed("show", lonely)[2]
    assert typed("show", recipe.with_name("missing.yaml"))[0] == 2
    assert "holds no model.json" in typed("show", tmp_path)[2]
    assert "--seed for a model that was built already" in typed("show", trained / "run", "--seed", "2")[2]
