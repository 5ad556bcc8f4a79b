"""The page: other people's text stays text, all it needs is in it, and a browser is content with it."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from speechkit.report import compare_runs, render_comparison, write_report
from speechkit.report.classification import OTHER, describe_labels, tabulate_confusion
from speechkit.stats import count_pairs
from tests.report.chromium import Browser

HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}</pre></style>"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """Elements with their attributes, and whether every one that opens also closes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, text: str) -> None:
        self.text += text + " "

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def make_hostile_run(folder: Path, fake) -> Path:
    """Every text that the page shows is an attack."""
    records = fake.make_records(n=20)
    for record in records[:5]:
        record["id"] += HOSTILE
    for record in records:
        if record["reference"] == "yes":
            record["reference"] = HOSTILE
        record["speaker"] = HOSTILE
        record["skipped"] = record["skipped"] and HOSTILE
        if record["scores"]:
            record["scores"]["top"][0][0] = HOSTILE
    log = fake.make_log()
    for line in log:
        line["learning_rate"] = {HOSTILE: 1e-3, "b": 2e-3}
        if line["kind"] == "epoch":
            line["valid"] = {HOSTILE: 1.0}
    description = fake.make_description(
        dataset=HOSTILE, device=HOSTILE, overrides={HOSTILE: HOSTILE, "list": [HOSTILE]}, started=HOSTILE,
        versions={HOSTILE: HOSTILE}, commit={"hash": HOSTILE, "dirty": False}, recipe=HOSTILE,
        hparams_sha256=HOSTILE, fingerprint=HOSTILE,
    )  # fmt: skip
    fake.write_run(folder, predictions={"test": records}, log=log, description=description)
    (folder / "hparams.yaml").write_text(HOSTILE)
    model = (folder / "model.json").read_text().replace("BCResNet", HOSTILE.replace('"', '\\"'))
    (folder / "model.json").write_text(model)
    event = '{"event": "<script>1</script>", "time": 0, "why": "<script>2</script>"}\n'
    (folder / "events.jsonl").write_text(event)
    return folder


def test_other_peoples_text_stays_text(tmp_path: Path, fake) -> None:
    outline = Outline(write_report(make_hostile_run(tmp_path / "run", fake)).read_text())
    assert outline.mistakes == []
    assert outline.open == []
    tags = {tag for tag, _ in outline.elements}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "embed", "form"})
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    assert outline.text.count(HOSTILE) > 20
    assert "49" not in re.findall(r"\b49\b", outline.text)


def test_all_that_the_page_needs_is_in_it(run_folder: Path) -> None:
    outline = Outline(write_report(run_folder).read_text())
    addresses = [
        attributes[name]
        for _, attributes in outline.elements
        for name in ("src", "href", "srcset", "poster", "data", "action")
        if name in attributes
    ]
    assert len(addresses) > 12
    assert [each for each in addresses if not each.startswith(("#", "data:"))] == []
    ids = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    assert {each[1:] for each in addresses if each.startswith("#")} <= ids
    style = write_report(run_folder).read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_is_well_formed_and_names_what_it_shows(run_folder: Path) -> None:
    outline = Outline(write_report(run_folder).read_text())
    assert (outline.mistakes, outline.open) == ([], [])
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(outline.all("h1")) == 1
    assert all(attributes.get("aria-label") for attributes in outline.all("audio"))
    pictures = [each for each in outline.all("svg") if each.get("role") == "img"]
    assert len(pictures) == 5, "four charts and the flow of words"
    named = [each["aria-labelledby"] for each in pictures if "aria-labelledby" in each]
    assert set(named) <= set(ids)
    assert len(named) + sum(bool(each.get("aria-label")) for each in pictures) == 5
    scrolling = [each for _, each in outline.elements if each.get("class") == "scroll"]
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in scrolling)


def test_the_clips_that_play_are_those_of_the_run(run_folder: Path, fake) -> None:
    page = write_report(run_folder).read_text()
    sources = [each["src"].removeprefix("data:audio/wav;base64,") for each in Outline(page).all("audio")]
    assert len(sources) == 12
    expected = fake.make_tone(220).astype("<i2").tobytes()
    assert base64.b64decode(sources[0]).endswith(expected)


