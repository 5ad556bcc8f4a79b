"""Randomly damaged copies of shipped YAMLs: they load, or a message says where; never a traceback."""

import collections
import random
import re
from pathlib import Path

import pytest

from speechkit import config

from .damage import damage
from .oracle import PROJECT, SAMPLES, placeholders, shipped

SEED = 20261121


def damaged_runs(n: int, folder: Path) -> list[tuple[str, bool, bool, str]]:
    """Check `n` damaged files; of each the kind, whether anything was told, whether of the damaged line."""
    rng = random.Random(SEED)
    sources = [*shipped(), SAMPLES / "keywords.yaml"]
    context = {
        path: (path.read_text(encoding="utf-8"), placeholders(path), schema_of(path)) for path in sources
    }
    found = []
    for _ in range(n):
        source = rng.choice(sources)
        text, filled, schema = context[source]
        case = damage(text, rng)
        # beside the source's copy, so that its includes are found
        path = folder / source.name
        path.write_text(case.text.replace("!include:", f"!include:{source.parent}/"), encoding="utf-8")
        problems = config.check(path, filled, schema=schema)
        for problem in problems:
            assert re.match(r"\S.*:\d+:\d+ \S", str(problem)), str(problem)
            assert problem.place.file == "command line" or problem.place.line >= 1
            assert problem.key or problem.place.line == 1 or "no key" in problem.message, str(problem)
            assert "Traceback" not in str(problem)
        told = bool(problems)
        named = any(p.place.file == str(path) and p.place.line in case.lines for p in problems)
        line = case.text.split("\n")[case.lines[0] - 1]
        found.append(
            (case.kind, told, named, f"{case.kind}: {line.strip()!r} -> {[str(p) for p in problems][:2]}")
        )
    return found


def schema_of(path: Path) -> config.Schema | None:
    train_file = config.find_train_file(path)
    if path.name == "keywords.yaml":
        train_file = PROJECT / "recipes" / "SpeechCommands" / "kws" / "train.py"
    return config.brain_schema(train_file) if train_file else None


def shares(found: list[tuple[str, bool, bool, str]]) -> str:
    """A table: of each kind how many were told, and how many of them on the damaged line."""
    rows = collections.defaultdict(lambda: [0, 0, 0])
    for kind, told, named, _ in found:
        for key in (kind, "all"):
            rows[key][0] += 1
            rows[key][1] += told
            rows[key][2] += named
    return "\n".join(
        f"{kind:38} {n:5} told {told / n:5.0%} on the line {named / n:5.0%}"
        for kind, (n, told, named) in sorted(rows.items())
    )


def expect_most_named(found: list[tuple[str, bool, bool, str]]) -> None:
    print(shares(found))
    assert sum(named for _, _, named, _ in found) >= len(found) / 2, shares(found)


@pytest.mark.integration
def test_200_damaged_copies(tmp_path: Path):
    expect_most_named(damaged_runs(200, tmp_path))


@pytest.mark.slow
def test_2000_damaged_copies(tmp_path: Path):
    expect_most_named(damaged_runs(2000, tmp_path))
