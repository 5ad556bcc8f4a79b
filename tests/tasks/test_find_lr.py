"""The learning-rate range test of a recipe that prepares its data."""

from pathlib import Path

from speechkit.tasks import find_learning_rate
from speechkit.training import RateRange

from .conftest import PREPARE, Recipe


def test_what_is_prepared_lies_in_its_own_folder(recipe: Recipe) -> None:
    (recipe.folder / "prepare.py").write_text(PREPARE)
    recipe.change("data_folder: somewhere", f"data_folder: {recipe.manifests}")
    recipe.change(
        f"manifest_folder: {recipe.manifests}\n", "manifest_folder: !ref <output_folder>/manifests\n"
    )
    page, result = find_learning_rate(recipe.train, recipe.hparams, ["--seed", "4"], RateRange(1e-3, 1.0, 20))
    made = {str(path.relative_to(recipe.output)) for path in recipe.output.rglob("*") if path.is_file()}
    manifests = {f"find-lr/manifests/{name}.jsonl" for name in ("train", "valid", "test")}
    assert made == {"find-lr/find_lr.json", "find-lr/find_lr.html", "find-lr/.lock", *manifests}
    assert page == recipe.output / "find-lr" / "find_lr.html"
    assert (result["seed"], result["overrides"]) == (4, {"seed": "4"})
    assert str(Path("run") / "find-lr") not in result["hparams"], "the YAML is told as it was given"
