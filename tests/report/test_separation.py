"""Separation in a report: figures by hand, what has none told and not averaged, a page of any size."""

import base64
import csv
import io
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from speechkit.errors import UserErrors
from speechkit.report import (
    choose_worst,
    read_json,
    read_run,
    summarize,
    write_clip,
    write_clips,
    write_records,
)
from speechkit.report import write_report as write
from speechkit.report.clips import AudioBudget
from speechkit.report.separation import rank_mixtures, tabulate_figures, tabulate_groups
from speechkit.report.separation_csv import format_separation
from speechkit.report.separation_examples import list_examples, name_places
from speechkit.report.view import mean_of_scores
from speechkit.stats import bootstrap_mean
from tests.report.test_page import Outline


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


def test_an_interval_over_speakers_leaves_out_those_without_a_figure() -> None:
    values, speakers = [3.0, None, 4.0, 9.0, 8.0], ["a", "b", "a", "c", "c"]
    found = mean_of_scores("si_snri")([{"scores": {"si_snri": value}} for value in values], speakers)
    assert found == bootstrap_mean([3.0, 4.0, 9.0, 8.0], groups=["a", "a", "c", "c"])
    assert (found.value, found.n) == (6.0, 2)


def test_mixtures_are_ranked_from_the_worst() -> None:
    records = make_records(21)
    ranked = sorted(records, key=lambda record: record["scores"]["si_snri"])
    assert rank_mixtures([make_silent("silent"), *records]) == ranked
    worst = choose_worst([make_silent("silent"), *records], 30, "separation")
    assert [each["id"] for each in worst] == [*(each["id"] for each in ranked), "silent"]


