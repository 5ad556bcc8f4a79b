"""Runs side by side: what is told of them is what their folders hold, and what is luck is told as such."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechkit.errors import UserError
from speechkit.report import compare_runs, format_comparison, render_comparison, validate, write_report
from speechkit.report.compare_page import draw_front
from speechkit.report.paired import compare_records
from speechkit.report.write import find_view
from speechkit.stats import compare_ratios, compare_seeds, summarize_seeds

from .conftest import HPARAMS
from .strict_html import find_mistakes
from .test_page import Outline
from .test_recognition import make_record, make_run
from .test_recognition import make_records as make_texts
from .test_separation import make_records as make_mixtures


def change(records: list[dict[str, Any]], n_better: int = 0, n_worse: int = 0) -> list[dict[str, Any]]:
    """Records of which some wrong ones are right, and some right ones wrong."""
    changed = json.loads(json.dumps(records))
    wrong = [each for each in changed if each["skipped"] is None and not each["counts"]["correct"]]
    right = [each for each in changed if each["skipped"] is None and each["counts"]["correct"]]
    for each in wrong[:n_better]:
        each["counts"]["correct"] = 1
    for each in right[:n_worse]:
        each["counts"]["correct"] = 0
    return changed


@pytest.fixture
def make(tmp_path: Path, fake: Any) -> Any:
    """Writes a run folder by name, seed, records, and changes of its YAML and description."""

    def write(
        name: str, records: list | None, *, seed: int = 1, old: str = "", new: str = "", **about: Any
    ) -> Path:
        description = fake.make_description(seed=seed, **about)
        # Without their losses, whose intervals take most of the time.
        records = [
            each | {"scores": each["scores"] and each["scores"] | {"loss": None}} for each in records or []
        ]
        predictions = {"test": records} if records else {}
        folder = fake.write_run(
            tmp_path / name, log=fake.make_log(2), predictions=predictions, n_clips=0, description=description
        )
        hparams = HPARAMS.replace("seed: 1", f"seed: {seed}")
        (folder / "hparams.yaml").write_text(hparams.replace(old, new))
        return folder

    return write


def find(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in entries if each["name"] == name)


def test_a_difference_is_that_of_the_records_paired(make: Any, fake: Any) -> None:
    base = fake.make_records()
    runs = [make("base", base), make("other", change(base, 14, 1), old="n_mels: 40", new="n_mels: 80")]
    found = compare_runs(runs)
    validate("comparison", found, file="comparison.json")
    counted = [each for each in base if each["skipped"] is None]
    ours = [each["counts"]["correct"] for each in change(counted, 14, 1)]
    theirs = [each["counts"]["correct"] for each in counted]
    speakers = [each["speaker"] for each in counted]
    by_hand = compare_ratios(ours, theirs, [1] * 300)
    over_speakers = compare_ratios(ours, theirs, [1] * 300, groups=speakers)
    entry = found["differences"][0]
    difference = entry["difference"]
    assert difference["value"] == pytest.approx(100 * 13 / 300, abs=1e-5)
    assert difference["ci95"] == pytest.approx(
        [100 * by_hand.difference.low, 100 * by_hand.difference.high], abs=1e-5
    )
    assert difference["p_value_speakers"] == pytest.approx(over_speakers.p_value, abs=1e-6)
    assert (difference["n"], difference["n_speakers"], difference["unit"]) == (300, 40, "points")
    assert (entry["name"], entry["baseline"], entry["verdict"]) == ("other", "base", "better")
    assert [run["name"] for run in found["runs"]] == ["other", "base"], "best first"
    assert found["keys"] == ["model.n_mels"]
    assert find(found["runs"], "other")["settings"] == {"model.n_mels": "80"}
    text = format_comparison(found)
    assert "better by 4.3 points [" in text
    assert "model.n_mels  80     40" in text
    assert "One seed a side" in text


def test_the_same_answers_are_no_difference(make: Any, fake: Any) -> None:
    base = fake.make_records()
    for more in ((0, 0), (4, 4), (1, 0)):
        found = compare_runs([make("base", base), make("other", change(base, *more), old="40", new="80")])
        assert found["differences"][0]["verdict"] == "not shown"
        assert "no difference shown: " in format_comparison(found)


def test_one_speaker_alone_shows_no_difference(make: Any, fake: Any) -> None:
    """Over utterances it would be one: all of the better ones are of two speakers of 40."""
    base = change(fake.make_records(n_skipped=0), 300)
    for each in base:
        each["counts"]["correct"] = int(each["speaker"] not in ("s00", "s01"))
    better = json.loads(json.dumps(base))
    for each in better:
        each["counts"]["correct"] = 1
    entry = compare_runs([make("a", base), make("b", better, old="40", new="80")])["differences"][0]
    assert entry["difference"]["ci95"][0] > 0
    assert entry["difference"]["ci95_speakers"][0] < 0
    assert entry["verdict"] == "not shown"


def test_few_speakers_are_told(make: Any, fake: Any) -> None:
    base = fake.make_records(n_speakers=7)
    found = compare_runs([make("a", base), make("b", change(base, 9), old="40", new="80")])
    assert "rough: with 7 speakers" in format_comparison(found)
    assert "rough: with 7 speakers" in render_comparison(found)
    assert "rough" not in format_comparison(compare_runs([make("c", fake.make_records()), make("d", base)]))


def test_seeds_are_a_group_and_its_mean_is_tested(make: Any, fake: Any) -> None:
    base = fake.make_records()
    ones = [make(f"one-seed{n}", change(base, n), seed=n) for n in (1, 2, 3)]
    twos = [make(f"two-seed{n}", change(base, 12 + 2 * n), seed=n, old="40", new="80") for n in (1, 2)]
    found = compare_runs([*ones, *twos])
    assert [group["name"] for group in found["groups"]] == ["two (2 seeds)", "one (3 seeds)"]
    accuracy = [
        [find(found["runs"], path.name)["metrics"]["accuracy"]["value"] for path in each]
        for each in (twos, ones)
    ]
    seeds = summarize_seeds(accuracy[1])
    group = find(found["groups"], "one (3 seeds)")["metrics"]["accuracy"]
    assert group["mean"] == pytest.approx(seeds.mean, abs=1e-5)
    assert group["deviation"] == pytest.approx(seeds.deviation, abs=1e-5)
    assert group["ci95"] == pytest.approx([seeds.low, seeds.high], abs=1e-5)
    (entry,) = found["differences"]
    welch = compare_seeds(*accuracy)
    assert entry["seeds"]["p_value"] == pytest.approx(welch.p_value, abs=1e-5)
    assert entry["seeds"]["n"] == [2, 3]
    assert entry["difference"]["value"] == pytest.approx(
        np.mean(accuracy[0]) - np.mean(accuracy[1]), abs=1e-5
    )
    assert "over 2 and 3 seeds (Welch)" in format_comparison(found)
    assert found["keys"] == ["model.n_mels", "seed"]


def test_runs_that_differ_in_the_seed_alone_are_compared_with_each_other(make: Any, fake: Any) -> None:
    base = fake.make_records()
    found = compare_runs([make("a1", base, seed=1), make("a2", change(base, 3), seed=2)])
    assert [group["name"] for group in found["groups"]] == ["a (2 seeds)"]
    assert [(each["name"], each["baseline"]) for each in found["differences"]] == [("a2", "a1")]


def test_the_same_seed_twice_is_no_group(make: Any, fake: Any) -> None:
    base = fake.make_records()
    found = compare_runs([make("a", base), make("b", base)])
    assert [group["runs"] for group in found["groups"]] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda records: records[:250], "other test sets: 250 utterances are in both"),
        (lambda records: [each | {"reference": "yes"} for each in records], "other references of"),
    ],
)
def test_other_test_sets_are_not_compared(make: Any, fake: Any, spoil: Any, reason: str) -> None:
    base = fake.make_records(n_skipped=0)
    found = compare_runs([make("a", base), make("b", spoil(base))])
    entry = found["differences"][0]
    assert (entry["verdict"], entry["difference"]) == ("not compared", None)
    assert reason in entry["note"]
    assert f"not compared: {reason}" in format_comparison(found)
    validate("comparison", found, file="comparison.json")
    render_comparison(found)


def test_reports_alone_are_listed_and_not_tested(make: Any, fake: Any, tmp_path: Path) -> None:
    run = make("run", fake.make_records())
    page = write_report(run)
    alone = tmp_path / "published.json"
    shutil.copy(page.with_name("report.json"), alone)
    found = compare_runs([run, alone])
    assert "published is a report alone" in found["differences"][0]["note"]
    assert find(found["runs"], "published")["settings"] is None
    assert compare_runs([page.with_name("report.json"), make("b", fake.make_records())])["differences"][0][
        "difference"
    ]


def test_a_run_that_was_not_evaluated_stands_last(make: Any, fake: Any) -> None:
    found = compare_runs([make("a", None), make("b", fake.make_records(), old="40", new="80")])
    assert [run["name"] for run in found["runs"]] == ["b", "a"]
    assert "has no predictions of test" in found["differences"][0]["note"]
    none = compare_runs([make("c", None), make("d", None)])
    assert (none["metric"], none["differences"]) == (None, [])
    for each in (found, none):
        validate("comparison", each, file="comparison.json")
        assert "not evaluated" in format_comparison(each)
        render_comparison(each)


def test_low_is_good_for_errors_and_words_have_matched_pairs(tmp_path: Path, fake: Any) -> None:
    said = ["the red door is open now"] * 40
    worse = [
        make_record(n, text, text.replace("red", "rad" if n % 2 else "red")) for n, text in enumerate(said)
    ]
    better = [
        make_record(n, text, text.replace("open", "oven" if n % 9 == 0 else "open"))
        for n, text in enumerate(said)
    ]
    runs = [make_run(tmp_path / "worse", fake, worse), make_run(tmp_path / "better", fake, better)]
    found = compare_runs(runs)
    (entry,) = found["differences"]
    assert (found["metric"], entry["verdict"]) == ("wer", "better")
    assert entry["difference"]["value"] == pytest.approx(100 * (5 - 20) / 240, abs=1e-5)
    assert entry["matched_pairs"]["n"] == 25
    assert [run["name"] for run in found["runs"]] == ["better", "worse"]
    assert compare_runs(runs, baseline=runs[1])["differences"][0]["verdict"] == "worse"
    assert compare_runs(runs, metric="cer")["differences"][0]["matched_pairs"] is None


def test_other_units_of_the_same_texts_are_not_compared() -> None:
    """As tokens of two tokenizers."""
    measure = find_view("lm").measures["token_perplexity"]
    one, two = (
        [{"id": "a", "skipped": None, "counts": {"tokens": n}, "scores": {"log_probability": -3.0}}]
        for n in (4, 5)
    )
    assert compare_records(measure, [one], [two]) is None
    assert compare_records(measure, [one], [one]) is not None


def test_mistakes_are_told(make: Any, fake: Any, tmp_path: Path) -> None:
    a, b = make("a", fake.make_records()), make("b", fake.make_records())
    other = make("other", None, task="lm")
    for paths, options, message in (
        ([a], {}, "one run to compare"),
        ([], {}, "no run to compare"),
        ([a, a / "../a"], {}, "given twice"),
        ([a, other], {}, "runs of the tasks classification, lm"),
        ([a, tmp_path / "none"], {}, "there is no"),
        ([a, tmp_path], {}, "holds no run.json"),
        ([a, b], {"subset": "dev"}, "no run has a test set 'dev'; expected one of test"),
        ([a, b], {"metric": "wer"}, "no run has a figure 'wer'; expected one of accuracy"),
        ([a, b], {"baseline": "c"}, "the baseline c is none of the runs"),
    ):
        with pytest.raises(UserError, match=message):
            compare_runs(paths, **options)


def test_the_front_is_marked_by_shape_and_told_in_words(make: Any, fake: Any) -> None:
    base = fake.make_records()
    small = make("small", base, old="40", new="20", parameters=100)
    large = make("large", change(base, 9), parameters=900)
    beaten = make("beaten", change(base, 0, 9), old="40", new="80", parameters=500)
    found = compare_runs([small, large, beaten])
    assert found["front"]["parameters"] == ["large", "small"]
    front = draw_front(found, "parameters")
    assert front is not None
    assert [dot[4] for dot in front.dots if not dot[2]] == ["3: beaten"]
    page = render_comparison(found)
    assert "Beaten by none in both accuracy and parameters: large, small." in page
    assert page.count('<circle class="point point-1" cx="13"') == 2, "the legend has the other shape"


def test_names_and_values_of_strangers_are_escaped(make: Any, fake: Any) -> None:
    base = fake.make_records()
    runs = [make("a<script>", base), make("b", base, old="40", new='"<img src=x>"')]
    page = render_comparison(compare_runs(runs))
    assert "<script" not in page
    assert "<img" not in page


def test_the_page_is_well_formed_and_needs_no_other_file(make: Any, fake: Any) -> None:
    base = fake.make_records()
    names = ("one", "two", "three")
    runs = [make(name, change(base, 5 * n), old="40", new=f"{40 + n}") for n, name in enumerate(names)]
    page = render_comparison(compare_runs(runs))
    outline = Outline(page)
    assert (outline.mistakes, outline.open, find_mistakes(page)) == ([], [], [])
    ids = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    addresses = [each[name] for _, each in outline.elements for name in ("src", "href") if name in each]
    assert {address.lstrip("#") for address in addresses if not address.startswith("data:")} == ids
    scrolling = [each for _, each in outline.elements if each.get("class") == "scroll"]
    assert len(scrolling) == 2
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in scrolling)
    assert all(each.get("aria-label") for each in outline.all("svg") if each.get("role") == "img")
    assert outline.text.count("better by") + outline.text.count("no difference shown") == 2


@pytest.mark.parametrize("task", ["classification", "asr", "lm", "separation"])
def test_every_measure_can_be_compared_by_its_parts(task: str, fake: Any) -> None:
    """The parts' sums have the figure as their ratio; of a perplexity, its logarithm."""
    text = {"counts": {"tokens": 9, "words": 3, "characters": 12}, "scores": {"log_probability": -7.5}}
    records = {
        "classification": [each for each in fake.make_records(n=30) if each["skipped"] is None],
        "asr": make_texts(12) + make_texts(12, "phones"),
        "lm": [text, text | {"scores": {"log_probability": -2.25}}],
        "separation": make_mixtures(6),
    }[task]
    for name, measure in find_view(task).measures.items():
        assert measure.parts is not None, name
        parts = [part for part in map(measure.parts, records) if part is not None]
        if parts:
            ratio = sum(part[0] for part in parts) / sum(part[1] for part in parts)
            value = measure.interval(records, None).value
            assert ratio == pytest.approx(math.log(value) if measure.difference else value)
