"""A recogniser of three tones: tuned, evaluated and used by what was found, from Python and typed."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speechkit import load, report
from speechkit.cli import main as speechkit
from speechkit.data import read_cuts, write_cuts
from speechkit.decoding.arpa import format_arpa
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.errors import UserError
from speechkit.tasks import ASR, evaluate_run, main, read_tuned, tune_run
from speechkit.tasks.tuned import get_weights, set_weights, sum_ids
from speechkit.tasks.weights import read_best, weights_sha256

pytestmark = pytest.mark.integration  # a whole run, a small one: several rooms together

TRAIN = '''"""Which of three tones, as a text."""

from speechkit.tasks import ASR, main

if __name__ == "__main__":
    main(ASR, __file__)
'''
HPARAMS = """seed: 3
output_folder: OUTPUT
sample_rate: 8000
n_epochs: 3
device: cpu
criterion: [loss, max]  # the first epoch will be the best
arpa_file: ARPA
tokenizer: !new:speechkit.data.WordTokenizer
    symbols: low middle high

train_data: !new:speechkit.data.CutBatches
    manifest: MANIFESTS/train.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 8
        shuffle: True
    sample_rate: !ref <sample_rate>
valid_data: !new:speechkit.data.CutBatches
    manifest: MANIFESTS/valid.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 5
    sample_rate: !ref <sample_rate>
test_data:
    test: !new:speechkit.data.CutBatches
        manifest: MANIFESTS/test.jsonl
        sampler: !name:lhotse.dataset.SimpleCutSampler
            max_cuts: 5
        sample_rate: !ref <sample_rate>

features: !new:speechkit.features.LogMel
    sample_rate: !ref <sample_rate>
    n_mels: 20
encoder: !new:speechkit.nnet.Sequential
    input_shape: !ref <features.output_shape>
    conv: !name:speechkit.nnet.Conv1d
        out_channels: 16
        kernel_size: 5
    norm: !name:speechkit.nnet.BatchNorm
    relu: !name:torch.nn.ReLU
    pool: !name:speechkit.nnet.Pooling1d
        pool_type: max
        kernel_size: 8
        padding: same
modules:
    features: !ref <features>
    encoder: !ref <encoder>
    ctc: !new:speechkit.nnet.Linear
        n_neurons: !ref <tokenizer.n_tokens>
        input_shape: !ref <encoder.output_shape>
    decoder: !new:speechkit.models.TransformerDecoder
        n_tokens: !ref <tokenizer.n_tokens>
        input_shape: !ref <encoder.output_shape>
        width: 16
        num_layers: 1
        n_heads: 2
        hidden_size: 16
        dropout: 0.0
ctc_weight:
    1: 0.9
    2: 0.2
beam: !new:speechkit.decoding.AttentionBeam
    beam_size: 2
    length_bonus: -30.0
search: !new:speechkit.decoding.JointSearch
    beam: !ref <beam>
    ctc_weight: 0.4
    lm: !new:speechkit.decoding.NGramScorer
        arpa_file: !ref <arpa_file>
        tokenizer: !ref <tokenizer>
    lm_weight: 0.5
optimizer: !name:torch.optim.Adam
    lr: 0.03
