"""Recognition in a report: figures from counts, errors by kind, texts word by word, and nobody's HTML."""

import html
import random
from pathlib import Path
from typing import Any

import jiwer
import pytest

from speechkit.errors import UserError
from speechkit.metrics import align, count_operations, edit_distance
from speechkit.report import (
    choose_worst,
    read_json,
    read_records,
    read_run,
    summarize,
    write_clips,
    write_json,
    write_records,
)
from speechkit.report import write_report as write
from speechkit.report.recognition import MEASURES, tabulate_confusions, tabulate_errors, tabulate_speakers
from speechkit.report.result import describe_metric
from speechkit.stats import bootstrap_ratio

HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
WORDS = ["the", "red", "door", "is", "open", "now", "and", "again"]


def make_record(number: int, reference: str, hypothesis: str, unit: str = "words") -> dict[str, Any]:
    alignment = align(reference.split(), hypothesis.split())
    counts = count_operations(alignment) | {unit: len(reference.split())}
    if unit == "words":
        errors = edit_distance(reference, hypothesis)
        counts |= {"characters": len(reference), "character_errors": errors}
    return {
        "id": f"u{number:03d}", "speaker": f"s{number % 7}", "group": None, "seconds": 2.0, "audio": None,
        "reference": reference, "hypothesis": hypothesis, "alignment": alignment, "counts": counts,
        "scores": {"loss": 1.0 + number % 3}, "skipped": None,
    }  # fmt: skip


def make_records(n: int = 60, unit: str = "words") -> list[dict[str, Any]]:
    chance, records = random.Random(2), []
    for number in range(n):
        said = [chance.choice(WORDS) for _ in range(chance.randint(1, 9))]
        heard = [chance.choice([word, word, word, "dore", ""]) for word in said]
        heard += ["oh"] * (chance.random() < 0.2)
        records.append(make_record(number, " ".join(said), " ".join(filter(None, heard)), unit))
    return records


def make_run(folder: Path, fake: Any, records: list[dict[str, Any]]) -> Path:
    description = fake.make_description(task="asr", dataset="AN4")
    fake.write_run(folder, predictions={}, description=description)
    write_records(folder / "predictions" / "test.jsonl", records, "asr")
    worst = choose_worst(records, 5, "asr")
    write_clips(folder, "test", [(each["id"], fake.make_tone(440), 16000) for each in worst])
    return folder


def test_figures_are_sums_over_sums_with_intervals(tmp_path: Path, fake: Any) -> None:
    records = make_records()
    write(make_run(tmp_path / "run", fake, records))
    metrics = read_json(tmp_path / "run" / "report.json", "report")["metrics"]
    assert list(metrics) == ["wer", "cer", "loss"], "the headline is the first"
    references = [record["reference"] for record in records]
    hypotheses = [record["hypothesis"] for record in records]
    assert metrics["wer"]["value"] == pytest.approx(100 * jiwer.wer(references, hypotheses), abs=1e-5)
    assert metrics["cer"]["value"] == pytest.approx(100 * jiwer.cer(references, hypotheses), abs=1e-5)
    errors = [edit_distance(a.split(), b.split()) for a, b in zip(references, hypotheses, strict=True)]
    n_words = [len(reference.split()) for reference in references]
    speakers = [record["speaker"] for record in records]
    for name, groups in (("ci95", None), ("ci95_speakers", speakers)):
        interval = bootstrap_ratio(errors, n_words, groups=groups)
        assert metrics["wer"][name] == pytest.approx([100 * interval.low, 100 * interval.high], abs=1e-5)
    assert (metrics["wer"]["n"], metrics["wer"]["n_speakers"]) == (60, 7)


def test_the_search_and_the_rule_for_texts_are_stated(tmp_path: Path, fake: Any) -> None:
    run = make_run(tmp_path / "run", fake, make_records(3))
    assert "Texts are compared as they stand" in write(run).read_text()
    rule, search = "Unicode NFC; lower case & <b>", "joint search, beam 10, 0.3 of CTC"
    content = {"schema": 1, "normalization": rule, "search": search, "tokenizer_sha256": None}
    write_json(run / "decoding.json", content, "decoding")
    page = write(run).read_text()
    assert page.count(html.escape(rule)) == page.count(search) == 2
    assert read_json(run / "report.json", "report")["decoding"] == {
        name: value for name, value in content.items() if name != "schema"
    }
    assert f"search               {search}" in summarize(run)
    (run / "decoding.json").write_text('{"schema": 1, "normalization": "", "search": 3}')
    with pytest.raises(UserError, match=r"decoding.json:1:1 search: 3; expected text"):
        read_run(run)