def test_audio_beyond_the_budget_is_named_by_its_file(run_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("speechkit.report.page.AUDIO_BYTES", 100_000)
    outline = Outline(write_report(run_folder).read_text())
    assert len(outline.all("audio")) == 2
    assert outline.text.count("Not in this page:") == 10


def test_every_section_is_there(run_folder: Path) -> None:
    text = re.sub(r"\s+", " ", Outline(write_report(run_folder).read_text()).text)
    for part in (
        "Classification on SpeechCommands", "accuracy on test 92.0 %", "over 300 utterances",
        "over 40 speakers", "best epoch 10", "Learning rate", "Time per epoch (s)", "Confusion matrix",
        "Accuracy by word", "Worst clips", "taken for", "8 modules", "2 × 101 × 20 × 16",
        "3,023,120 multiply-adds for 1 s of audio",
        "data_folder /data/speech_commands", "!new:speechkit.models.BCResNet", "torch 2.11.0",
        "with uncommitted changes", "1 (1 unreadable)",
    ):  # fmt: skip
        assert part in text, part


def test_a_confusion_matrix_shows_the_counts(run_folder: Path, fake) -> None:
    records = [record for record in fake.make_records() if not record["skipped"]]
    table = write_report(run_folder).read_text().split('<table class="confusion">')[1].split("</table>")[0]
    rows = [[int(cell) for cell in re.findall(r">(\d+)</td>", row)] for row in table.split("<tr>")[2:]]
    labels = sorted(fake.words)
    expected = count_pairs([r["reference"] for r in records], [r["hypothesis"] for r in records], labels)
    assert rows == expected.tolist()


def test_many_labels_are_added_up_without_losing_an_utterance() -> None:
    generator = np.random.default_rng(0)
    matrix = np.diag(generator.integers(5, 20, 100))
    for first, second in generator.integers(0, 100, (200, 2)):
        matrix[first, second] += 1
    labels = [f"word{i:02d}" for i in range(100)]
    table = tabulate_confusion(matrix, labels)
    assert table["labels"][-1] == OTHER
    assert (len(table["rows"]), table["n_labels"], table["n_shown"]) == (30, 100, 29)
    assert sum(cell["count"] for row in table["rows"] for cell in row["cells"]) == matrix.sum()
    errors = {
        label: matrix[i].sum() + matrix[:, i].sum() - 2 * matrix[i, i] for i, label in enumerate(labels)
    }
    shown = [errors.pop(label) for label in table["labels"][:-1]]
    assert min(shown) >= max(errors.values())
    assert table["rows"][-1]["cells"][-1]["kind"] == "mixed"
    assert {row["cells"][i]["kind"] for i, row in enumerate(table["rows"][:-1])} == {"right"}
    row = table["rows"][3]
    original = labels.index(row["label"])
    assert row["total"] == matrix[original].sum()
    assert row["cells"][3]["count"] == matrix[original, original]


def test_of_many_labels_the_hardest_have_a_row() -> None:
    generator = np.random.default_rng(0)
    said, heard = generator.integers(0, 300, (2, 3000))
    heard = np.where(generator.random(3000) < 0.7, said, heard)
    labels = [f"word{number:03d}" for number in range(301)]  # of which one is neither said nor recognised
    matrix = np.zeros((301, 301), dtype=np.int64)
    np.add.at(matrix, (said, heard), 1)
    rows = describe_labels(matrix, labels)
    n_right = {label: (said[said == heard] == number).sum() for number, label in enumerate(labels)}
    recall = {label: n_right[label] / max(1, (said == number).sum()) for number, label in enumerate(labels)}
    expected = sorted(labels[:300], key=lambda label: (recall[label], label))[:200]
    assert [row["label"] for row in rows] == expected
    assert [row["recall"] for row in rows] == pytest.approx([100 * recall[label] for label in expected])
    assert describe_labels(matrix[-2:, -2:], labels[-2:])[-1] == {
        "label": "word300", "n": 0, "correct": 0, "recall": None, "ends": None, "precision": None,
    }  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["usual", "hostile"])
def test_a_browser_opens_the_page_offline_and_has_nothing_to_complain(kind, tmp_path, fake, browser) -> None:
    make = fake.write_run if kind == "usual" else lambda folder: make_hostile_run(folder, fake)
    page = write_report(make(tmp_path / "run"))
    browser.open(page, 390)
    assert browser.logged == []
    assert browser.ask("document.title") != "owned"
    n_players = browser.ask("document.querySelectorAll('audio').length")
    assert n_players == len(Outline(page.read_text()).all("audio")) == 12


@pytest.mark.integration
def test_the_browser_check_can_fail(run_folder: Path, browser: Browser) -> None:
    page = write_report(run_folder)
    page.write_text(page.read_text().replace("</body>", "<script>document.title='owned'</script></body>"))
    browser.open(page, 390)
    assert "Content Security Policy" in "".join(browser.logged)
    assert browser.ask("document.title") != "owned"


@pytest.mark.integration
def test_a_browser_has_nothing_to_complain_of_a_comparison(tmp_path: Path, fake, browser: Browser) -> None:
    runs = [make_hostile_run(tmp_path / name, fake) for name in ("one", "two", "<b>")]
    (runs[1] / "hparams.yaml").write_text("seed: 3\nmodel: '<script>document.title=\"owned\"</script>'\n")
    page = tmp_path / "comparison.html"
    page.write_text(render_comparison(compare_runs(runs)))
    for width in (375, 768, 1280):
        browser.open(page, width)
        assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.logged == []
    assert browser.ask("document.title") != "owned"
    assert browser.ask("document.querySelectorAll('svg').length") == 8
    assert [each for each in browser.requests if not each.startswith(("file:", "data:"))] == []
