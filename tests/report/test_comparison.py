"""Evaluations side by side: differences that are paired, and finding again what is there already."""

import json
from pathlib import Path
from typing import Any

import pytest

from speechkit.report import compare_errors, find_evaluation, write_json, write_report
from speechkit.stats import compare_ratios

from .test_recognition import make_record, make_run


def make_texts(hypotheses: list[str]) -> list[dict[str, Any]]:
    return [make_record(number, "the red door", text) for number, text in enumerate(hypotheses)]


def test_differences_are_paired_over_utterances_and_over_speakers() -> None:
    """Against the same by hand. The rates alone would say nothing: their intervals overlap."""
    better = make_texts(["the red door"] * 30 + ["a b c"] * 30)
    worse = make_texts(["the red dore"] * 30 + ["a b c"] * 30)
    found = compare_errors(better, worse)
    speakers = [record["speaker"] for record in better]
    errors = [0] * 30 + [3] * 30, [1] * 30 + [3] * 30
    by_hand = compare_ratios(*errors, [3] * 60)
    over_speakers = compare_ratios(*errors, [3] * 60, groups=speakers)
    assert found["value"] == pytest.approx(-100 / 6, abs=1e-5)
    for key, expected in (("ci95", by_hand), ("ci95_speakers", over_speakers)):
        ends = [100 * expected.difference.low, 100 * expected.difference.high]
        assert found[key] == pytest.approx(ends, abs=1e-5)
    assert found["p_value"] == pytest.approx(by_hand.p_value, abs=1e-6)
    assert found["p_value_speakers"] == pytest.approx(over_speakers.p_value, abs=1e-6)
    assert found["ci95"][1] < 0
    assert (found["n"], found["n_speakers"], found["unit"]) == (60, 7, "points")
    assert compare_errors(worse, better)["value"] == pytest.approx(100 / 6, abs=1e-5)


def test_utterances_of_one_side_alone_do_not_count() -> None:
    records, baseline = make_texts(["the red door", "", "red"]), make_texts(["the door", "the", "red"])
    del records[2]
    baseline[1]["skipped"] = "unreadable"
    found = compare_errors(records, baseline)
    assert (found["value"], found["n"]) == (pytest.approx(-100 / 3, abs=1e-5), 1)


def test_where_nothing_differs_either_may_be_better() -> None:
    records = make_texts(["the red", "a", "the red door"] * 20)
    found = compare_errors(records, records)
    assert found["value"] == 0
    assert found["ci95"][0] == -found["ci95"][1] < 0


def test_phones_count_where_there_are_no_words() -> None:
    one = [make_record(0, "a b c d", "a b c", "phones")]
    two = [make_record(0, "a b c d", "a", "phones")]
    assert compare_errors(one, two)["value"] == -50


def test_an_evaluation_is_found_by_weights_search_and_changes(tmp_path: Path, fake: Any) -> None:
    folder = make_run(tmp_path / "evaluations" / "mine", fake, make_texts(["the red door", "red"]))
    description = json.loads((folder / "run.json").read_text())
    description["evaluation"] = {
        "name": "mine", "checkpoint": "epoch-0002", "weights_sha256": "ab", "recipe_changed": {},
        "commit": None, "versions": {}, "device": "cpu", "started": 0.0,
        "overrides": {"search.lm.arpa_file": "/data/a.arpa"},
    }  # fmt: skip
    write_json(folder / "run.json", description, "run")
    decoding = {"schema": 1, "normalization": "none", "search": "greedy", "tokenizer_sha256": None}
    write_json(folder / "decoding.json", decoding, "decoding")
    own = ("ab", "greedy", {"search.lm.arpa_file": "/data/a.arpa"})
    assert find_evaluation(tmp_path, *own) is None, "not finished"
    write_report(folder)
    assert find_evaluation(tmp_path, *own) == folder
    others = [("cd", *own[1:]), ("ab", "beam", own[2]), ("ab", "greedy", {"search.lm.arpa_file": "/b"})]
    assert [find_evaluation(tmp_path, *other) for other in others] == [None] * 3
    (folder / "report.json").write_text("{}")
    assert find_evaluation(tmp_path, *own) is None