"""
BEST = {"ctc_weight": 0.25, "lm_weight": 0.75, "beam.length_bonus": 1.5}
SEARCH = "beam search, 2 beams, bonus of 1.5 a token, attention 0.75, CTC 0.25, NGramScorer 0.75"
Typed = Callable[..., tuple[int, str, str]]


def write_lm(path: Path, *sentences: str) -> Path:
    path.write_text("".join(format_arpa(train_kneser_ney([each.split() for each in sentences], 2))))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, manifests: Path) -> Path:
    """The folder of the run that has ended; not to be written into."""
    folder = tmp_path_factory.mktemp("words") / "recipe"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    arpa = write_lm(folder / "words.arpa", "low", "middle", "high", "low high", "middle low", "high high")
    values = {"OUTPUT": folder / "run", "MANIFESTS": manifests, "ARPA": arpa}
    text = HPARAMS
    for name, value in values.items():
        text = text.replace(name, str(value))
    (folder / "hparams.yaml").write_text(text)
    main(ASR, str(folder / "train.py"), [str(folder / "hparams.yaml")])
    return folder / "run"


@pytest.fixture(scope="module")
def tuned_run(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tuned, but with other results, so that one sees them used; not to be written into."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    shutil.copytree(done, run)
    tune_run(run)
    search = load(run).search
    set_weights(search, BEST)
    change_tuning(run, best=BEST, tuned_search=search.describe())
    return run


@pytest.fixture
def run(tuned_run: Path, tmp_path: Path) -> Path:
    """The same, to be written into."""
    shutil.copytree(tuned_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def typed(capsys: pytest.CaptureFixture) -> Typed:
    """Run a command: its code, what it printed and what it complained of."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            speechkit([*map(str, arguments)])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call


def change_tuning(run: Path, **changed: Any) -> None:
    path = run / "tuning.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def searched(page: Path) -> str:
    """How the texts of an evaluation were found."""
    return without_file(report.read_json(page.parent / "report.json", "report")["decoding"]["search"])


def without_file(search: str) -> str:
    """Less what tells which language model it was."""
    return re.sub(r" of \w+\.arpa, order 2, sha256 \w{12}", "", search)


