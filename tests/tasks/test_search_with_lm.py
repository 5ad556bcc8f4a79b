"""A trained language model in whole runs of recognition, driven by a YAML: its scores, what reports tell."""

import shutil
from pathlib import Path

import pytest

from speechkit import load, report
from speechkit.errors import UserError
from speechkit.tasks import ASR, LanguageModeling, evaluate_run, main, tune_run

from .conftest import DATA
from .test_trained_lm import HPARAMS as LM_HPARAMS

pytestmark = pytest.mark.integration  # three small trainings

WEIGHT, BONUS = 0.7, 0.3
TRAIN = '"""The names of tones."""\n\nfrom speechkit.tasks import {task}, main\n\nmain({task}, __file__)\n'
HPARAMS = (
    """seed: 3
manifest_folder: {manifests}
output_folder: {folder}/run
lm_run: {lm}
sample_rate: 8000
n_epochs: 2
n_workers: 0
device: cpu
tokenizer: !new:speechkit.data.CharacterTokenizer
    symbols: deghilmow
"""
    + DATA
    + """modules:
    features: !new:speechkit.features.LogMel
        sample_rate: !ref <sample_rate>
        n_mels: 20
    encoder: !new:speechkit.nnet.Sequential
        input_shape: [null, null, 20]
        conv: !new:speechkit.nnet.Conv1d
            out_channels: 16
            kernel_size: 3
            input_size: 20
        pool: !new:speechkit.nnet.Pooling1d [max, 3]
    ctc: !new:torch.nn.Linear [16, 10]
optimizer: !name:torch.optim.Adam
    lr: 0.01
"""
)
LM = """lm: !new:speechkit.tasks.TrainedLM
        run: !ref <lm_run>
        tokenizer: !ref <tokenizer>
    lm_weight: 0.7
"""
WITHIN = f"""search: !new:speechkit.decoding.CTCSearch
    beam: !new:speechkit.decoding.CTCBeam
        n_best: 3
    {LM}"""
RESCORED = f"""search: !new:speechkit.decoding.RescoredSearch
    search: !new:speechkit.decoding.CTCSearch
        beam: !new:speechkit.decoding.CTCBeam
            n_best: 5
    length_bonus: 0.3
    {LM}"""


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the three names."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "texts.txt").write_text("low\nmiddle\nhigh\n" * 8)
    hparams = LM_HPARAMS.format(folder=folder).replace("symbols: abc", "symbols: deghilmow")
    (folder / "hparams.yaml").write_text(hparams)
    (folder / "train.py").write_text(TRAIN.format(task="LanguageModeling"))
    main(LanguageModeling, str(folder / "train.py"), [str(folder / "hparams.yaml")])
    return folder / "run"


def learn(folder: Path, manifests: Path, lm: Path, search: str, *more: str) -> Path:
    """Train on tones, and find texts by a search; the run's folder."""
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN.format(task="ASR"))
    (folder / "hparams.yaml").write_text(HPARAMS.format(folder=folder, manifests=manifests, lm=lm) + search)
    main(ASR, str(folder / "train.py"), [str(folder / "hparams.yaml"), *more])
    return folder / "run"


def lists_of(run: Path) -> dict[str, dict[str, float]]:
    """The scores of each utterance's results, in their order."""
    records = report.read_run(run).predictions["test"]
    for record in records:
        assert record["n_best"][0]["hypothesis"] == record["hypothesis"]
    return {
        record["id"]: {each["hypothesis"]: each["score"] for each in record["n_best"]} for record in records
    }


def search_of(run: Path) -> str:
    return report.read_json(run / "report.json", "report")["decoding"]["search"]


def test_results_are_rescored_by_the_whole_texts(lm: Path, manifests: Path, tmp_path: Path) -> None:
    """Against CTC's scores, of the same run without weights, and the model's own."""
    run = learn(tmp_path / "asr", manifests, lm, RESCORED)
    nothing = ["--search.lm_weight", "0", "--search.length_bonus", "0"]
    alone = evaluate_run(run, nothing, name="alone").parent
    found, heard, model = lists_of(run), lists_of(alone), load(lm)
    assert len(found) == 13
    for name, scores in found.items():
        assert len(scores) == 5
        spoken = dict(zip(scores, model.score(list(scores)), strict=True))
        expected = {
            text: score + WEIGHT * spoken[text] + BONUS * len(text) for text, score in heard[name].items()
        }
        assert scores == pytest.approx(expected, rel=1e-4)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert any(list(found[name]) != list(heard[name]) for name in found), "it has a say"
    told = f"5 results rescored with TrainedLM of {lm.parent.name}/run, weights "
    assert told in search_of(run)
    assert told not in search_of(alone)
    tuned = tune_run(run)
    assert set(tuned["best"]) == {"lm_weight", "length_bonus"}
    evaluate_run(run, name="tuned", tuned=True)


def test_it_leads_a_search_and_is_found_where_it_has_moved(lm: Path, manifests: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(lm, tmp_path / "lm")
    run = learn(tmp_path / "asr", manifests, tmp_path / "lm", WITHIN)
    assert f"TrainedLM of {tmp_path.name}/lm, weights " in search_of(run)
    (tmp_path / "lm").rename(moved)
    with pytest.raises(UserError, match=r"lm holds no whole checkpoint.*--search\.lm\.run PATH") as told:
        evaluate_run(run, name="lost")
    assert told.value.key == "search.lm.run"
    again = evaluate_run(run, ["--search.lm.run", str(moved)], name="again").parent
    assert lists_of(again) == lists_of(run)
    alone = evaluate_run(run, ["--search.lm_weight", "0"], name="alone").parent
    assert lists_of(alone) != lists_of(run), "it has a say"


def test_a_model_that_is_not_there_ends_a_run_before_it_begins(
    manifests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        learn(tmp_path / "asr", manifests, tmp_path / "nowhere", WITHIN)
    assert end.value.code == 2
    assert "search.lm.run: " in (told := capsys.readouterr().err)
    assert "nowhere holds no hparams.yaml" in told
    assert not list((tmp_path / "asr").rglob("checkpoints/*"))
