"""`speechkit evaluate RUN` runs the train.py that the run was trained by: yours, and no stranger's."""

import json
import shutil
from pathlib import Path

import pytest

from speechkit import report
from speechkit.errors import UserError
from speechkit.tasks import evaluate_run, ownership

from .conftest import Recipe

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together


def change_run(run: Path, **changed: object) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_recipe_that_changed_is_warned_of(
    trained: Recipe, prepared: Recipe, capsys, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for path in (prepared.train, prepared.folder / "prepare.py"):
        shutil.copy(path, own)
    evaluate_run(trained.output, recipe=own)
    assert "warning" not in capsys.readouterr().err
    (own / "train.py").write_text((own / "train.py").read_text() + "# a word more\n")
    evaluate_run(trained.output, recipe=own)
    told = capsys.readouterr().err
    assert f"evaluating by {own / 'train.py'}" in told
    assert "warning: train.py of the recipe has changed since the run" in told
    assert "prepare.py" not in told
    about = report.read_run(trained.output / "evaluations" / "again-2").description["evaluation"]
    assert about["recipe_changed"] == {"train.py": True, "prepare.py": False}


def test_a_run_of_an_older_version_cannot_tell(trained: Recipe, prepared: Recipe, capsys) -> None:
    path = trained.output / "run.json"
    description = json.loads(path.read_text())
    for key in ("recipe_sha256", "recipe_signature", "init_from"):
        del description[key]
    path.write_text(json.dumps(description))
    evaluate_run(trained.output, recipe=prepared.folder)
    assert "does not tell which train.py it was trained by" in capsys.readouterr().err


def test_a_recipe_that_is_missing_is_refused(trained: Recipe, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone" / "train.py")
    change_run(trained.output, recipe=gone, recipe_signature=ownership.sign(gone))
    with pytest.raises(UserError, match=r"gone/train.py, by which .* was trained, is missing") as caught:
        evaluate_run(trained.output)
    assert "--recipe FOLDER" in caught.value.do
    with pytest.raises(UserError, match=r"there is no .*nowhere/train.py"):
        evaluate_run(trained.output, recipe=tmp_path / "nowhere")


@pytest.mark.parametrize("where", ["in the run", "beside it", "a relative path"])
@pytest.mark.parametrize("signature", ["none", "empty", "made up", "of another path", "of another user"])
def test_a_strangers_run_does_not_choose_what_is_run(
    where: str, signature: str, trained: Recipe, tmp_path: Path, monkeypatch
) -> None:
    """An archive may hold a run folder and a train.py that its run.json names."""
    mark = tmp_path / "executed"
    folder = trained.output if where == "in the run" else tmp_path / "archive"
    folder.mkdir(exist_ok=True)
    code = (
        "from speechkit.tasks import Classification, main\n"
        + f"open({str(mark)!r}, 'w')\nmain(Classification, '')\n"
    )
    (folder / "train.py").write_text(code)
    monkeypatch.chdir(folder)
    named = "train.py" if where == "a relative path" else str(folder / "train.py")
    own = json.loads((trained.output / "run.json").read_text())["recipe_signature"]
    assert own
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "stranger"))
        strangers = ownership.sign(named)
    forged = {
        "none": None,
        "empty": "",
        "made up": "0" * 64,
        "of another path": own,
        "of another user": strangers,
    }
    change_run(trained.output, recipe=named, recipe_signature=forged[signature])
    with pytest.raises(UserError, match="nothing tells that you trained it on this machine") as caught:
        evaluate_run(trained.output)
    assert "look at that file" in caught.value.do
    assert not mark.exists()
    evaluate_run(trained.output, recipe=folder)
    assert mark.exists(), "the trap is real"


def test_the_key_is_the_users_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert not ownership.is_own("text", "0" * 64)  # without a key nothing is
    signature = ownership.sign("text")
    assert ownership.is_own("text", signature)
    assert not ownership.is_own("texts", signature)
    assert ownership.sign("text") == signature
    assert ownership.key_file().stat().st_mode & 0o777 == 0o600
    assert [path.name for path in ownership.key_file().parent.iterdir()] == ["run-key"]
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert ownership.sign("text") is None
