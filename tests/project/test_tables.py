"""No figure of a README or of the docs is of another run than its results."""

import subprocess
import sys
from pathlib import Path

MARKER = "<!-- table: "


def list_documents(project: Path) -> list[Path]:
    """Every page with a table, wherever it is."""
    folders = [project / name for name in ("docs", "recipes", "tools")]
    pages = [*project.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]
    return sorted(page for page in pages if MARKER in page.read_text(encoding="utf-8"))


def test_the_projects_own_tables_are_up_to_date(project: Path) -> None:
    pages = list_documents(project)
    assert {page.parent.name for page in pages} >= {"docs", "kws", "separation"}
    command = [sys.executable, "-m", "speechkit.cli", "compare", "--check", "--markdown", *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