@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_places_are_named_by_what_they_are(n: int, places: set[int]) -> None:
    places = {place for place in places if place < n}
    names = name_places(sorted(places), n)
    assert len(set(names.values())) == len(names) == len(places)
    for place, name in names.items():
        if name == "The median":
            assert sum(other <= place for other in range(n)) in ((n + 1) // 2, n // 2 + 1)
        assert (name in ("The worst", "The best")) == (place in (0, n - 1))
    if (n - 1) // 2 in places - {0, n - 1}:
        assert "The median" in names.values()


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


def read_table(folder: Path, name: str = "separation.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((folder / name).read_text().splitlines()))


def test_the_table_has_every_mixture_and_then_mean_median_and_interval(tmp_path: Path, fake: Any) -> None:
    records = make_records(30)
    skipped = make_silent("z unread") | {"scores": None, "counts": None, "skipped": "unreadable"}
    folder = make_run(tmp_path / "run", fake, [*records, make_silent("silent"), skipped])
    write_records(folder / "predictions/test-other.jsonl", records[:2], "separation")
    write(folder)
    rows = read_table(folder)
    assert [row["id"] for row in rows[-4:]] == ["mean", "median", "ci95 low", "ci95 high"]
    assert [row["id"] for row in rows[:30]] == [record["id"] for record in records]
    assert [row["note"] for row in rows[:32]] == [""] * 30 + ["not defined", "skipped: unreadable"]
    assert {row["si_snri"] for row in rows[30:32]} == {""}
    metrics = read_json(folder / "report.json", "report")["metrics"]
    for name in ("input_si_snr", "si_snr", "si_snri", "sdr", "sdri"):
        values = np.array([record["scores"][name] for record in records])
        assert [float(row[name]) for row in rows[:30]] == pytest.approx(values, abs=1e-4)
        ends = metrics[name]["ci95"] if name in metrics else [float(row[name]) for row in rows[-2:]]
        summary = [values.mean(), np.median(values), *ends]
        assert [float(row[name]) for row in rows[-4:]] == pytest.approx(summary, abs=1e-4)
    first, source = rows[0], records[0]["sources"][1]
    assert [first[f"source2_{name}"] for name in ("speaker", "gender")] == [
        source["speaker"],
        source["gender"],
    ]
    assert float(first["source2_si_snri"]) == pytest.approx(source["si_snri"], abs=1e-4)
    assert (first["source1_estimate"], first["source2_estimate"]) == ("2", "1"), (
        "counted from 1, as clips are"
    )
    assert len(read_table(folder, "predictions/test-other.separation.csv")) == 2 + 4


@settings(max_examples=15)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")), st.integers(0, 4))
def test_a_table_comes_back_as_it_was(name: str, n_sources: int) -> None:
    records = [make_record(0, random.Random(0), n_sources=n) | {"id": name} for n in (1, max(1, n_sources))]
    records[0]["sources"][0]["speaker"] = name
    rows = list(csv.DictReader(io.StringIO(format_separation(records), newline="")))
    assert [row["id"] for row in rows[:2]] == [name, name]
    assert rows[0]["source1_speaker"] == name
    assert all(None not in row and None not in row.values() for row in rows), "as many cells as columns"


def test_groups_and_figures_are_those_of_numpy() -> None:
    records = make_records(200)
    rows = {row["title"]: row for row in tabulate_groups(records)}
    assert set(rows) == {"mixed gender", "same gender", "F + F", "M + M"}, "F + M are those of mixed gender"
    for title, keep in (("mixed gender", {"F", "M"}), ("F + F", {"F"}), ("M + M", {"M"})):
        chosen = [each for each in records if {source["gender"] for source in each["sources"]} == keep]
        values = [record["scores"]["si_snri"] for record in chosen]
        assert rows[title]["n"] == len(values)
        assert rows[title]["mean"] == pytest.approx(np.mean(values))
        assert rows[title]["median"] == pytest.approx(np.median(values))
    same = tabulate_groups([record | {"group": "one"} for record in records])[0]
    assert same["ends"] == tabulate_figures(records)[0]["ends"], "of the same mixtures the same interval"
    values = np.array([record["scores"]["sdri"] for record in records])
    figures = {row["title"]: row for row in tabulate_figures(records)}
    assert list(figures) == ["SI-SNRi", "SI-SNR", "SDRi", "SDR", "SI-SNR of the mixture"]
    assert figures["SDRi"]["deviation"] == pytest.approx(values.std(ddof=1))
    for record in records:
        record["group"] = None
        record["sources"][0]["gender"] = None
    assert tabulate_groups(records) == []


def make_clips(name: str, n_samples: int = 4000) -> list[tuple[str, np.ndarray, int, str]]:
    """A mixture of two tones, 500 Hz and 2 kHz; the first estimate is of the second reference."""
    time = np.arange(n_samples) / 8000
    low, high = (0.4 * np.sin(2 * np.pi * frequency * time) for frequency in (500, 2000))
    signals = {"mixture": low + high, "estimate 1": 0.1 * high, "estimate 2": 2 * low,
               "reference 1": low, "reference 2": high}  # fmt: skip
    return [(name, clip, 8000, part) for part, clip in signals.items()]


def test_estimates_stand_beside_their_references_as_loud_as_these(tmp_path: Path, fake: Any) -> None:
    records = make_records(5)
    folder = make_run(tmp_path / "run", fake, records)
    write_clips(folder, "test", make_clips(rank_mixtures(records)[2]["id"]))
    (example,) = list_examples(read_run(folder), "test", rank_mixtures(records), AudioBudget(10**6))
    assert (example.title, example.rank) == ("The median", 3)
    assert [talker.estimate.part for talker in example.talkers] == ["estimate 2", "estimate 1"]
    for talker in example.talkers:
        for scale in ("linear", "mel"):
            drawn = [picture(each.pictures[scale]) for each in (talker.estimate, talker.reference)]
            # 16 bit of a quieter clip round otherwise: seen near black only.
            np.testing.assert_allclose(drawn[0][drawn[1] > 12], drawn[1][drawn[1] > 12], atol=1)
    assert example.others == []


def test_of_many_examples_all_are_played_and_some_drawn(tmp_path: Path, fake: Any, monkeypatch) -> None:
    monkeypatch.setattr("speechkit.report.separation_examples.N_DRAWN", 2)
    records = make_records(4)
    folder = make_run(tmp_path / "run", fake, records)
    write_clips(folder, "test", [clip for each in records for clip in make_clips(each["id"], 300)])
    examples = list_examples(read_run(folder), "test", rank_mixtures(records), AudioBudget(10**6))
    assert [each.rank for each in examples] == [1, 2, 3, 4]
    assert [bool(each.mixture.pictures) for each in examples] == [True, True, False, False]
    talkers = [talker for each in examples for talker in each.talkers]
    assert all(talker.estimate.audio and talker.reference.audio for talker in talkers)


def picture(address: str) -> np.ndarray:
    """The levels (H, W) of a picture, the lowest frequency first."""
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(content)))[::-1].astype(int)


