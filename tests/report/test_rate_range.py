"""The page and the lines of a learning-rate range test."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from speechkit.errors import UserError
from speechkit.report import format_rate_range, read_json, write_rate_range
from speechkit.report.charts import LEFT, RIGHT, WIDTH


def make_result(n: int = 81, **changes: object) -> dict:
    rates = [10 ** (-7 + 0.1 * step) for step in range(n)]
    losses = [2 - math.tanh(math.log10(rate) + 3) + math.exp(5 * math.log10(rate)) for rate in rates]
    return {
        "schema": 1, "task": "classification", "dataset": "SpeechCommands", "n_steps": n, "rates": rates,
        "losses": losses, "smoothed": losses, "ceiling": 5.0, "stopped": None, "suggestion": 1e-3,
        "tenth_of_lowest": 0.02, "notes": [], "optimizers": {"main": {"given": 3e-3, "suggestion": 1e-3}},
        "hparams": "seed: 1\n", "hparams_sha256": "3b" * 32, "seed": 1, "device": "cpu",
        "commit": {"hash": "15d109a4c2b7", "dirty": False}, "versions": {"torch": "2.11.0"}, "overrides": {},
        **changes,
    }  # fmt: skip


def write_page(folder: Path, **changes: object) -> str:
    return write_rate_range(folder, make_result(**changes)).read_text()


def test_the_suggestion_is_marked_at_its_place(tmp_path: Path) -> None:
    """Exponents -7 to 1 go from the left end to the right; -3 is the middle."""
    page = write_page(tmp_path)
    (x,) = re.findall(r'<path class="mark" d="M([\d.]+) ', page)
    assert float(x) == pytest.approx((LEFT + WIDTH - RIGHT) / 2, abs=0.02)
    assert ">suggested 1e-3</text>" in page
    ticks = re.findall(r'<text x="[\d.]+" y="241" text-anchor="middle">([^<]*)<', page)
    assert ticks == ["1e-6", "1e-4", "0.01", "1"]


def test_a_range_of_less_than_a_decade_has_its_ends_on_the_axis(tmp_path: Path) -> None:
    rates = [0.02 * 1.01**step for step in range(81)]
    page = write_page(tmp_path, rates=rates, suggestion=0.03)
    ticks = re.findall(r'<text x="([\d.]+)" y="241" text-anchor="middle">([^<]*)<', page)
    assert [(float(x), text) for x, text in ticks] == [(LEFT + 6, "0.02"), (WIDTH - RIGHT - 6, "0.044")]


def test_losses_beyond_the_ceiling_are_told_and_not_drawn(tmp_path: Path) -> None:
    page = write_page(tmp_path, stopped="not finite", losses=[1.0, 2.0] * 39 + [1e30, 7.0, None])
    assert "3 losses too high to draw, or not finite" in page
    assert "81 of 81, up to a rate of 10: the loss or its gradient was not finite" in page
    assert "1e30" not in page


def test_a_page_without_a_suggestion(tmp_path: Path) -> None:
    none = {"suggestion": None, "tenth_of_lowest": None}
    optimizers = {"main": {"given": 3e-3, "suggestion": None}}
    page = write_page(tmp_path, **none, smoothed=[], optimizers=optimizers, notes=["too few steps <b>"])
    assert 'class="mark' not in page
    assert "Too few steps &lt;b&gt;." in page
    page = write_page(tmp_path, **none, smoothed=[], losses=[None] * 81, optimizers=optimizers)
    assert "No loss was finite." in page


class Tags(HTMLParser):
    """Every tag is closed in the order in which it was opened."""

    void = ("meta", "link", "path", "circle", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open += [] if tag in self.void else [tag]
        assert not {"src", "href"} & {name for name, value in attrs if (value or "").startswith("http")}

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    tags = Tags()
    tags.feed(write_page(tmp_path, overrides={"optimizer.lr": 0.1}, stopped="diverged"))
    assert tags.open == []


def test_several_optimizers_are_listed_with_their_own(tmp_path: Path) -> None:
    optimizers = {"net": {"given": 0.01, "suggestion": 1e-3}, "rest": {"given": 0.03, "suggestion": 3e-3}}
    assert "optimizer rest</dt><dd>0.03 in the YAML, suggested 3e-3" in write_page(
        tmp_path, optimizers=optimizers
    )
    assert "optimizer rest: 3e-3 (the YAML has 0.03)" in format_rate_range(make_result(optimizers=optimizers))


def test_the_json_is_checked_and_holds_all(tmp_path: Path) -> None:
    write_page(tmp_path, ceiling=math.inf)
    assert read_json(tmp_path / "find_lr.json", "find_lr") == make_result(ceiling=None)
    broken = json.loads((tmp_path / "find_lr.json").read_text()) | {"stopped": "tired"}
    (tmp_path / "find_lr.json").write_text(json.dumps(broken))
    with pytest.raises(UserError):
        read_json(tmp_path / "find_lr.json", "find_lr")


def test_lines_for_the_terminal() -> None:
    told = format_rate_range(make_result(stopped="diverged"))
    assert told.splitlines() == [
        "suggested learning rate: 1e-3, where the loss falls fastest (the YAML has 3e-3)",
        "a tenth of the rate where it is lowest: 0.02",
        "81 of 81 steps, up to a rate of 10: the loss had diverged",
    ]
    told = format_rate_range(make_result(suggestion=None, notes=["at no rate did the loss fall"]))
    assert told.startswith("no learning rate is suggested\nat no rate did the loss fall\n")
