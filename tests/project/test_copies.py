"""No two files share thirty lines in a row: what they share belongs in the library."""

from collections import defaultdict
from pathlib import Path

SHARED = 30  # consecutive significant lines
FOLDERS = ("speechkit", "recipes", "tools")


def significant_lines(text: str) -> list[tuple[int, str]]:
    """Numbered lines that say something: no blanks, comments, lone brackets."""
    numbered = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in numbered if line.strip("()[]{},") and line[0] != "#"]


def copies(files: list[Path]) -> list[str]:
    """Where two of the files have `SHARED` equal significant lines in a row, each pair told once."""
    places: dict[tuple[str, ...], dict[Path, int]] = defaultdict(dict)
    for path in files:
        lines = significant_lines(path.read_text())
        for start in range(len(lines) - SHARED + 1):
            window = tuple(line for _, line in lines[start : start + SHARED])
            places[window].setdefault(path, lines[start][0])
    pairs: dict[tuple[Path, ...], str] = {}
    for found in places.values():
        if len(found) > 1:
            told = " and ".join(f"{path}:{number}" for path, number in found.items())
            pairs.setdefault(tuple(found), f"{told} share {SHARED} lines or more")
    return list(pairs.values())


def test_no_code_is_copied(project: Path) -> None:
    files = [path for folder in FOLDERS for path in sorted((project / folder).rglob("*.py"))]
    assert len(files) > 10
    assert copies(files) == []


def test_a_planted_copy_is_found_where_it_begins(tmp_path: Path) -> None:
    body = [f"x{i} = {i}" for i in range(SHARED)]
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("\n".join(["a = 1", *body, "b = 2"]))
    second.write_text("\n".join(["c = 3", "", *(f"    {line}\n    # said otherwise" for line in body)]))
    assert copies([first, second]) == [f"{first}:2 and {second}:3 share {SHARED} lines or more"]


def test_one_line_less_is_no_copy(tmp_path: Path) -> None:
    body = [f"x{i} = {i}" for i in range(SHARED - 1)]
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("\n".join(["a = 1", *body, "b = 2"]))
    second.write_text("\n".join(["c = 3", *body, "d = 4"]))
    assert copies([first, second]) == []