def test_phones_have_a_figure_of_their_own(tmp_path: Path, fake: Any) -> None:
    write(make_run(tmp_path / "run", fake, make_records(unit="phones")))
    assert list(read_json(tmp_path / "run" / "report.json", "report")["metrics"]) == ["per", "loss"]


def test_references_without_a_word_have_no_rate() -> None:
    metric = describe_metric(MEASURES["wer"], [make_record(0, "", "oh")])
    assert metric["value"] is None
    assert tabulate_errors([make_record(0, "", "oh")])["rows"][-1] == {
        "kind": "insertions", "count": 1, "percent": None,
    }  # fmt: skip


def test_errors_by_kind_add_up() -> None:
    records = make_records()
    table = tabulate_errors(records)
    counts = {row["kind"]: row["count"] for row in table["rows"]}
    assert counts["correct"] + counts["substitutions"] + counts["deletions"] == table["n_units"]
    assert table["n_right"] == sum(record["reference"] == record["hypothesis"] for record in records)
    heard = [record["hypothesis"] for record in records]
    theirs = jiwer.process_words([record["reference"] for record in records], heard)
    assert counts == {
        "correct": theirs.hits, "substitutions": theirs.substitutions, "deletions": theirs.deletions,
        "insertions": theirs.insertions,
    }  # fmt: skip


def test_the_worst_are_those_with_the_highest_error_rate() -> None:
    texts = {1: ("a b c d", "a b c x"), 2: ("a", "b"), 3: ("a b", "x y"), 4: ("a b", "a b"), 5: ("", "oh oh")}
    records = [make_record(number, *pair) for number, pair in texts.items()]
    assert [record["id"] for record in choose_worst(records, 4, "asr")] == ["u005", "u003", "u002", "u001"]
    skipped = {"id": "z", "skipped": "unreadable"}
    assert [record["id"] for record in choose_worst([*records, skipped], 1, "asr")] == ["u005"]


def test_the_page_shows_what_was_said_and_what_was_recognised(tmp_path: Path, fake: Any) -> None:
    records = [make_record(0, "the red door", "the bread door oh"), make_record(1, "again and", "again")]
    page = write(make_run(tmp_path / "run", fake, records)).read_text()
    assert '<span class="pair sub"><span>red</span><span>bread</span></span>' in page
    assert (
        '<span class="pair ins"><span role="img" aria-label="inserted">+</span><span>oh</span></span>' in page
    )
    assert (
        '<span class="pair del"><span>and</span><span role="img" aria-label="deleted">–</span></span>' in page
    )
    assert page.count('<span class="pair"><span>') == 3
    assert page.count("data:audio/wav") == 2
    assert "2 errors in 3 words" in page


def test_an_utterance_without_errors_is_not_among_the_worst(tmp_path: Path, fake: Any) -> None:
    page = write(make_run(tmp_path / "run", fake, [make_record(0, "a b", "a b")])).read_text()
    assert "Kinds of errors" in page
    assert "Worst utterances" not in page


def test_other_peoples_text_stays_text(tmp_path: Path, fake: Any) -> None:
    said, heard = HOSTILE.replace(" ", "\u00a0"), f"{HOSTILE} {HOSTILE}"
    record = make_record(0, said, heard) | {"id": HOSTILE, "speaker": HOSTILE}
    page = write(make_run(tmp_path / "run", fake, [record, make_record(1, HOSTILE, "")])).read_text()
    assert "<script>" not in page
    assert "<img" not in page
    assert html.escape("<script>document.title='owned'") in page.replace("&#34;", "&quot;").replace(
        "&#39;", "&#x27;"
    )
    assert "{{7*7}}" in page


def test_an_alignment_that_is_none_is_told_with_its_line(tmp_path: Path, fake: Any) -> None:
    run = make_run(tmp_path / "run", fake, make_records(3))
    path = run / "predictions" / "test.jsonl"
    good = path.read_text()
    path.write_text(good.replace('["C", ', '["C", "more", ', 1))
    with pytest.raises(UserError, match=r"test.jsonl:\d+:1 alignment\[\d\]: a list; expected a list of 3"):
        read_run(run)
    path.write_text(good.replace('["C", ', '["X", ', 1))
    with pytest.raises(UserError, match=r"alignment\[\d\]\[0\]: 'X'"):
        read_run(run)
    path.write_text(good)
    assert len(read_records(path, "asr")) == 3


