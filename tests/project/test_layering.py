"""Who may import whom (docs/design.md, part 2), read from the import statements; nothing is imported here."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BASE = {"errors", "stats"}
LOW = {"ops", "config", "report"}
MIDDLE = {"features", "nnet", "losses", "decoding", "metrics", "data"}
# For each room the rooms that it may import, apart from itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "stats": {"errors"},
    **dict.fromkeys(LOW, BASE),
    **{room: BASE | {"ops"} for room in MIDDLE},
    "models": BASE | {"ops"} | MIDDLE,
    "training": BASE | LOW,
    "tasks": BASE | LOW | MIDDLE | {"models", "training"},
    "cli": BASE | LOW | MIDDLE | {"models", "training", "tasks"},
}
# The package itself, of which only the lazy `load` is used: it belongs to tasks.
PACKAGE = "speechkit"
TORCHAUDIO = ("features/", "ops/resample.py", "ops/alignment.py")
# Each of these imports torch, however small the part that one asks for.
TORCH_FAMILY = {"torch", "torchaudio", "torchmetrics", "lhotse"}
OUTSIDE = {"recipes", "tests", "tools"}
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
LAZY_ROOMS_OF_CLI = BASE | {"config"}


@dataclass(frozen=True)
class Import:
    """One module that a file asks for; `deferred` if not when the file itself is imported."""

    module: str
    line: int
    deferred: bool


def imports_of(path: Path, package: str) -> Iterator[Import]:
    """All imports of a file, within functions and by importlib with a literal name too.

    `package` is the dotted package that the file's relative imports start from.
    """

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, deferred)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*above, source] if source else above)
            for alias in node.names:
                yield Import(f"{source}.{alias.name}", node.lineno, deferred)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            name = node.args[0].value
            if called in {"importlib.import_module", "import_module", "__import__"} and isinstance(name, str):
                yield Import(name, node.lineno, deferred)
        for child in ast.iter_child_nodes(node):
            inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from visit(child, deferred or inner or typing_only)

    yield from visit(ast.parse(path.read_text(), str(path)), deferred=False)


def room_of(relative: Path) -> str:
    """The room of a file of the package: its folder, or its own name at the top."""
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_room(module: str) -> str | None:
    """The room of a dotted name of the package; None for another library's."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    return "tasks" if parts[1:2] == ["load"] else parts[1] if len(parts) > 1 else PACKAGE


def violations(package_folder: Path) -> list[str]:
    """Every import of the package that the rules forbid, and every file that no rule covers."""
    found = []
    for path in sorted(package_folder.rglob("*.py")):
        relative = path.relative_to(package_folder)
        room = room_of(relative)
        if room == "__init__":
            allowed = set(MAY_IMPORT)
        elif room in MAY_IMPORT:
            allowed = MAY_IMPORT[room] | {room}
        else:
            found.append(f"{relative}: no rule for room '{room}'")
            continue
        package = ".".join([PACKAGE, *relative.parts[:-1]])
        for statement in imports_of(path, package):
            where = f"{relative}:{statement.line}"
            found += [f"{where}: {reason}" for reason in faults(statement, relative, room, allowed)]
    return found


def faults(statement: Import, relative: Path, room: str, allowed: set[str]) -> Iterator[str]:
    """What is wrong with one import of a file."""
    top = statement.module.split(".")[0]
    target = imported_room(statement.module)
    if target is not None and target not in allowed:
        yield f"{room} may not import {statement.module}"
    if top in OUTSIDE:
        yield f"the package may not import {statement.module}"
    if top == "torchaudio" and not str(relative).startswith(TORCHAUDIO):
        yield f"only {', '.join(TORCHAUDIO)} import torchaudio"
    if room == "report" and (top in TORCH_FAMILY or statement.module.startswith("safetensors.torch")):
        yield f"report works without torch, but imports {statement.module}"
    if room in {"config", "cli", "__init__", "errors"} and not statement.deferred and top in TORCH_FAMILY:
        yield f"{room} may import {statement.module} only where it is used"
    if room == "stats" and top not in sys.stdlib_module_names | {"numpy", PACKAGE}:
        yield f"stats needs numpy only, but imports {statement.module}"
    if room == "cli" and not statement.deferred and target not in LAZY_ROOMS_OF_CLI | {"cli", None}:
        yield f"cli may import {statement.module} only where it is used"
    if room == "__init__" and not statement.deferred and target is not None:
        yield f"the package's __init__ is lazy, but imports {statement.module}"


def faults_of_init(path: Path) -> list[str]:
    """What a room's `__init__` does beyond naming the room's public classes and functions."""
    names: list[str] = []
    listed: list[str] | None = None
    found = []
    for node in ast.parse(path.read_text(), str(path)).body:
        if isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found.append(f"line {node.lineno}: '{ast.unparse(node).splitlines()[0]}' is no explicit import")
    if "*" in names:
        found.append("imports by '*'")
    if (names or listed) and sorted(names) != sorted(listed or []):
        found.append(f"imports and __all__ differ in {sorted(set(names) ^ set(listed or []))}")
    return found


