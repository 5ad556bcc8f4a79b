"""`speechkit check`."""

from pathlib import Path

import pytest

from .conftest import HPARAMS, Typed


def test_check_of_a_right_file(typed: Typed, recipe: Path) -> None:
    assert typed("check", recipe, "--folder", "x") == (0, f"{recipe}: no mistakes\n", "")


def test_check_tells_all_mistakes_with_their_lines(typed: Typed, recipe: Path) -> None:
    recipe.write_text(HPARAMS.replace("n_epochs: 3", "n_epoch: 3").replace("lr: 0.05", "lrr: 0.05"))
    code, told, _ = typed("check", recipe)
    assert code == 2
    assert f"{recipe}:2:9 folder: a value must be given: --folder VALUE" in told
    assert f"{recipe}:{HPARAMS[: HPARAMS.index('lr:')].count(chr(10)) + 1}:5 optimizer.lrr" in told
    assert f"{recipe}:6:1 n_epoch: warning: nobody reads this key (did you mean 'n_epochs'?)" in told


def test_check_of_several_files_tells_of_each(typed: Typed, recipe: Path) -> None:
    other, missing = recipe.with_name("other.yaml"), recipe.with_name("missing.yaml")
    other.write_text(HPARAMS.replace("seed: 1", "seed: one"))
    code, told, _ = typed("check", recipe, other, missing, "--folder", "x")
    assert code == 2
    assert f"{recipe}: no mistakes" in told
    assert f"{other}:1:7 seed" in told
    assert f"{missing}:1:1: cannot be read" in told


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (["--seed", "one"], "command line:1:3 seed: expected a whole number, found text 'one'"),
        (["--sede", "1"], "there is no key 'sede' to change (did you mean 'seed'?)"),
        (["--modules.model.output.n_neurons=abc"], "n_neurons"),
        (["--optimizer", "!new:os.system [ls]"], "optimizer"),
        (["--labels", "[tone, 3]"], "labels"),
        (["stray"], "stray"),
    ],
)
def test_check_of_overrides(override: list[str], told: str, typed: Typed, recipe: Path) -> None:
    code, out, err = typed("check", recipe, "--folder", "x", *override)
    assert code == 2
    assert told in out + err


def test_check_with_build_runs_the_model(typed: Typed, recipe: Path) -> None:
    arguments = ("check", recipe, "--build", "--folder", "x")
    assert typed(*arguments) == (0, f"{recipe}: no mistakes\n", "")
    recipe.write_text(HPARAMS.replace("n_neurons: 2", "n_neurons: 3"))
    assert typed(*arguments[:2], "--folder", "x")[0] == 0
    code, told, _ = typed(*arguments)
    assert code == 2
    assert "modules.model: the model gives 3 outputs" in told
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["tones.yaml"]


def test_check_with_build_needs_a_recipe(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lonely.yaml").write_text("a: 1\n")
    assert typed("check", tmp_path / "lonely.yaml")[0] == 0
    code, told, _ = typed("check", tmp_path / "lonely.yaml", "--build")
    assert (code, "no train.py" in told) == (2, True)


def test_what_is_forbidden_needs_trust(typed: Typed, recipe: Path) -> None:
    recipe.write_text(HPARAMS.replace("torch.optim.Adam\n    lr: 0.05", "subprocess.Popen"))
    code, told, _ = typed("check", recipe, "--folder", "x")
    assert code == 2
    assert "subprocess.Popen is not on the list" in told
    assert typed("check", recipe, "--folder", "x", "--trust-config")[0] == 0


BAD_FILES = {
    "empty": b"",
    "broken": b"a: [1,\nb: 2\n",
    "not text": b"\xff\xfe\x00\x01",
    "a list": b"- 1\n",
    "tabs": b"a:\n\t- 1\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a cycle": b"a: !ref <b>\nb: !ref <a>\n",
    "an alias without an anchor": b"a: *x\n",
    "code": b"a: !!python/object/apply:os.system [ls]\n",
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["check", "train"])
def test_files_that_are_no_hparams(kind: str, command: str, typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(BAD_FILES[kind])
    if command == "train":
        # The recipe is missing as well, which is told first, without starting anything.
        code, out, err = typed(command, path)
        assert (code, "no train.py" in err) == (2, True)
        return
    code, out, err = typed(command, path)
    assert code == 2
    assert "bad.yaml:" in out + err


def test_a_folder_and_nothing_instead_of_a_file(typed: Typed, tmp_path: Path) -> None:
    assert "this is a folder" in typed("check", tmp_path)[1]
    assert "cannot be read" in typed("check", tmp_path / "none.yaml")[1]
    assert typed("train", tmp_path / "none.yaml")[0] == 2
