"""Eight short phrases learned by heart, found by each model's own beam search; the same on real speech."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from speechkit import load, report
from speechkit.data import Clip, make_cuts, write_cuts
from speechkit.tasks import ASR, evaluate_run, main, tune_run

from .conftest import PHRASES

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
Learn = Callable[..., Path]


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """Train by one of the YAMLs on a manifest; the run's folder."""

    def call(name: str, manifest: Path, *more: object) -> Path:
        folders = ["--output_folder", str(tmp_path / "run"), "--manifest", str(manifest)]
        arguments = [str(HERE / "hparams" / f"{name}.yaml"), *folders, "--device", "cpu", *map(str, more)]
        main(ASR, str(HERE / "train.py"), arguments)
        return tmp_path / "run"

    return call


def check_perfect(run: Path, texts: list[str]) -> None:
    """All eight without an error, of texts of different lengths, learned in batches above one."""
    records = report.read_run(run).predictions["test"]
    assert sorted(record["hypothesis"] for record in records) == sorted(texts)
    assert all(record["hypothesis"] == record["reference"] for record in records)
    metrics = report.read_json(run / "report.json", "report")["metrics"]
    assert (metrics["wer"]["value"], metrics["cer"]["value"], metrics["wer"]["n"]) == (0.0, 0.0, 8)
    assert report.read_json(run / "report.json", "report")["seconds"] < 60
    assert report.read_run(run).steps[-1]["step"] // report.read_run(run).epochs[-1]["epoch"] < 4
    assert "Kinds of errors" in (run / "report.html").read_text()
    assert (run / "predictions" / "test.wer.txt").read_text().startswith("%WER 0.00 [ 0 / ")


def check_times(run: Path, kinds: set[str]) -> None:
    """Of every word with CTC, within its utterance; a line for each head, a TextGrid for CTC's."""
    records = report.read_run(run).predictions["test"]
    for record in records:
        words = record.get("words")
        assert [word for word, *_ in words or []] == (record["hypothesis"].split() if "ctc" in kinds else [])
        times = [time for _, start, end, _ in words or [] for time in (start, end)]
        assert times == sorted(times)
        assert times[-1:] <= [record["seconds"] + 0.1]
    lines = report.read_run(run).alignments["test"]
    assert {line["kind"] for each in lines.values() for line in each} == kinds
    assert set(lines) == {record["id"] for record in records if record["hypothesis"]}
    grids = list((run / "alignments" / "test").glob("*.TextGrid"))
    assert len(grids) == (8 if "ctc" in kinds else 0)
    assert (run / "predictions" / "test.ctm").is_file() == ("ctc" in kinds)


def check_alone_as_together(run: Path) -> None:
    """The trained model's transcript of each file alone, without padding, is that of the batch."""
    model = load(run)
    for record in report.read_run(run).predictions["test"]:
        samples, sample_rate = soundfile.read(record["audio"], dtype="float32")
        assert model.predict(samples, sample_rate).text == record["hypothesis"]


def test_real_numbers_learn_eight_phrases(phrases: Path, learn: Learn) -> None:
    run = learn("real", phrases)
    check_perfect(run, list(PHRASES.values()))
    check_times(run, {"ctc"})
    check_alone_as_together(run)


@pytest.mark.parametrize("name", ["las", "joint"])
def test_attention_decoders_learn_them_too(name: str, phrases: Path, learn: Learn) -> None:
    run = learn(name, phrases)
    check_perfect(run, list(PHRASES.values()))
    check_times(run, {"attention"} if name == "las" else {"attention", "ctc"})
    check_alone_as_together(run)
    told = report.read_json(run / "report.json", "report")["decoding"]["search"]
    assert told.startswith("beam search, 4 beams")


def test_a_search_is_tuned_and_used_again(phrases: Path, learn: Learn) -> None:
    """From weights that fail, on validation alone; the evaluation then uses what was found."""
    run = learn("joint", phrases, "--n_epochs", 40, "--search.beam.length_bonus", -3.0)
    before = report.read_json(run / "report.json", "report")["metrics"]["wer"]["value"]
    tuned = tune_run(run)
    assert tuned["trials"][0]["errors"] > 0
    assert before > 0
    page = evaluate_run(run, name="tuned", tuned=True)
    after = report.read_json(page.parent / "report.json", "report")
    assert after["metrics"]["wer"]["value"] == 0
    assert "bonus" in after["decoding"]["search"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["complex", "quaternion", "strf"])
def test_other_numbers_and_filters_learn_them_too(name: str, phrases: Path, learn: Learn) -> None:
    run = learn(name, phrases)
    check_perfect(run, list(PHRASES.values()))
    check_alone_as_together(run)


@pytest.mark.slow
def test_real_speech_is_learned(real_data: Path, learn: Learn, tmp_path: Path) -> None:
    """Eight utterances of AN4, of different speakers."""
    table = real_data / "an4" / "manifest.tsv"
    if not table.is_file():
        pytest.skip(f"no AN4 at {table.parent}: set SPEECHKIT_DATA to a folder that has it")
    clips: dict[str, Clip] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            text, path = row["text"].lower(), table.parent / row["path"]
            if float(row["duration"]) < 2.5 and text not in {clip.label for clip in clips.values()}:
                clips.setdefault(row["speaker"], Clip(path, path.stem, text, row["speaker"]))
    eight = list(clips.values())[:8]
    write_cuts(make_cuts(eight), tmp_path / "eight.jsonl")
    run = learn("real", tmp_path / "eight.jsonl")
    check_perfect(run, [str(clip.label) for clip in eight])
    check_alone_as_together(run)
