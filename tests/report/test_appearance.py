"""How the pages of three tasks look and behave: valid, readable, in reach of the keyboard, whole on paper."""

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechkit.report import choose_worst, write_clips, write_report
from speechkit.report.page import TEMPLATES
from tests.report import test_recognition, test_separation
from tests.report.chromium import Browser
from tests.report.strict_html import find_mistakes
from tests.report.test_page import Outline, make_hostile_run

TASKS = ("classification", "asr", "separation")
PAPER = 718  # CSS pixels within the margins of A4, as Chromium prints


def make_run(task: str, folder: Path, fake: Any) -> Path:
    """A run with all sections of its task's page, and a line of YAML longer than any screen."""
    if task == "classification":
        words = [f"{word}{number}" for word in fake.words for number in range(4)]  # more than are shown
        fake.write_run(folder, predictions={"test": fake.make_records(words=words, accuracy=0.6)})
    elif task == "asr":
        test_recognition.make_run(folder, fake, test_recognition.make_records())
    else:
        records = test_separation.make_records()
        test_separation.make_run(folder, fake, records)
        keep_mixtures(folder, [record["id"] for record in records[:2]], 1.0, fake)
    (folder / "hparams.yaml").write_text("key: [" + "a_long_value, " * 60 + "]\n")
    return folder


def keep_mixtures(folder: Path, ids: list[str], seconds: float, fake: Any) -> None:
    parts = ("mixture", "estimate 1", "reference 1", "estimate 2", "reference 2")
    write_clips(
        folder, "test", [(id_, fake.make_tone(300, seconds), 8000, part) for id_ in ids for part in parts]
    )


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, fake: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("appearance")
    return {task: write_report(make_run(task, folder / task, fake)) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_pages_are_valid(task: str, pages: dict[str, Path]) -> None:
    assert find_mistakes(pages[task].read_text()) == []


def test_a_page_of_attacks_is_valid(tmp_path: Path, fake: Any) -> None:
    assert find_mistakes(write_report(make_hostile_run(tmp_path / "run", fake)).read_text()) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("<p><div></div></p>", "<div> in <p>"), ("<p>", "</body> closes <p>"), ("<img src='a'>", "a name"),
        ("<ul><p></p></ul>", "<p> in <ul>"), ("<p id='a'></p><p id='a'></p>", "id a 2 times"),
        ("<a href='#b'>b</a>", "no id b"), ("<p onclick='x'></p>", "onclick of <p>"), ("<u></u>", "<u>"),
        ("<span aria-label='a'></span>", "which has no role"), ("<p class='a' class='b'></p>", "twice"),
        ("<table>text</table>", "text in <table>"), ("<dl><dd></dd></dl>", "before any <dt>"),
        ("<div/>", "<div/>"), ("<svg viewBox='0 0 1 1'></svg>", "<svg> without a name"),
        ("<details><p></p><summary></summary></details>", "not the first"), ("<ul></ul>", "not complete"),
        ("<p tabindex='3'></p>", "tabindex 3"), ("<tr></tr>", "<tr> in <body>"),
    ],
)  # fmt: skip
def test_the_check_of_pages_can_fail(wrong: str, told: str) -> None:
    page = "<!doctype html><html lang='en'><head><title>t</title></head><body>{}</body></html>"
    assert find_mistakes(page.format("<p>right</p>")) == []
    found = find_mistakes(page.format(wrong))
    assert found
    assert told in found[0]


def read_colours() -> dict[str, dict[str, list[float]]]:
    """The style sheet's colours by name, of each medium: red, green and blue from 0 to 255."""
    style = (TEMPLATES / "style.css").read_text()
    blocks = [
        dict(re.findall(r"--([\w-]+): ([^;]+);", block))
        for block in re.findall(r":root {(.*?)}", style, re.S)
    ]
    light, dark, paper = blocks
    whole = {
        "light": light,
        "dark": light | dark,
        "paper, light": light | paper,
        "paper, dark": light | dark | paper,
    }
    return {name: {key: _parse_colour(text) for key, text in block.items()} for name, block in whole.items()}