@pytest.fixture(scope="module")
def package_folder(project: Path) -> Path:
    return project / PACKAGE


def test_rooms_import_only_what_they_may(package_folder: Path) -> None:
    assert violations(package_folder) == []


def test_every_file_of_the_package_is_seen(package_folder: Path, tmp_path: Path) -> None:
    """Break each file in turn: each break is found, so no file is overlooked."""
    copy = tmp_path / PACKAGE
    shutil.copytree(package_folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(copy.rglob("*.py"))
    assert len(files) > 10
    for path in files:
        path.write_text(path.read_text() + "\n\ndef planted():\n    import recipes\n")
    blamed = {line.split(":")[0] for line in violations(copy) if "may not import recipes" in line}
    assert blamed == {str(path.relative_to(copy)) for path in files}


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("nnet/a.py", "from speechkit.features import LogMel", "nnet may not import speechkit.features"),
        ("nnet/a.py", "def f():\n    import speechkit.models.crdnn", "nnet may not import speechkit.models"),
        ("nnet/a.py", "from ..data import Batch", "nnet may not import speechkit.data"),
        ("nnet/a.py", "from .. import data", "nnet may not import speechkit.data"),
        ("nnet/a.py", "from speechkit import load", "nnet may not import speechkit.load"),
        ("nnet/a.py", "import importlib\nimportlib.import_module('speechkit.tasks')", "may not import"),
        ("nnet/deep/a.py", "from ...training import Brain", "nnet may not import speechkit.training"),
        ("ops/a.py", "import speechkit.config", "ops may not import speechkit.config"),
        ("training/brain.py", "from speechkit.data import Batch", "training may not import speechkit.data"),
        ("tasks/a.py", "from speechkit import cli", "tasks may not import speechkit.cli"),
        ("ops/signal.py", "import torchaudio.functional", "import torchaudio"),
        ("data/a.py", "def f():\n    from torchaudio import load", "import torchaudio"),
        ("report/a.py", "def f():\n    import torch", "report works without torch"),
        ("report/a.py", "from safetensors.torch import load_file", "report works without torch"),
        ("config/a.py", "import torch.nn", "only where it is used"),
        ("config/a.py", "class A:\n    import torch", "only where it is used"),
        ("stats/a.py", "from scipy import stats", "stats needs numpy only"),
        ("cli.py", "from speechkit import tasks", "only where it is used"),
        ("__init__.py", "from speechkit.tasks import load", "is lazy"),
        ("extra/a.py", "", "no rule for room 'extra'"),
        ("extra.py", "", "no rule for room 'extra'"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, text: str, reason: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "nnet/a.py",
            "import torch\nfrom speechkit.ops import length_mask\nfrom speechkit.errors import UserError",
        ),
        ("nnet/a.py", "from .linear import Linear\nfrom speechkit import stats"),
        ("ops/resample.py", "import torchaudio"),
        ("features/mel.py", "from torchaudio.functional import melscale_fbanks"),
        ("models/a.py", "from speechkit.nnet import Linear"),
        ("config/a.py", "def f():\n    import torch"),
        ("config/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("cli.py", "from speechkit.errors import UserError\ndef f():\n    from speechkit import load, tasks"),
        ("__init__.py", "def __getattr__(name):\n    from speechkit.tasks import load\n    return load"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert violations(tmp_path) == []


def test_rooms_init_files_only_name_what_is_public(package_folder: Path) -> None:
    inits = list(package_folder.glob("*/__init__.py"))
    assert {path.parent.name for path in inits} >= {"ops", "config", "report", "nnet", "training", "tasks"}
    found = {path.parent.name: faults_of_init(path) for path in inits}
    assert {room: faults for room, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from .a import *\n__all__ = []", "'*'"),
        ("from .a import A", "__all__ differ in ['A']"),
        ("from .a import A\n__all__ = ['A', 'B']", "__all__ differ in ['B']"),
        ("import torch", "no explicit import"),
        ("def f():\n    return 1", "no explicit import"),
    ],
)
def test_a_room_that_does_more_in_its_init_is_found(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "__init__.py"
    path.write_text(f'"""A room."""\n{text}\n')
    assert any(reason in fault for fault in faults_of_init(path))


def test_no_file_is_named_for_odds_and_ends(project: Path) -> None:
    folders = [project / name for name in (PACKAGE, *OUTSIDE)]
    paths = [path for folder in folders for path in folder.rglob("*")]
    assert [str(path) for path in paths if path.stem in BANNED_NAMES] == []


def test_light_rooms_do_not_load_torch() -> None:
    """What the import statements promise, seen in a process: these load neither torch nor scipy."""
    program = """
import sys
import speechkit, speechkit.errors, speechkit.stats, speechkit.config, speechkit.report, speechkit.cli
print([name for name in ("torch", "scipy", "lhotse", "torchaudio", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
