"""`speechkit evaluate RUN`: a second report beside the first; the run itself is only read."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from speechkit import report
from speechkit.cli import main as speechkit
from speechkit.errors import UserError
from speechkit.tasks import evaluate_run
from speechkit.tasks.weights import read_best

from .conftest import Recipe, read_lines, write_tones

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other tones, in a folder named with care."""
    folder = tmp_path_factory.mktemp("tones") / "other tones"
    folder.mkdir()
    for subset, n_clips in (("train", 3), ("valid", 3), ("test", 17)):
        write_tones(folder, subset, n_clips)
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    """All files of a run but its evaluations."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "evaluations" not in path.relative_to(folder).parts
    }


def test_the_same_data_gives_the_same_records(trained: Recipe) -> None:
    before = contents(trained.output)
    page = evaluate_run(trained.output)
    folder = trained.output / "evaluations" / "again"
    assert page == folder / "report.html"
    for name in ("predictions/test.jsonl", "clips/index.json"):
        assert (folder / name).read_bytes() == (trained.output / name).read_bytes()
    assert contents(trained.output) == before
    first, second = (report.read_json(each / "report.json", "report") for each in (trained.output, folder))
    same = ("metrics", "subsets", "parameters", "fingerprint", "n_epochs", "best_epoch", "seconds", "seed")
    assert [second[key] for key in same] == [first[key] for key in same]
    assert "evaluation" not in first
    assert not (folder / "manifests").exists()


def test_another_data_folder(trained: Recipe, other: Path, capsys) -> None:
    """Its manifests are made in a folder of the evaluation; the figures are those of the model used alone."""
    from speechkit import load
    from speechkit.tasks import classify_file

    before = contents(trained.output)
    with pytest.raises(SystemExit) as end:
        speechkit(["evaluate", str(trained.output), "--data_folder", str(other)])
    assert end.value.code == 0
    told = capsys.readouterr()
    folder = trained.output / "evaluations" / "other-tones"
    assert told.out.rstrip().endswith(f"report: {folder / 'report.html'}")
    assert "evaluation other-tones" in told.out
    assert contents(trained.output) == before
    run, model = report.read_run(folder), load(trained.output)
    assert len(run.predictions["test"]) == 17
    for record in run.predictions["test"]:
        assert Path(record["audio"]).parent == other
        prediction = classify_file(model, record["audio"])
        assert prediction.label == record["hypothesis"]
        assert prediction.probability == pytest.approx(record["scores"]["probability"], abs=1e-5)
    about = report.read_json(folder / "report.json", "report")["evaluation"]
    assert about["name"] == "other-tones"
    assert about["overrides"] == {"data_folder": "(path)"}
    assert about["recipe_changed"] == {"train.py": False, "prepare.py": False}
    assert run.description["evaluation"]["overrides"] == {"data_folder": str(other)}
    assert "other-tones" in (folder / "report.html").read_text()
    assert {path.name for path in (folder / "manifests").iterdir()} == {
        f"{n}.jsonl" for n in ("train", "valid", "test")
    }


def test_the_best_weights_are_evaluated(trained: Recipe) -> None:
    evaluate_run(trained.output)
    checkpoint, _ = read_best(trained.output)
    best = report.read_json(trained.output / "report.json", "report")["best_epoch"]
    about = report.read_run(trained.output / "evaluations" / "again").description["evaluation"]
    assert about["checkpoint"] == checkpoint.folder.name == f"epoch-{best:04d}"


def test_nothing_is_overwritten(trained: Recipe, other: Path) -> None:
    """Without a name a number is added; a name that is taken is refused."""
    for expected in ("other-tones", "other-tones-2", "other-tones-3"):
        assert evaluate_run(trained.output, ["--data_folder", str(other)]).parent.name == expected
    assert evaluate_run(trained.output, name="mine").parent.name == "mine"
    before = contents(trained.output / "evaluations")
    with pytest.raises(UserError, match=r"there is an evaluation .*mine already") as caught:
        evaluate_run(trained.output, name="mine")
    assert "another --name" in caught.value.do
    assert contents(trained.output / "evaluations") == before


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_folders(name: str, trained: Recipe) -> None:
    with pytest.raises(UserError, match="an evaluation named"):
        evaluate_run(trained.output, name=name)
    assert not (trained.output / "evaluations").exists()


def test_report_makes_the_page_of_an_evaluation_again(trained: Recipe, other: Path) -> None:
    page = evaluate_run(trained.output, ["--data_folder", str(other)])
    before = {name: (page.parent / name).read_bytes() for name in ("report.json", "report.html")}
    for name in before:
        (page.parent / name).unlink()
    with pytest.raises(SystemExit) as end:
        speechkit(["report", str(page.parent)])
    assert end.value.code == 0
    assert {name: (page.parent / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--optimizer.lr", "0.1"], "optimizer: the model, and how it was trained, stay as they are"),
        (["--labels", "[low, high, middle]"], "labels: the model"),
        (["--seed", "4"], "seed: the model"),
        (["--output_folder", "elsewhere"], "output_folder: the model"),
        (["--init_from", "elsewhere"], "init_from: the model"),
        (["--dta_folder", "x"], "there is no key 'dta_folder' to change (did you mean 'data_folder'?)"),
        (["--data_folder", "/not/there"], "data_folder: there is no data_folder /not/there"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--test_data.test.manifest", "/not/there.jsonl"], "no manifest '/not/there.jsonl'"),
        (["--n_called", "1", "--manifest_folder", "{run}/manifests"], "holds the run's own manifests"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(
    given: list[str], told: str, trained: Recipe, capsys
) -> None:
    before = contents(trained.output)
    given = [each.format(run=trained.output) for each in given]
    with pytest.raises(SystemExit) as end:
        speechkit(["evaluate", str(trained.output), *given])
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert not (trained.output / "evaluations").exists()
    assert contents(trained.output) == before


def test_other_settings_of_the_test_alone(trained: Recipe) -> None:
    page = evaluate_run(trained.output, ["--test_data.test.sampler.max_cuts", "1", "--device", "cpu"])
    records, expected = (report.read_run(each).predictions["test"] for each in (page.parent, trained.output))
    assert [record["hypothesis"] for record in records] == [record["hypothesis"] for record in expected]


def test_a_run_that_was_moved_with_its_manifests(trained: Recipe, tmp_path: Path, monkeypatch) -> None:
    run = trained.output.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    page = evaluate_run("moved")
    predictions = (page.parent / "predictions" / "test.jsonl").read_bytes()
    assert predictions == (run / "predictions" / "test.jsonl").read_bytes()


# A run that still trains.


def test_a_checkpoint_that_goes_while_it_is_read(trained: Recipe, monkeypatch) -> None:
    """The loop removes the former best one as soon as there is a better one."""
    from speechkit.training import Checkpoint

    read = Checkpoint.read_weights
    seen = []

    def removed_first(checkpoint: Checkpoint) -> dict:
        seen.append(checkpoint.folder.name)
        if len(seen) == 1:
            shutil.rmtree(checkpoint.folder)
        return read(checkpoint)

    monkeypatch.setattr(Checkpoint, "read_weights", removed_first)
    checkpoint, weights = read_best(trained.output)
    assert len(seen) == 2
    assert checkpoint.folder.name == seen[1] != seen[0]
    assert weights


def test_a_run_may_be_training_meanwhile(recipe: Recipe, run: Callable[..., int]) -> None:
    """Evaluated from another thread whenever there is a checkpoint; its end is that of a run left alone."""
    assert run(recipe, "--n_epochs", 4, "--output_folder", recipe.folder / "alone") == 0
    ended, pages = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            if any((recipe.output / "checkpoints").glob("epoch-*")):
                read_best(recipe.output)
                pages.append(recipe.output)
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert run(recipe, "--n_epochs", 4) == 0
    finally:
        ended.set()
        thread.join()
    assert pages
    for name in ("checkpoints/epoch-0004/modules.safetensors", "predictions/test.jsonl"):
        assert (recipe.output / name).read_bytes() == (recipe.folder / "alone" / name).read_bytes()


def test_a_run_without_a_checkpoint(trained: Recipe) -> None:
    shutil.rmtree(trained.output / "checkpoints")
    with pytest.raises(UserError, match="holds no whole checkpoint"):
        evaluate_run(trained.output)
    with pytest.raises(UserError, match=r"holds no hparams.yaml"):
        evaluate_run(trained.output / "nowhere")
    assert not (trained.output / "evaluations").exists()


def test_an_evaluation_is_no_run(trained: Recipe) -> None:
    folder = evaluate_run(trained.output).parent
    with pytest.raises(UserError, match="is an evaluation"):
        evaluate_run(folder)


def test_restart_removes_evaluations_of_weights_that_are_gone(trained: Recipe, prepared: Recipe, run) -> None:
    evaluate_run(trained.output)
    arguments = ("--output_folder", trained.output, "--n_epochs", 1, "--restart")
    assert run(prepared, *arguments) == 0
    assert not (trained.output / "evaluations").exists()


def test_a_clip_of_a_long_recording_is_the_part_that_was_heard(recipe: Recipe, run, tmp_path: Path) -> None:
    """Cuts may be parts of one recording: the page plays the part."""
    import numpy as np
    from lhotse import Recording, SupervisionSegment

    from speechkit.data import write_cuts

    from .conftest import RATE

    random = np.random.default_rng(0)
    long = random.uniform(-0.5, 0.5, 10 * RATE).astype("float32")
    soundfile.write(tmp_path / "long.wav", long, RATE, subtype="FLOAT")
    recording, cuts = Recording.from_file(tmp_path / "long.wav"), []
    for index, (start, seconds) in enumerate([(0.0, 0.5), (2.25, 0.75), (7.5, 0.25)]):
        cut = recording.to_cut().truncate(offset=start, duration=seconds)
        cut.id = f"part{index}"
        cut.supervisions = [SupervisionSegment(cut.id, recording.id, 0, seconds, text="low", speaker="one")]
        cuts.append(cut)
    write_cuts(cuts, tmp_path / "parts.jsonl")
    assert run(recipe, "--n_epochs", 1, "--test_data.test.manifest", tmp_path / "parts.jsonl") == 0
    clips = {clip["id"]: clip for clip in report.read_run(recipe.output).clips}
    assert {name: clip["seconds"] for name, clip in clips.items()} == {
        "part0": 0.5,
        "part1": 0.75,
        "part2": 0.25,
    }
    for name, start in (("part0", 0.0), ("part1", 2.25), ("part2", 7.5)):
        heard, rate = soundfile.read(recipe.output / clips[name]["path"], dtype="float32")
        assert rate == RATE
        part = long[round(start * RATE) :][: len(heard)]
        assert np.abs(heard - part).max() < 1e-4


def test_lines_of_the_evaluation_tell_where_it_ran(trained: Recipe) -> None:
    folder = evaluate_run(trained.output).parent
    assert [event["event"] for event in read_lines(folder / "events.jsonl")] == ["finished"]
