"""docs/recognition-search.md: its YAML builds, and does what the page says."""

import inspect
import re
from pathlib import Path

import pytest

from speechkit import config
from speechkit.decoding import AttentionBeam, CTCBeam, CTCSearch, RescoredSearch
from speechkit.errors import UserError

FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
TOKENIZER = "tokenizer: !new:speechkit.data.CharacterTokenizer\n    symbols: abc\n"


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "recognition-search.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(page) if match["kind"] == kind]


@pytest.fixture
def paths(page: str, tmp_path: Path) -> list[Path]:
    """A YAML of each block."""
    found = []
    for number, block in enumerate(blocks(page, "yaml")):
        found.append(tmp_path / f"{number}.yaml")
        found[-1].write_text(TOKENIZER + block)
    return found


def test_the_yaml_of_the_page_builds(paths: list[Path], page: str) -> None:
    searches = []
    for path in paths:
        assert config.check(path) == []
        searches.append(config.build(config.read(path)).values["search"])
    within, over = searches
    assert isinstance(within, CTCSearch)
    assert isinstance(over, RescoredSearch)
    assert over.search.beam.n_best == 20
    for block in blocks(page, "python"):
        compile(block, "the page", "exec")


def test_the_table_has_all_arguments_of_the_beams(page: str) -> None:
    section = page[page.index("## Beams") : page.index("## A language model within")]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|(.*)\|(.*)\|$", section, re.MULTILINE)
    told: list[set[str]] = [set(), set()]
    for names, *cells in rows:
        for seen, cell in zip(told, cells, strict=True):
            seen |= set(re.findall(r"\w+", names)) if cell.strip() else set()
    assert told == [set(inspect.signature(beam).parameters) for beam in (AttentionBeam, CTCBeam)]


def test_a_greedy_search_may_write_more(page: str, tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(re.search("`(search: .*GreedySearch .*?)`", page)[1])
    search = config.build(config.read(tmp_path / "h.yaml")).values["search"]
    assert search.max_ratio == 2


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
