"""Separation in a report: figures by hand, what has none told and not averaged, a page of any size."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechkit.errors import UserErrors
from speechkit.report import choose_examples, choose_worst, read_json, summarize, write_records
from speechkit.report import write_report as write


def make_record(number: int, chance: random.Random, n_sources: int = 2) -> dict[str, Any]:
    """A mixture separated more or less well; the estimates stand in the other order than the references."""
    genders = [chance.choice("MF") for _ in range(n_sources)]
    sources = []
    for source, gender in enumerate(genders):
        improvement, before = chance.gauss(9, 4), chance.uniform(-5, 5)
        sources.append(
            {"speaker": f"s{chance.randrange(9)}", "gender": gender, "estimate": n_sources - 1 - source,
             "si_snr": before + improvement, "si_snri": improvement, "sdr": before + improvement + 0.5,
             "sdri": improvement + 0.3}
        )  # fmt: skip
    names = ("si_snr", "si_snri", "sdr", "sdri")
    scores = {name: float(np.mean([source[name] for source in sources])) for name in names}
    scores["input_si_snr"] = scores["si_snr"] - scores["si_snri"]
    return {
        "id": f"mix{number:03d}", "speaker": None,
        "group": "same gender" if len(set(genders)) == 1 else "mixed gender",
        "seconds": round(chance.uniform(2, 8), 3), "audio": None, "reference": None, "hypothesis": None,
        "alignment": None, "counts": {"sources": n_sources}, "scores": scores, "sources": sources,
        "skipped": None,
    }  # fmt: skip


def make_silent(name: str) -> dict[str, Any]:
    """A mixture of which nothing is defined."""
    record = make_record(0, random.Random(0))
    nothing = dict.fromkeys(("si_snr", "si_snri", "sdr", "sdri"))
    sources = [source | nothing for source in record["sources"]]
    return record | {"id": name, "scores": {**nothing, "input_si_snr": None}, "sources": sources}


def make_records(n: int = 60, **options: Any) -> list[dict[str, Any]]:
    chance = random.Random(3)
    return [make_record(number, chance, **options) for number in range(n)]


def make_run(folder: Path, fake: Any, records: list[dict[str, Any]]) -> Path:
    description = fake.make_description(task="separation", dataset="WSJ0-2Mix")
    fake.write_run(folder, predictions={}, description=description)
    write_records(folder / "predictions" / "test.jsonl", records, "separation")
    return folder


def test_figures_are_means_over_the_mixtures_that_have_them(tmp_path: Path, fake: Any) -> None:
    records = make_records()
    skipped = make_silent("unread") | {"scores": None, "counts": None, "skipped": "unreadable"}
    folder = make_run(tmp_path / "run", fake, [*records, make_silent("silent"), skipped])
    write(folder)
    result = read_json(folder / "report.json", "report")
    assert list(result["metrics"]) == ["si_snri", "si_snr", "sdri", "sdr"], "the headline is the first"
    for name, metric in result["metrics"].items():
        values = np.array([record["scores"][name] for record in records])
        assert metric["value"] == pytest.approx(values.mean(), abs=1e-5)
        margin = 2.001 * values.std(ddof=1) / np.sqrt(60)  # Student's t of 59 degrees of freedom
        assert metric["ci95"] == pytest.approx([values.mean() - margin, values.mean() + margin], rel=0.04)
        assert (metric["n"], metric["unit"]) == (60, "dB")
    assert result["skipped"] == {"unreadable": 1}
    low, high = result["metrics"]["si_snri"]["ci95"]
    value = result["metrics"]["si_snri"]["value"]
    line = f"si_snri  {value:.2f} dB ({low:.2f} to {high:.2f}), 95% over 60 of 61 mixtures"
    assert line in summarize(folder)


def test_the_worst_the_median_and_the_best_are_chosen(fake: Any) -> None:
    records = make_records(21)
    ranked = sorted(records, key=lambda record: record["scores"]["si_snri"])
    chosen = choose_examples([*records, make_silent("silent")])
    assert [each["id"] for each in chosen] == [ranked[0]["id"], ranked[10]["id"], ranked[20]["id"]]
    worst = choose_worst([make_silent("silent"), *records], 30, "separation")
    assert [each["id"] for each in worst] == [*(each["id"] for each in ranked), "silent"]
    assert [each["id"] for each in choose_examples(records[:1])] == ["mix000"]
    assert len(choose_examples(records[:2])) == 2
    assert choose_examples([make_silent("silent")]) == []


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("scores.si_snri", {"scores": {"si_snr": 1.0, "si_snri": "9"}}),
        ("sources[0].estimate", {"sources": [{"estimate": -1, "si_snr": 1.0, "si_snri": 2.0}]}),
        ("counts.sources", {"counts": {"speakers": 2}}),
        ("sources", {"sources": None}),
    ],
)
def test_a_record_of_another_form_is_refused(tmp_path: Path, key: str, change: dict[str, Any]) -> None:
    with pytest.raises(UserErrors, match=f"test.jsonl:1:1 {key}".replace("[", r"\[")):
        write_records(tmp_path / "test.jsonl", [make_records(1)[0] | change], "separation")