def test_frequent_errors_are_counted(tmp_path: Path, fake: Any) -> None:
    texts = [
        ("the red door", "a red door oh"),
        ("the end", "a end"),
        ("is the it", "is a"),
        ("now", "now oh <b>"),
    ]
    records = [make_record(number, *pair) for number, pair in enumerate(texts)]
    assert tabulate_confusions(records)["tables"] == {
        "substituted": [("the", "a", 3)], "deleted": [("it", 1)], "inserted": [("oh", 2), ("<b>", 1)]
    }  # fmt: skip
    many = [make_record(number, f"w{number % 30}", "x") for number in range(300)]
    found = tabulate_confusions(many)
    assert [len(rows) for rows in found["tables"].values()] == [30, 0, 0], "as many as are drawn"
    assert [ribbon.count for ribbon in found["flow"].ribbons] == [10] * 30
    page = write(make_run(tmp_path / "run", fake, records)).read_text()
    assert '<td class="word">&lt;b&gt;</td><td class="num">1</td>' in page


def test_speakers_stand_from_the_hardest_on(tmp_path: Path, fake: Any) -> None:
    records = make_records(200)
    table = tabulate_speakers(records)
    assert table is not None
    rates = [row["rate"] for row in table["rows"]]
    assert rates == sorted(rates, reverse=True)
    for row in table["rows"]:
        own = [record for record in records if record["speaker"] == row["speaker"]]
        texts = [record["reference"] for record in own], [record["hypothesis"] for record in own]
        assert (row["rate"], row["cer"]) == pytest.approx((100 * jiwer.wer(*texts), 100 * jiwer.cer(*texts)))
        assert (row["n_utterances"], row["n_units"]) == (
            len(own),
            sum(len(text.split()) for text in texts[0]),
        )
        assert row["ends"][0] < row["rate"] < row["ends"][1]
    page = write(make_run(tmp_path / "run", fake, records)).read_text()
    assert f"{rates[0]:.1f}%" in page.split(">Speakers<")[1]
    alone = [record | {"speaker": "s"} for record in records]
    assert tabulate_speakers(alone) is None
    crowd = [record | {"speaker": f"s{number}"} for number, record in enumerate(records)]
    cut = tabulate_speakers(crowd)
    assert cut is not None
    assert (cut["n_shown"], cut["n_speakers"], cut["rows"][0]["ends"]) == (40, 200, None)


def test_files_for_other_programs_come_from_the_folder_alone(tmp_path: Path, fake: Any) -> None:
    records = [make_record(number, "red door", "red dore") for number in range(3)]
    records[1]["words"] = [["red", 0.08, 0.24, -0.5], ["dore", 0.4, 0.8, None]]
    records[2]["words"] = []
    records[0] |= {"id": "odd name", "words": [["red", 0.0, 0.12, 0.0]]}
    run = make_run(tmp_path / "run", fake, records)
    write(run)
    made = {name: run / "predictions" / name for name in ("test.wer.txt", "test.ctm")}
    assert made["test.ctm"].read_text() == (
        "odd%20name 1 0.0000 0.1200 red 1.0000\nu001 1 0.0800 0.1600 red 0.6065\nu001 1 0.4000 0.4000 dore\n"
    )
    wer = made["test.wer.txt"].read_text()
    assert wer.startswith("%WER 50.00 [ 3 / 6, 0 ins, 0 del, 3 sub ]\n")
    assert wer.count("REF:  red door\nHYP:  red dore\nEval:     S\n") == 3
    for path in made.values():
        path.unlink()
    write(run)
    assert made["test.wer.txt"].read_text() == wer
    assert made["test.ctm"].is_file()


def test_times_that_are_none_are_told_with_their_line(tmp_path: Path, fake: Any) -> None:
    record = make_record(0, "a", "a") | {"words": [["a", 0.0, "end", None]]}
    with pytest.raises(
        UserError, match=r"test.jsonl:1:1 words\[0\]\[2\]: 'end'; expected a number from 0 on"
    ):
        make_run(tmp_path / "run", fake, [record])