def test_the_page_plays_and_draws_examples_and_tells_what_is_not_defined(tmp_path: Path, fake: Any) -> None:
    records = make_records(60)
    records[0]["scores"]["si_snri"] = -1.25
    folder = make_run(tmp_path / "run", fake, [*records, make_silent("silent")])
    write_clips(folder, "test", make_clips("mix000"))
    outline = Outline(write(folder).read_text())
    assert (outline.mistakes, outline.open) == ([], [])
    text = " ".join(outline.text.split())
    for part in ("Separation on WSJ0-2Mix", "SI-SNRi on test", "over 60 of 61 mixtures", "Separation on test",
                 "1 of 61 mixtures has no SI-SNRi", "1 of 60 mixtures came out worse than it went in",
                 "same gender", "The worst: SI-SNRi -1.25 dB", "mix000", "Estimate of reference 2",
                 "1 of 60, from the worst", "separation.csv"):  # fmt: skip
        assert part in text, part
    assert [each["aria-label"] for each in outline.all("audio")] == [
        f"mix000, {part}" for part in ("mixture", "estimate 2", "reference 1", "estimate 1", "reference 2")
    ]
    pictures = [each["alt"] for each in outline.all("img") if each["alt"].startswith("Spectrogram of mix000")]
    assert len(pictures) == 10
    assert all(
        each.get("aria-label")
        for each in outline.all("svg")
        if each.get("role") == "img" and "aria-labelledby" not in each
    )
    n_points = [
        len([1 for each in outline.all("circle") if each["class"] == f"point point-{kind}"])
        for kind in (0, 1)
    ]
    n_mixed = sum(record["group"] == "mixed gender" for record in records)
    assert n_points == [3 * n_mixed + 2, 3 * (60 - n_mixed) + 2], (
        "two talkers and a mixture; the legends' own"
    )


HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def test_other_peoples_text_stays_text(tmp_path: Path, fake: Any) -> None:
    records = make_records(8)
    for number, record in enumerate(records):
        record |= {"id": f"{HOSTILE}{number}", "group": HOSTILE}
        record["sources"][0] |= {"speaker": HOSTILE, "gender": HOSTILE}
    folder = make_run(tmp_path / "run", fake, records)
    write_clips(
        folder,
        "test",
        [(f"{HOSTILE}{n}", np.zeros(9), 8000, part) for n in (0, 1) for part in ("mixture", HOSTILE)],
    )
    page = write(folder).read_text()
    outline = Outline(page)
    assert (outline.mistakes, outline.open) == ([], [])
    assert {tag for tag, _ in outline.elements}.isdisjoint({"script", "iframe"})
    assert all(each["src"].startswith("data:") for each in outline.all("img"))
    assert outline.text.count(HOSTILE) >= 6
    assert HOSTILE.replace("{{7*7}}", "49") not in outline.text


def test_clips_that_cannot_be_drawn_leave_a_page(tmp_path: Path, fake: Any) -> None:
    """One mixture each: a part gone, no audio, empty, of another rate; no mixture; no such estimate."""
    records = make_records(6)
    records[5]["sources"][0]["estimate"], records[5]["sources"][1]["estimate"] = 7, None
    folder = make_run(tmp_path / "run", fake, records)
    clips = [clip for n in range(6) for clip in make_clips(f"mix00{n}", 0 if n == 2 else 4000)]
    write_clips(folder, "test", clips)
    parts = [folder / f"clips/test/mix00{n}.parts" for n in range(6)]
    (parts[0] / "estimate 1.wav").unlink()
    (parts[1] / "mixture.wav").write_text("no audio")
    write_clip(parts[3] / "estimate 1.wav", np.zeros(100), 16000)
    (parts[4] / "mixture.wav").unlink()
    outline = Outline(write(folder).read_text())
    assert (outline.mistakes, outline.open) == ([], [])
    assert all(f"mix00{n}" in outline.text for n in range(6))
    names = [each["alt"].split()[2].strip(",") for each in outline.all("img") if "Spectrogram" in each["alt"]]
    assert Counter(names) == {"mix000": 8, "mix005": 10}


def test_a_run_of_which_nothing_is_defined_has_a_page(tmp_path: Path, fake: Any) -> None:
    folder = make_run(tmp_path / "run", fake, [make_silent("a"), make_silent("b")])
    text = " ".join(Outline(write(folder).read_text()).text.split())
    assert "2 of 2 mixtures have no SI-SNRi" in text
    assert "si_snri" not in summarize(folder)
