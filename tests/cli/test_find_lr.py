"""`speechkit find-lr`: a suggestion for a YAML, beside its run."""

import hashlib
from pathlib import Path

import pytest

from speechkit.report import read_json

from .conftest import HPARAMS, Typed

QUICK = ("--steps", 40, "--min", "1e-4", "--max", "10")


def files_of(folder: Path) -> dict[str, str]:
    """Their sums, but of what Python keeps of a recipe's modules."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_suggestion_beside_the_run_that_is_there(typed: Typed, trained: Path) -> None:
    """Twice, to the same bytes; the run and the rest of the folder stay as they are."""
    before = files_of(trained)
    code, told, _ = typed("find-lr", trained / "tones.yaml", "--folder", trained, *QUICK)
    assert code == 0
    after = files_of(trained)
    assert {name: after[name] for name in before} == before
    made = {name for name in after if name not in before}
    assert made == {f"run/find-lr/{name}" for name in (".lock", "find_lr.json", "find_lr.html")}
    page = trained / "run" / "find-lr" / "find_lr.html"
    assert told.splitlines()[-1] == f"page: {page}"
    assert told.startswith("suggested learning rate: ")

    result = read_json(page.with_suffix(".json"), "find_lr")
    assert result["optimizers"]["main"] == {"given": 0.05, "suggestion": result["suggestion"]}
    assert 1e-3 < result["suggestion"] < 10
    assert result["overrides"] == {"folder": str(trained)}
    assert len(result["rates"]) <= 40
    assert f"suggested {told.split()[3].rstrip(',')}" in page.read_text()

    typed("find-lr", trained / "tones.yaml", "--folder", trained, *QUICK)
    assert files_of(trained) == after
    typed("find-lr", trained / "tones.yaml", "--folder", trained, "--seed", 2, *QUICK)
    assert files_of(trained)["run/find-lr/find_lr.json"] != after["run/find-lr/find_lr.json"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--steps", 5), "5 steps; expected 20 or more"),
        (("--min", 0), "learning rates from 0 to 10"),
        (("--min", 1, "--max", 0.1), "learning rates from 1 to 0.1"),
        (("--optimizer.lr", 0), "optimizer: a learning rate of 0"),
        (("--optimizer.lrr", 1), "optimizer.lrr"),
        (("--folder", "/not/there"), "/not/there"),
    ],
)
def test_mistakes_are_told(arguments: tuple, told: str, typed: Typed, trained: Path, tmp_path: Path) -> None:
    given = ("--folder", trained, "--output_folder", tmp_path / "run", *arguments)
    code, printed, complaint = typed("find-lr", trained / "tones.yaml", *given)
    assert (code, printed) == (2, "")
    assert told in complaint


def test_a_yaml_without_a_recipe(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lonely.yaml").write_text(HPARAMS)
    code, _, complaint = typed("find-lr", tmp_path / "lonely.yaml", "--folder", tmp_path)
    assert (code, "has no train.py beside it" in complaint) == (2, True)