def test_tuning_keeps_what_it_was_for(done: Path, manifests: Path, tmp_path: Path, typed: Typed) -> None:
    shutil.copytree(done, tmp_path / "run")
    before = {path for path in (tmp_path / "run").rglob("*") if path.is_file()}
    code, told, _ = typed("tune", tmp_path / "run", "--search.lm_weight", "0.25")
    assert code == 0
    after = {path for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after - before == {tmp_path / "run" / "tuning.json"}
    content = read_tuned(tmp_path / "run").content
    checkpoint, _ = read_best(done)
    assert (content["checkpoint"], content["weights_sha256"]) == ("epoch-0001", weights_sha256(checkpoint))
    assert content["search_class"] == "JointSearch"
    assert without_file(content["search"]).endswith(
        "bonus of -30 a token, attention 0.6, CTC 0.4, NGramScorer 0.25"
    )
    assert content["overrides"] == {"search.lm_weight": "0.25"}
    assert (content["n_utterances"], content["n_words"], content["skipped"]) == (9, 9, {})
    assert content["ids_sha256"] == sum_ids(cut.id for cut in read_cuts(manifests / "valid.jsonl"))
    assert set(content["best"]) == {"ctc_weight", "beam.length_bonus"}, "what is given is not tuned"
    errors = [(trial["errors"], trial["character_errors"]) for trial in content["trials"]]
    assert errors[0][0] == 9, "of a bonus that lets no token through"
    assert content["trials"][errors.index(min(errors))]["weights"] == content["best"]
    *_, data, best, then = told.splitlines()
    assert data == "validation set: 9 utterances; left out: none"
    assert best.startswith(f"best of {len(errors)}: ctc_weight ")
    assert then == f"speechkit evaluate {tmp_path / 'run'} --tuned --search.lm_weight 0.25"


def test_utterances_that_are_left_out_are_told(
    done: Path, manifests: Path, tmp_path: Path, typed: Typed
) -> None:
    shutil.copytree(done, tmp_path / "run")
    cuts = list(read_cuts(manifests / "valid.jsonl"))
    cuts[3].recording.sources[0].source = str(tmp_path / "gone.wav")
    write_cuts(cuts, tmp_path / "valid.jsonl")
    hparams = tmp_path / "run" / "hparams.yaml"
    hparams.write_text(
        hparams.read_text().replace(str(manifests / "valid.jsonl"), str(tmp_path / "valid.jsonl"))
    )
    code, told, complaints = typed("tune", tmp_path / "run", "--search.ctc_weight=1", "--search.lm_weight=0")
    assert code == 0
    assert "validation set: 8 utterances; left out: 1 unreadable\n" in told
    assert "gone.wav" in complaints
    content = read_tuned(tmp_path / "run").content
    assert (content["n_utterances"], content["skipped"]) == (8, {"unreadable": 1})
    assert content["ids_sha256"] == sum_ids(cut.id for cut in cuts if cut is not cuts[3])


@pytest.mark.parametrize(
    ("overrides", "search", "used"),
    [
        ([], SEARCH, BEST),
        (
            ["--search.lm_weight", "0"],
            SEARCH.removesuffix(", NGramScorer 0.75"),
            {name: value for name, value in BEST.items() if name != "lm_weight"},
        ),
        (
            ["--beam.length_bonus=2"],  # the YAML's search only refers to it
            SEARCH.replace("1.5", "2"),
            {name: value for name, value in BEST.items() if name != "beam.length_bonus"},
        ),
    ],
    ids=["all", "without the LM", "another bonus"],
)
def test_an_evaluation_uses_what_was_tuned(
    overrides: list[str], search: str, used: dict[str, float], run: Path
) -> None:
    page = evaluate_run(run, overrides, tuned=True)
    assert searched(page) == search
    told = report.read_json(page.parent / "report.json", "report")["evaluation"]["tuned"]
    content = read_tuned(run).content
    assert told["weights"] == used
    assert told["valid"] == {name: content[name] for name in ("n_utterances", "ids_sha256", "commit")}
    assert "tuned" not in report.read_run(evaluate_run(run).parent).description["evaluation"]


def test_commands_and_models_use_it_too(run: Path, typed: Typed) -> None:
    code, told, _ = typed("evaluate", run, "--tuned", "--name", "mine")
    assert (code, SEARCH[:40] in told) == (0, True)
    page = run / "evaluations" / "mine" / "report.html"
    assert searched(page) == SEARCH
    model = load(run, tuned=True)
    assert get_weights(model.search, list(BEST)) == BEST
    given = load(run, tuned=True, overrides=["--search.ctc_weight", "0.5"]).search
    assert get_weights(given, list(BEST)) == BEST | {"ctc_weight": 0.5}
    records = report.read_run(page.parent).predictions["test"]
    assert [model.transcribe(record["audio"]).text for record in records] == [
        record["hypothesis"] for record in records
    ]
    code, told, complaints = typed("transcribe", run, records[0]["audio"], "--format", "json", "--tuned")
    assert (code, json.loads(told)["text"]) == (0, records[0]["hypothesis"])
    assert complaints.startswith("windows of 2 s")


@pytest.mark.parametrize(
    ("changed", "overrides", "message"),
    [
        ({"weights_sha256": "ab" * 32}, [], r"are now epoch-0001 \(.*; expected epoch-0001 \(ababababab\)"),
        ({}, ["--search", "null"], "the search is a GreedySearch; expected a JointSearch"),
        ({"search_class": "CTCSearch"}, [], "the search is a JointSearch; expected a CTCSearch"),
        ({}, ["--search.lm", "null"], "has no lm_weight now"),
        ({}, ["--beam.beam_size", "1"], "now 'beam search, 1 beams, .*'; expected 'beam search, 2 beams, "),
        ({"schema": 2}, [], "does not tell what was tuned"),
    ],
    ids=["other weights", "no search", "another search", "no LM", "a smaller beam", "another version"],
)
def test_what_was_tuned_for_something_else_is_refused(
    changed: dict[str, Any], overrides: list[str], message: str, run: Path
) -> None:
    """And nothing is left behind."""
    change_tuning(run, **changed)
    for use in (
        lambda: evaluate_run(run, overrides, tuned=True),
        lambda: load(run, tuned=True, overrides=overrides),
    ):
        with pytest.raises(UserError, match=message) as caught:
            use()
        assert f"speechkit tune {run}" in str(caught.value)
    assert not (run / "evaluations").exists()


def test_what_was_tuned_with_another_language_model_or_rule_is_refused(run: Path, tmp_path: Path) -> None:
    """A file of the same name, too; by the same changes it is tuned, and used."""
    changes = ["--search.lm.arpa_file", str(write_lm(tmp_path / "words.arpa", "high", "high high", "low"))]
    for use in (evaluate_run, lambda run, overrides, tuned: load(run, overrides=overrides, tuned=tuned)):
        with pytest.raises(UserError, match=r"search: it is now .*speechkit tune .*, with the same changes"):
            use(run, changes, tuned=True)
    change_tuning(run, normalization="lower case")
    with pytest.raises(UserError, match="normalizer: it is now None; expected 'lower case', for which"):
        evaluate_run(run, tuned=True)
    assert not (run / "evaluations").exists()
    tune_run(run, changes)
    page = evaluate_run(run, changes, tuned=True)
    told = report.read_json(page.parent / "report.json", "report")["decoding"]["search"]
    assert told == read_tuned(run).content["tuned_search"]


def test_only_the_search_may_be_changed_and_what_it_alone_is_made_of(run: Path, tmp_path: Path) -> None:
    """A file that is a key of its own: hparams.yaml no longer knows what was made from it."""
    other = write_lm(tmp_path / "other.arpa", "high", "high high", "low")
    for use in (tune_run, evaluate_run, lambda path, overrides: load(path, overrides=overrides)):
        with pytest.raises(UserError, match=r"arpa_file: .*: --search\.lm\.arpa_file VALUE"):
            use(run, ["--arpa_file", str(other)])
        with pytest.raises(UserError, match="tokenizer: the model"):
            use(run, ["--tokenizer.symbols", "a b c"])
    with pytest.raises(UserError, match=r"test_data: .*expected changes of beam, deterministic, device"):
        tune_run(run, ["--test_data.test.sampler.max_cuts", "1"])
    page = evaluate_run(run, ["--search.lm.arpa_file", str(other), "--beam.beam_size", "1"])
    assert searched(page).startswith("beam search, 1 beams")
    assert load(run, overrides=["--search.lm.arpa_file", str(other)]).search.lm.arpa_file == str(other)


def test_a_loss_is_weighted_as_in_the_epoch_that_is_evaluated(done: Path, run: Path) -> None:
    """In the test after training and in an evaluation: the best epoch is the first of three."""
    assert report.read_json(done / "report.json", "report")["best_epoch"] == 1
    again = evaluate_run(run).parent
    for folder in (done, again):
        for record in report.read_run(folder).predictions["test"]:
            scores = record["scores"]
            weighted = 0.9 * scores["ctc_loss"] + 0.1 * scores["attention_loss"]
            assert scores["loss"] == pytest.approx(weighted, rel=1e-5)
    one, other = (folder / "predictions" / "test.jsonl" for folder in (done, again))
    assert one.read_bytes() == other.read_bytes()


def test_searches_are_compared_each_with_weights_of_its_own(
    run: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("compare_searches", project / "tools/compare_searches.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    folders = {search: tool.decode(run, search) for search in (tool.GREEDY, "attention", "CTC and LM")}
    found = {path.stem: json.loads(path.read_text())["best"] for path in (run / "tunings").iterdir()}
    assert {name: set(best) for name, best in found.items()} == {
        "attention": {"beam.length_bonus"}, "ctc-and-lm": {"lm_weight", "beam.length_bonus"}
    }  # fmt: skip
    rows = tool.compare(folders)
    kinds = [row["how"].split(",")[0] for row in rows]
    assert kinds == ["greedy: the likeliest token at each frame (CTC)", "beam search", "beam search"]
    assert "attention 1, CTC 0" in rows[1]["how"]
    assert "NGramScorer" not in rows[1]["how"]
    assert "attention 0, CTC 1" in rows[2]["how"]
    assert {row["utterances"] for row in rows} == {13}
    for name in ("tune_run", "evaluate_run"):
        monkeypatch.setattr(tool, name, None)
    assert {search: tool.decode(run, search) for search in folders} == folders
