"""`speechkit compare`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Typed


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> list[Path]:
    """The trained run twice, the second with another value in its YAML."""
    copies = [tmp_path / "one", tmp_path / "two"]
    for copy in copies:
        shutil.copytree(trained / "run", copy, ignore=shutil.ignore_patterns("checkpoints"))
    hparams = copies[1] / "hparams.yaml"
    hparams.write_text(hparams.read_text() + "extra: 3\n")
    return copies


def test_two_runs_are_compared(typed: Typed, runs: list[Path], tmp_path: Path) -> None:
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    code, told, _ = typed("compare", *runs, "--html", page, "--json", numbers)
    assert code == 0
    assert "two, against one:\n  no difference shown: 0.0 points [" in told
    assert "extra" in told
    assert told.endswith(f"page: {page}\n")
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(numbers.read_text())["keys"] == ["extra"]


def test_mistakes_have_code_2(typed: Typed, runs: list[Path], tmp_path: Path) -> None:
    for arguments, message in (
        ((runs[0],), "one run to compare"),
        ((*runs, "--metric", "wer"), "no run has a figure 'wer'"),
        ((*runs, "--check"), "--check without documents"),
        ((*runs, "--nonsense"), "unknown argument '--nonsense'"),
        ((runs[0], "--markdown", "README.md"), "expected one of both"),
        (("--markdown", tmp_path / "none.md"), "cannot read"),
    ):
        code, _, complaints = typed("compare", *arguments)
        assert (code, message in complaints) == (2, True), complaints


def test_documents_are_filled_and_checked(typed: Typed, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    stale = "<!-- table: loop.json -->\n<!-- end of table -->\n"
    page.write_text(stale)
    (tmp_path / "loop.json").write_text('{"steps": 3}')
    code, told, _ = typed("compare", "--markdown", page, "--check")
    assert (code, told) == (1, f"{page}: not what its results say, line 2: '<!-- end of table -->', but ''\n")
    assert page.read_text() == stale
    assert typed("compare", "--markdown", page)[:2] == (0, f"{page}: written\n")
    assert "| steps |\n| --- |\n| 3 |" in page.read_text()
    assert typed("compare", "--check", "--markdown", page)[:2] == (0, "")


def test_compare_does_not_need_torch(runs: list[Path]) -> None:
    code = (
        "import sys\nfor name in ('torch', 'scipy', 'lhotse'):\n    sys.modules[name] = None\n"
        "from speechkit.cli import main\ntry:\n"
        f"    main(['compare', *{list(map(str, runs))!r}, '--html', {str(runs[0] / 'page.html')!r}])\n"
        "except SystemExit as end:\n    print(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
