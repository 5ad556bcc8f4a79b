"""What the project's files must be: short, named plainly, finished, and never audio."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

AUDIO = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".m4a", ".aac", ".aiff"}
CODE = ("speechkit", "recipes", "tools")
N_LINES = 400  # the guide is 300
# A file that is longer, and why it is one idea all the same.
LONGER: dict[str, str] = {}
N_BYTES = 1_000_000
# A larger file, and why it is here.
LARGER: dict[str, str] = {}
# In two parts, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def project_files(project: Path) -> list[Path]:
    """The files that are, or would be, committed: git's view, or all of them where there is no git."""
    if (project / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
        return [path for line in listed.splitlines() if (path := project / line).is_file()]
    return [path for path in project.rglob("*") if path.is_file() and ".venv" not in path.parts]


@pytest.fixture(scope="module")
def files(project: Path) -> list[Path]:
    found = project_files(project)
    assert project / "pyproject.toml" in found
    return found


def is_code(path: Path, project: Path) -> bool:
    return path.suffix == ".py" and path.relative_to(project).parts[0] in CODE


def test_no_audio_is_committed(files: list[Path]) -> None:
    assert [str(path) for path in files if path.suffix.lower() in AUDIO] == []


def test_files_are_small(files: list[Path], project: Path) -> None:
    sizes = {str(path.relative_to(project)): path.stat().st_size for path in files}
    larger = {name: size for name, size in sizes.items() if size > N_BYTES and name not in LARGER}
    assert larger == {}


def test_code_files_have_one_idea(files: list[Path], project: Path) -> None:
    counts = {
        str(path.relative_to(project)): len(path.read_text().splitlines())
        for path in files
        if is_code(path, project)
    }
    assert len(counts) > 10
    assert {name: n for name, n in counts.items() if n > N_LINES and name not in LONGER} == {}
    assert [name for name in LONGER if counts.get(name, 0) <= N_LINES] == [], "needs no exception any more"


def test_nothing_is_left_unfinished(files: list[Path], project: Path) -> None:
    texts = [path for path in files if path.suffix in {".py", ".yaml", ".md", ".toml", ".j2", ".js", ".css"}]
    found = [
        f"{path.relative_to(project)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_every_test_file_is_collected(files: list[Path], project: Path) -> None:
    """A file beside the tests that pytest would not collect, or that has no test, is a mistake."""
    folder = project / "tests"
    ours = [path for path in files if path.is_relative_to(folder) and path.suffix == ".py"]
    assert len(ours) > 3
    strays = []
    for path in ours:
        names = {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        tests = any(name.startswith("test_") for name in names)
        if path.name.startswith("test_") != tests and path.name not in {"conftest.py", "__init__.py"}:
            strays.append(str(path.relative_to(project)))
    # Programs that tests run in a process of their own are named for it.
    assert [name for name in strays if "/programs/" not in name] == []


def test_links_between_files_lead_somewhere(files: list[Path], project: Path) -> None:
    """Links in Markdown to files of the project."""
    broken = []
    for path in (path for path in files if path.suffix == ".md"):
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)\s#]+)", path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(project)}: {target}")
    assert broken == []


def test_yaml_pieces_are_named_in_the_words_of_the_field(files: list[Path], project: Path) -> None:
    """Recipes' and pieces' names are lower case: paths are typed, and some file systems ignore case."""
    folders = (project / "recipes", project / "configs")
    yamls = [path for path in files if path.suffix == ".yaml" and path.is_relative_to(project)]
    yamls = [path for path in yamls if any(path.is_relative_to(folder) for folder in folders)]
    assert [str(path) for path in yamls if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", path.name)] == []
    assert [str(path) for folder in folders for path in folder.rglob("*.yml")] == []
