"""`speechkit report`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Typed


def test_report_writes_the_page_again(typed: Typed, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(trained / "run", copied)
    before = json.loads((copied / "report.json").read_text())
    for name in ("report.json", "report.html"):
        (copied / name).unlink()
    code, told, _ = typed("report", copied)
    assert code == 0
    assert f"report: {copied / 'report.html'}" in told
    assert "accuracy" in told
    assert json.loads((copied / "report.json").read_text()) == before
    assert (copied / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "missing",
    [
        ["predictions", "clips"],
        ["log.jsonl"],
        ["events.jsonl", "model.json", "hparams.yaml"],
        ["predictions", "clips", "log.jsonl", "events.jsonl", "model.json", "hparams.yaml", "checkpoints"],
    ],
)
def test_report_of_a_part_of_a_run(missing: list[str], typed: Typed, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "part"
    shutil.copytree(trained / "run", copied)
    for name in missing:
        path = copied / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert typed("report", copied)[0] == 0
    assert (copied / "report.html").stat().st_size > 2000


def test_report_of_what_is_no_run(typed: Typed, tmp_path: Path) -> None:
    code, _, complaints = typed("report", tmp_path)
    assert (code, "holds no run.json" in complaints) == (2, True)
    (tmp_path / "run.json").write_text("{}")
    code, _, complaints = typed("report", tmp_path)
    assert (code, "run.json:1:1" in complaints) == (2, True)


def test_report_does_not_need_torch(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom speechkit.cli import main\ntry:\n"
        f"    main(['report', {str(tmp_path / 'run')!r}])\nexcept SystemExit as end:\n    print(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