def _parse_colour(text: str) -> list[float]:
    if text.startswith("#"):
        digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
        return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
    return [float(number) for number in text.split(",")]


def lay(colour: list[float], opacity: float, below: list[float]) -> list[float]:
    return [opacity * upper + (1 - opacity) * lower for upper, lower in zip(colour, below, strict=True)]


def contrast(first: list[float], second: list[float]) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    lights = []
    for colour in (first, second):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
        lights.append(float(np.dot([0.2126, 0.7152, 0.0722], linear)))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([118, 118, 118], [255, 255, 255]) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("medium", ["light", "dark", "paper, light", "paper, dark"])
def test_text_stands_out_from_what_it_stands_on(medium: str) -> None:
    """At least 4.5:1, and 3:1 for what is drawn (WCAG 2.2, 1.4.3 and 1.4.11)."""
    colours = read_colours()[medium]
    style = (TEMPLATES / "style.css").read_text()
    of_text = set(re.findall(r"[{ ;](?:color|fill): var\(--(\w+)\)", style)) - {"card", "page"}
    assert {"ink", "soft", "first", "good", "bad"} <= of_text
    matrix = (TEMPLATES / "confusion.html").read_text()
    shades = [float(number) for number in re.search(r"\((0\.\d+) \+ (0\.\d+) \* cell", matrix).groups()]
    substituted = float(re.search(r"\.pair\.sub {[^}]*--shade-bad\), ([\d.]+)\)", style).group(1))
    for ground in (colours["page"], colours["card"]):
        for name in of_text:
            assert contrast(colours[name], ground) >= 4.5, name
        for shade in ("shade", "shade-bad"):
            assert contrast(colours["ink"], lay(colours[shade], sum(shades), ground)) >= 4.5, shade
        assert contrast(colours["bad"], lay(colours["shade-bad"], substituted, ground)) >= 4.5
        for opacity in re.findall(r"\.(?:ribbon|bin) {[^}]*opacity: ([\d.]+)", style):
            assert contrast(lay(colours["first"], float(opacity), ground), ground) >= 3
    assert re.findall(r"([.\w ]+) {[^}]*[ ;]opacity:", style) == [".chart .bin"], "text is never made paler"


