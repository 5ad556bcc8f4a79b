"""docs/recognition-search.md: its YAML builds, and does what the page says."""

import re
from pathlib import Path

import pytest

from speechkit import config
from speechkit.decoding import CTCSearch, RescoredSearch
from speechkit.errors import UserError

FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
TOKENIZER = "tokenizer: !new:speechkit.data.CharacterTokenizer\n    symbols: abc\n"


def blocks(project: Path, kind: str) -> list[str]:
    text = (project / "docs" / "recognition-search.md").read_text()
    return [match["body"] for match in FENCE.finditer(text) if match["kind"] == kind]


@pytest.fixture
def paths(project: Path, tmp_path: Path) -> list[Path]:
    """A YAML of each block."""
    found = []
    for number, block in enumerate(blocks(project, "yaml")):
        found.append(tmp_path / f"{number}.yaml")
        found[-1].write_text(TOKENIZER + block)
    return found


def test_the_yaml_of_the_page_builds(paths: list[Path], project: Path) -> None:
    searches = []
    for path in paths:
        assert config.check(path) == []
        searches.append(config.build(config.read(path)).values["search"])
    within, over = searches
    assert isinstance(within, CTCSearch)
    assert isinstance(over, RescoredSearch)
    assert over.search.beam.n_best == 20
    for block in blocks(project, "python"):
        compile(block, "the page", "exec")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (("lm_weight", "null"), r"search\.lm_weight: lm_weight None; expected a number from 0 on"),
        (("lm_weight", "-1"), r"search\.lm_weight: lm_weight -1; expected a number from 0 on"),
        (("length_bonus", ".nan"), r"search\.length_bonus: length_bonus nan; expected a number"),
        (("search.lm_weight", "null"), r"search\.search\.lm_weight: lm_weight None"),
        (("search.beam.n_best", "1"), r"search\.search\.beam\.n_best: n_best 1.*expected 2 at least"),
        (("lm", "null"), r"search\.lm: no language model"),
    ],
)
def test_mistakes_are_told_at_their_key(override: tuple[str, str], told: str, paths: list[Path]) -> None:
    key, value = override
    with pytest.raises(UserError, match=told):
        config.build(config.read(paths[1], [f"--search.{key}", value]))
