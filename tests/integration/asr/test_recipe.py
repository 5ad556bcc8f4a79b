"""The recipe of LibriSpeech from a corpus to a transcript, by its README's commands; one short epoch."""

import importlib.util
import json
from pathlib import Path

import pytest
import soundfile

from speechkit import cli, load, report
from speechkit.data import synthesize_librispeech
from speechkit.tasks import ASR, evaluate_run, main, tune_run

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[3]
RECIPE = PROJECT / "recipes" / "LibriSpeech" / "asr"


def make_ngrams(texts: Path, file: Path) -> None:
    """By the tool that the README names."""
    spec = importlib.util.spec_from_file_location("ngram", PROJECT / "tools" / "ngram.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ngram.py", str(texts), str(file), "--order", "2", "--ids"])
        tool.main()


def train(corpus: Path, folder: Path, *more: str) -> Path:
    """The run's folder."""
    arguments = ["--data_folder", str(corpus), "--arpa_file", str(folder / "words.arpa"), "--n_epochs", "1"]
    place = ["--output_folder", str(folder / "run"), "--device", "cpu", "--n_workers", "0"]
    main(ASR, str(RECIPE / "train.py"), [str(RECIPE / "hparams/joint_small.yaml"), *arguments, *place, *more])
    return folder / "run"


def check_report(run: Path, n_utterances: int) -> None:
    """All utterances are in it, found by the search that the YAML names."""
    told = report.read_json(run / "report.json", "report")
    assert told["metrics"]["wer"]["n"] == n_utterances
    assert not told["skipped"]
    assert "WordNGramScorer of words.arpa, order 2" in told["decoding"]["search"]
    assert len(report.read_run(run).epochs) == 1


def test_from_a_corpus_to_a_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = synthesize_librispeech(tmp_path / "corpus", n_voices=8, n_utterances=40)
    make_ngrams(corpus / "train-clean-100", tmp_path / "words.arpa")
    run = train(corpus.parent, tmp_path)
    check_report(run, 10)

    tuned = tune_run(run)["best"]
    assert set(tuned) == {"ctc_weight", "lm_weight", "beam.length_bonus"}
    page = evaluate_run(run, tuned=True, name="tuned")
    check_report(page.parent, 10)
    records = report.read_run(page.parent).predictions["test-clean"]

    model = load(run, tuned=True)
    record = records[0]
    samples, sample_rate = soundfile.read(record["audio"], dtype="float32")
    assert model.predict(samples, sample_rate).text == record["hypothesis"]
    capsys.readouterr()
    command = ["transcribe", str(run), record["audio"], "--tuned", "--format", "json"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--window_seconds", "30"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["text"] == record["hypothesis"]


@pytest.mark.slow
def test_on_real_utterances(real_data: Path, tmp_path: Path) -> None:
    """The corpus's own layout, and its own texts, of which CTC can place every one."""
    corpus = real_data / "librispeech"
    if not (corpus / "LibriSpeech").is_dir():
        pytest.skip(f"no LibriSpeech at {corpus}: set SPEECHKIT_DATA to a folder that has it")
    make_ngrams(corpus / "LibriSpeech" / "test-other", tmp_path / "words.arpa")
    subsets = ["--train_subsets", "[test-other]", "--valid_subsets", "[dev-clean]"]
    run = train(corpus, tmp_path, *subsets, "--test_subsets", "[test-other]", "--search.beam.beam_size", "2")
    n_said = sum(
        len(path.read_text().splitlines())
        for path in (corpus / "LibriSpeech" / "test-other").rglob("*.trans.txt")
    )
    check_report(run, n_said)
    assert list(report.read_run(run).predictions) == ["test-other"]