class Tree(Outline):
    """Elements with how deep they stand, as they are written."""

    def __init__(self, page: str) -> None:
        self.tree: list[list[Any]] = []
        super().__init__(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tree.append([tag, len(self.open)])
        super().handle_starttag(tag, attributes)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.tree.append([tag, len(self.open)])


@pytest.mark.integration
@pytest.mark.parametrize("task", TASKS)
def test_a_browser_reads_the_tree_that_is_written(
    task: str, pages: dict[str, Path], browser: Browser
) -> None:
    """The standard's parser repairs what is wrong by moving, closing and adding elements."""
    browser.open(pages[task])
    depth = "let n = -1; for (let e = each; e; e = e.parentElement) n++; return [each.localName, n]"
    found = browser.ask(f"[...document.querySelectorAll('*')].map(each => {{ {depth} }})")
    assert found == Tree(pages[task].read_text()).tree


@pytest.mark.integration
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("task", TASKS)
def test_a_phone_shows_the_page_without_scrolling_sideways(
    task: str, dark: bool, pages: dict[str, Path], browser: Browser
) -> None:
    for width in (375, 768, 1280):
        browser.open(pages[task], width, dark=dark)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.logged == []
        asked = {address for address in browser.requests if not address.startswith("data:")}
        assert asked == {pages[task].resolve().as_uri()}
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    page = read_colours()["dark" if dark else "light"]["page"]
    assert ground == f"rgb({', '.join(f'{part:g}' for part in page)})"


@pytest.mark.integration
@pytest.mark.parametrize("task", TASKS)
def test_every_control_is_reached_by_the_tabulator(
    task: str, pages: dict[str, Path], browser: Browser
) -> None:
    browser.open(pages[task])
    found = "[...document.querySelectorAll('a[href], summary, audio, [tabindex]')]"
    browser.ask(f"window.controls = {found}.filter(each => each.checkVisibility()); 0")  # not what is folded
    n_controls, reached, unmarked = browser.ask("controls.length"), set(), set()
    for _ in range(12 * n_controls):  # a player has several stops within
        browser.press("Tab", 9)
        place = browser.ask("controls.indexOf(document.activeElement)")
        if place == n_controls - 1:
            break
        reached.add(place)
        if browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "none":
            unmarked.add(browser.ask("document.activeElement.tagName"))
    assert reached - {-1} == set(range(n_controls - 1))
    assert unmarked - {"BODY"} == set(), "what has the focus is seen"
    scrolling = "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
    scrolling += "['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"
    browser.open(pages[task], 375)
    assert browser.ask(scrolling) == 0, "what scrolls can be scrolled by keys"


@pytest.mark.integration
@pytest.mark.parametrize("task", TASKS)
def test_paper_shows_all_but_the_players(task: str, pages: dict[str, Path], browser: Browser) -> None:
    browser.open(pages[task], PAPER, media="print")
    assert browser.ask("document.documentElement.scrollWidth") <= PAPER, "no table is cut"
    hidden = (
        "[...document.querySelectorAll('details > :not(summary)')].filter(e => !e.checkVisibility()).length"
    )
    assert browser.ask("document.querySelectorAll('details').length") > 0
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = false)")
    assert browser.ask(hidden) == 0, "folded parts are printed"
    shown = "[...document.querySelectorAll('audio, nav')].filter(e => e.checkVisibility()).length"
    assert browser.ask(shown) == 0
    assert browser.print().startswith(b"%PDF")


def write_large_run(task: str, folder: Path, fake: Any, n: int) -> Path:
    """A run of n test utterances: those of a small one, again and again under other names."""
    makers = {"asr": test_recognition.make_records, "separation": test_separation.make_records}
    words = [f"word{number}" for number in range(35)]
    few = makers.get(task, lambda size: fake.make_records(size, n_skipped=0, words=words))(2000)
    chance, records = random.Random(0), []
    for number in range(n):
        record = few[number % len(few)] | {"id": f"{number:06d}", "speaker": f"s{number % 2500}"}
        if task == "separation":  # all figures differ, as those of real mixtures do
            scores = {name: value + chance.random() for name, value in record["scores"].items()}
            record |= {"speaker": None, "scores": scores}
        records.append(record)
    make_run(task, folder, fake)
    (folder / "predictions/test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    ids = [record["id"] for record in choose_worst(records, 20, task)]
    if task == "separation":  # with more audio than a page takes
        keep_mixtures(folder, ids, 10.0, fake)
    else:
        write_clips(folder, "test", [(each, fake.make_tone(300, 20.0), 16000) for each in ids])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_hundred_thousand_utterances_open_at_once(
    task: str, tmp_path: Path, fake: Any, browser: Browser
) -> None:
    folder = write_large_run(task, tmp_path / "run", fake, 100_000)
    start = time.process_time()
    page = write_report(folder)
    assert time.process_time() - start < 120
    assert page.stat().st_size < 15_000_000
    opened = []
    for _ in range(3):  # the machine may do other things
        browser.open(page)
        painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
        paint = browser.ask(
            f"new Promise(done => requestAnimationFrame(() => setTimeout(() => done({painted}), 50)))"
        )
        load = browser.ask("performance.timing.loadEventEnd - performance.timing.navigationStart")
        opened.append((load, paint))
    print(f"{task}: {page.stat().st_size / 1e6:.1f} MB, load {opened} ms")
    assert min(load for load, _ in opened) < 2000
    assert 0 < min(paint for _, paint in opened) < 2000
