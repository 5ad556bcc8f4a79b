"""What READMEs tell one to type exists: targets, commands, options, paths; marked Python runs.

Commands are those of blocks fenced as ```bash; Python that is fenced as ```python run is run, other Python
must at least be Python. A command of a kind not known here fails, so that none goes unnoticed.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<kind>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
# Words in capitals stand for what the reader fills in.
STAND_IN = re.compile(r"^[A-Z][A-Z0-9_]*(\.\.\.)?$")
PLAIN = {"git", "export", "ls", "open", "xdg-open", "tail", "pip", ".ci/run", "source"}
OVERRIDABLE = {"train", "check", "show", "evaluate", "find-lr", "tune", "sweep", "folds"}


def documents() -> list[Path]:
    found = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "recipes").rglob("README.md")]
    return [*found, *(PROJECT / "tools").rglob("README.md")]


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def blocks(text: str, kind: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(text) if match["kind"].strip() == kind]


@dataclass(frozen=True)
class Command:
    """One command of a block, and the folder that it is typed in."""

    words: tuple[str, ...]
    folder: Path


def commands(text: str, folder: Path = PROJECT) -> Iterator[Command]:
    """The commands of all bash blocks; `cd` counts until the end of its block."""
    for body in blocks(text, "bash"):
        here = folder
        for line in body.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
            lexer.whitespace_split = True
            words: list[str] = []
            for token in [*lexer, ";"]:
                if token.strip("&|;"):
                    words.append(token)
                    continue
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words.pop(0)  # VARIABLE=value before a command
                if words and words[0] == "cd":
                    here = (
                        PROJECT if words[1] == PROJECT.name or STAND_IN.match(words[1]) else here / words[1]
                    )
                    assert here.is_dir(), f"'{line}': no folder {here}"
                elif words:
                    yield Command(tuple(words), here)
                words = []


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


@cache
def help_of(words: tuple[str, ...]) -> str | None:
    """What `speechkit SUBCOMMAND --help` says; None if there is no such subcommand."""
    done = subprocess.run(
        [sys.executable, "-m", "speechkit.cli", *words[: 2 if words[0] == "synth" else 1], "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None


def faults_of_paths(command: Command, words: tuple[str, ...]) -> Iterator[str]:
    """Words that look like files of the project must be such; what a run makes need not be there."""
    for word in words:
        if not re.search(r"\.(py|yaml|md|toml|json)$", word) or STAND_IN.match(word.split("/")[0]):
            continue
        if word.startswith(("runs/", "data/", "/", "~", "$")) or "*" in word:
            continue
        if not (command.folder / word).exists():
            yield f"no file {command.folder / word}"


def faults_of_overrides(command: Command, file: str, words: tuple[str, ...]) -> Iterator[str]:
    """Overrides of a YAML must name its keys, or arguments of its Brain."""
    from speechkit.config import brain_schema, check

    path = command.folder / file
    if not path.is_file():
        return
    keys = [word[2:].split("=")[0] for word in words if word.startswith("--")]
    given = dict.fromkeys(re.findall(r"^(\w+): *!PLACEHOLDER", path.read_text(), re.MULTILINE), "given")
    for key in keys:
        if "." not in key and key not in {
            "build",
            "restart",
            "debug",
            "trust-config",
            "trust_config",
            "device",
        }:
            told = check(path, given | {key: None}, schema=brain_schema(path.parents[1] / "train.py"))
            yield from (f"--{key}: {problem}" for problem in told if problem.key == key)


def faults(command: Command) -> Iterator[str]:
    """Why a command would not run as it stands."""
    program, *rest = command.words
    words = tuple(rest)
    if program == "make":
        targets = [word for word in words if "=" not in word and not word.startswith("-")]
        yield from (f"no target '{target}'" for target in targets if target not in make_targets())
    elif program in {"speechkit", ".venv/bin/speechkit"}:
        text = help_of(words)
        if text is None:
            yield f"no subcommand '{words[0]}'"
            return
        options = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
        if words[0] not in OVERRIDABLE:
            yield from (f"speechkit {words[0]} has no option {name}" for name in options if name not in text)
    elif re.fullmatch(r"(\S*/)?(python3?|torchrun|pytest|ruff|mypy|pre-commit|uv)", program):
        pass
    elif program not in PLAIN:
        yield f"'{program}' is of no kind known to this test"
    yield from faults_of_paths(command, (program, *words))
    yamls = [word for word in words if word.endswith(".yaml")]
    if "train.py" in words and yamls:
        own = words[words.index("train.py") :]  # torchrun's options stand before
        yield from faults_of_overrides(command, yamls[0], own)


@pytest.mark.integration  # every recipe's YAMLs are checked
@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_commands_exist(path: Path) -> None:
    found = [
        f"{shlex.join(command.words)}: {fault}"
        for command in commands(path.read_text())
        for fault in faults(command)
    ]
    assert found == []


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_python_is_python_and_runs_where_it_says_so(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    for body in blocks(text, "python"):
        compile(body, name_of(path), "exec")
    for body in blocks(text, "python run"):
        done = subprocess.run(
            [sys.executable, "-c", body],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stderr}"


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_block_says_what_it_is(path: Path) -> None:
    known = {"bash", "python", "python run", "yaml", "text", "json"}
    assert {match["kind"].strip() for match in FENCE.finditer(path.read_text())} <= known


def test_the_two_commands_are_in_the_readme() -> None:
    words = {command.words for command in commands((PROJECT / "README.md").read_text())}
    assert {("make", "quickstart"), ("make", "test")} <= words


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("make quikstart", "no target 'quikstart'"),
        ("speechkit chekc a", "no subcommand 'chekc'"),
        ("speechkit report RUN --colour", "has no option --colour"),
        ("python tools/nothing.py", "no file"),
        ("make setup && frobnicate --now", "'frobnicate' is of no kind known"),
        ("python recipes/SpeechCommands/kws/train.py hparams/none.yaml", "no file"),
    ],
)
def test_a_planted_mistake_is_found(line: str, fault: str) -> None:
    told = [text for command in commands(f"```bash\n{line}\n```\n") for text in faults(command)]
    assert any(fault in text for text in told)


def test_a_misspelt_override_is_found() -> None:
    lines = "cd recipes/SpeechCommands/kws\npython train.py hparams/quickstart.yaml --data_foldr DIR"
    told = [text for command in commands(f"```bash\n{lines}\n```\n") for text in faults(command)]
    assert any("data_foldr" in text for text in told)


def test_a_folder_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="no folder"):
        list(commands("```bash\ncd recipes/Nowhere\n```\n"))
