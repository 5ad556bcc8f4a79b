"""What was trained, used: the same labels as in the report, for whatever waveform one has."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechkit import load
from speechkit.errors import UserError
from speechkit.ops.resample import resample
from speechkit.tasks import Classifier, classify_file

from .conftest import RATE, Recipe, read_lines


@pytest.fixture(scope="module")
def model(finished: Recipe) -> Classifier:
    return load(finished.output)


@pytest.fixture(scope="module")
def records(finished: Recipe) -> list[dict]:
    return read_lines(finished.output / "predictions" / "test.jsonl")


@pytest.fixture(scope="module")
def wave(records: list[dict]) -> np.ndarray:
    return soundfile.read(records[0]["audio"], dtype="float32")[0]


def test_predictions_are_those_of_the_report(model: Classifier, records: list[dict]) -> None:
    assert {record["hypothesis"] for record in records} == {"low", "middle", "high"}
    for record in records:
        samples, rate = soundfile.read(record["audio"], dtype="float32")
        for prediction in (model.predict(samples, rate), classify_file(model, record["audio"])):
            assert prediction.label == record["hypothesis"]
            assert prediction.probability == pytest.approx(record["scores"]["probability"], abs=1e-5)
            best = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
            assert [label for label, _ in best] == [label for label, _ in record["scores"]["top"]]
            assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
            assert max(prediction.probabilities.values()) == prediction.probability


def test_the_best_epoch_is_loaded(finished: Recipe, model: Classifier) -> None:
    from safetensors.torch import load_file

    state = finished.output / "checkpoints" / "epoch-0006" / "state.pt"
    best = torch.load(state, weights_only=True)["progress"]["best_epoch"]
    weights = load_file(finished.output / "checkpoints" / f"epoch-{best:04d}" / "modules.safetensors")
    assert all(torch.equal(model.modules.state_dict()[name], tensor) for name, tensor in weights.items())
    assert not any(module.training for module in model.modules.modules())


@pytest.mark.parametrize("rate", [16000, 11025, 44100, 48000, 8001, 44101])
def test_another_rate_is_resampled(rate: int, model: Classifier, records: list[dict]) -> None:
    for record in records[:4]:
        samples = torch.from_numpy(soundfile.read(record["audio"], dtype="float32")[0])
        prediction = model.predict(resample(samples, RATE, rate), rate)
        assert prediction.label == record["hypothesis"]


def test_of_channels_the_mean_is_taken(model: Classifier, wave: np.ndarray) -> None:
    other = np.roll(wave, 7) * 0.3
    stereo = model.predict(np.stack([wave, other]), RATE)
    mean = model.predict((wave + other) / 2, RATE)
    assert stereo.probabilities == pytest.approx(mean.probabilities, abs=1e-6)
    assert model.predict(wave[None], RATE) == model.predict(wave, RATE)


def test_any_kind_of_floats(model: Classifier, wave: np.ndarray) -> None:
    expected = model.predict(wave, RATE)
    assert model.predict(wave.astype(np.float64), RATE).probabilities == pytest.approx(
        expected.probabilities, abs=1e-5
    )
    assert model.predict(torch.from_numpy(wave.copy()), RATE) == expected
    assert model.predict(wave.tolist(), RATE) == expected
    assert model.predict(wave[::-1][::-1], RATE) == expected  # a view with odd strides


def test_too_loud_is_scaled_down_to_its_peak(model: Classifier, wave: np.ndarray) -> None:
    """As audio of a manifest is."""
    peak = np.abs(wave).max()
    loud, at_peak = model.predict(wave * 10 / peak, RATE), model.predict(wave / peak, RATE)
    assert loud.probabilities == pytest.approx(at_peak.probabilities, abs=1e-5)


@pytest.mark.parametrize("n_samples", [1, 7, 100, RATE * 30])
def test_any_length(n_samples: int, model: Classifier) -> None:
    prediction = model.predict(0.1 * np.random.default_rng(0).standard_normal(n_samples), RATE)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("waveform", "rate", "told"),
    [
        ([], RATE, "shape (0,)"),
        (np.zeros((2, 0)), RATE, "shape (0,)"),
        (np.zeros((0, 5)), RATE, "shape"),
        (0.5, RATE, "shape ()"),
        (np.zeros((1, 2, 3)), RATE, "shape (1, 2, 3)"),
        ([0.0, float("nan")], RATE, "not finite"),
        ([0.0, float("inf")], RATE, "not finite"),
        (np.zeros(9, np.int16), RATE, "divide 16-bit samples by 32768"),
        (np.zeros((8000, 2)), RATE, "expected (channels, samples); transpose it"),
        (np.zeros(9), 0, "a sample rate of 0"),
        (np.zeros(9), -8000, "a sample rate of -8000"),
        (np.zeros(9), 0.5, "a sample rate of 0.5"),
    ],
)
def test_what_is_no_waveform_is_told(waveform, rate: float, told: str, model: Classifier) -> None:
    with pytest.raises(UserError) as caught:
        model.predict(waveform, rate)
    assert told in str(caught.value)


def test_files_that_are_no_audio(model: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    for name, told in (
        ("text.wav", "cannot be read"),
        ("none.wav", "cannot be read"),
        ("empty.wav", "no samples"),
    ):
        with pytest.raises(UserError, match=told):
            classify_file(model, tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        classify_file(model, tmp_path)


def test_formats_of_files(model: Classifier, wave: np.ndarray, tmp_path: Path) -> None:
    expected = model.predict(wave, RATE)
    for name, subtype in (("a.flac", "PCM_16"), ("b.wav", "PCM_24"), ("c.wav", "FLOAT"), ("d.ogg", "VORBIS")):
        soundfile.write(tmp_path / name, np.stack([wave, wave], 1), RATE, subtype=subtype)
        assert classify_file(model, tmp_path / name).label == expected.label


# Folders that are not what they seem.


@pytest.fixture
def copied(finished: Recipe, tmp_path: Path) -> Path:
    shutil.copytree(finished.output, tmp_path / "copied")
    return tmp_path / "copied"


class Bomb:
    """A pickle that makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def hide_in_yaml(tag: str):
    def plant(folder: Path, mark: Path) -> None:
        path = folder / "hparams.yaml"
        text = path.read_text()
        path.write_text(text.replace("modules:\n", "modules:\n  bomb: " + tag.format(mark=mark) + "\n"))

    return plant


def hide_at_top(tag: str):
    def plant(folder: Path, mark: Path) -> None:
        path = folder / "hparams.yaml"
        path.write_text("bomb: " + tag.format(mark=mark) + "\n" + path.read_text())

    return plant


def hide_in_checkpoint(name: str):
    def plant(folder: Path, mark: Path) -> None:
        import hashlib
        import pickle

        for checkpoint in (folder / "checkpoints").iterdir():
            content = pickle.dumps(Bomb(mark))
            (checkpoint / name).write_bytes(content)
            about = json.loads((checkpoint / "manifest.json").read_text())
            about["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            (checkpoint / "manifest.json").write_text(json.dumps(about))

    return plant


def hide_in_torch_file(folder: Path, mark: Path) -> None:
    import hashlib

    for checkpoint in (folder / "checkpoints").iterdir():
        torch.save({"progress": Bomb(mark)}, checkpoint / "state.pt")
        about = json.loads((checkpoint / "manifest.json").read_text())
        about["files"]["state.pt"]["sha256"] = hashlib.sha256(
            (checkpoint / "state.pt").read_bytes()
        ).hexdigest()
        (checkpoint / "manifest.json").write_text(json.dumps(about))


def name_a_task(task: str):
    def plant(folder: Path, mark: Path) -> None:
        description = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(description | {"task": task}))

    return plant


def place_python_files(folder: Path, mark: Path) -> None:
    """Code beside the run that would be found by name, if anything looked there."""
    for name in ("train.py", "prepare.py", "mine.py", "speechkit.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w')\n")
    hide_in_yaml("!new:mine.Model")(folder, mark)


PLANTED = {
    "apply": hide_in_yaml("!apply:os.system [touch {mark}]"),
    "apply at the top": hide_at_top("!apply:os.system [touch {mark}]"),
    "new": hide_in_yaml("!new:subprocess.Popen [[touch, {mark}]]"),
    "through torch": hide_in_yaml("!apply:torch.os.system [touch {mark}]"),
    "torch.load": hide_in_yaml("!apply:torch.load [{mark}]"),
    "python tag": hide_in_yaml("!!python/object/apply:os.system [touch {mark}]"),
    "python tag in a tuple": hide_in_yaml("(!!python/object/apply:os.system [touch {mark}], 1)"),
    "applyref": hide_in_yaml("!applyref:os.system [touch {mark}]"),
    "a file that is written": hide_in_yaml("!new:speechkit.training.RunLog [{mark}]"),
    "pickle as state": hide_in_checkpoint("state.pt"),
    "pickle as weights": hide_in_checkpoint("modules.safetensors"),
    "pickle in torch's file": hide_in_torch_file,
    "python files": place_python_files,
    "no such task": name_a_task("telepathy"),
    "another task": name_a_task("separation"),
    "a task that is a path": name_a_task("../../os"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_hostile_folder_executes_nothing(kind: str, copied: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    PLANTED[kind](copied, mark)
    if kind == "apply at the top":
        load(copied)  # what modules do not need is not even looked at
    else:
        with pytest.raises(UserError):
            load(copied)
    assert not mark.exists()


def test_a_hostile_folder_would_execute_if_asked_to(copied: Path, tmp_path: Path) -> None:
    """The traps above are real: the same pickle, unpickled."""
    import pickle

    mark = tmp_path / "executed"
    hide_in_checkpoint("state.pt")(copied, mark)
    pickle.loads((copied / "checkpoints" / "epoch-0006" / "state.pt").read_bytes())
    assert mark.exists()


@pytest.mark.parametrize(
    ("remove", "told"),
    [
        ("hparams.yaml", "holds no hparams.yaml"),
        ("run.json", "run.json"),
        ("checkpoints", "no whole checkpoint"),
    ],
)
def test_what_is_missing_is_told(remove: str, told: str, copied: Path) -> None:
    path = copied / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=told):
        load(copied)


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected the output folder of a training run"):
        load(tmp_path / "nowhere")


def test_no_such_recipe(finished: Recipe) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*; expected the folder of the recipe"):
        load(finished.output, recipe=finished.folder / "nowhere")


def test_weights_of_another_model_are_told(copied: Path) -> None:
    text = (copied / "hparams.yaml").read_text()
    for old, new in (("channels: 16", "channels: 12"), ("size: 16", "size: 12"), ("[16, 3]", "[12, 3]")):
        text = text.replace(old, new)
    (copied / "hparams.yaml").write_text(text)
    with pytest.raises(UserError, match="holds another model") as caught:
        load(copied)
    assert "model.output.weight: (3, 16) in the checkpoint, (3, 12) in the model" in str(caught.value)


def test_a_damaged_best_checkpoint_gives_way_to_a_whole_one(copied: Path, wave: np.ndarray) -> None:
    state = copied / "checkpoints" / "epoch-0006" / "state.pt"
    best = torch.load(state, weights_only=True)["progress"]["best_epoch"]
    weights = copied / "checkpoints" / f"epoch-{best:04d}" / "modules.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    if len(list((copied / "checkpoints").iterdir())) > 1:
        assert load(copied).predict(wave, RATE).label in ("low", "middle", "high")


# Classes of the recipe's own.

MODEL = '''"""A model of this recipe."""

from torch import nn


class TwoLayers(nn.Module):
    def __init__(self, n_mels: int, n_classes: int):
        super().__init__()
        self.hidden, self.output = nn.Linear(n_mels, 8), nn.Linear(8, n_classes)

    def forward(self, features, lengths):
        hidden = self.hidden(features).relu()
        return self.output(hidden.sum(1) / lengths[:, None])
'''


def test_a_recipes_own_class_needs_the_recipe(recipe: Recipe, run) -> None:
    (recipe.folder / "mine.py").write_text(MODEL)
    text = recipe.hparams.read_text()
    start, end = text.index("    model: "), text.index("optimizer:")
    own = "    model: !new:mine.TwoLayers\n        n_mels: 20\n        n_classes: 3\n"
    recipe.hparams.write_text(text[:start] + own + text[end:])
    assert run(recipe, "--n_epochs", 1) == 0
    with pytest.raises(UserError, match="recipe=FOLDER") as caught:
        load(recipe.output)
    assert "mine" in str(caught.value)
    model = load(recipe.output, recipe=recipe.folder)
    for record in read_lines(recipe.output / "predictions" / "test.jsonl"):
        prediction = classify_file(model, record["audio"])
        assert prediction.probability == pytest.approx(record["scores"]["probability"], abs=1e-5)


UNGUARDED = (
    MODEL.replace("of this recipe.", "in the train.py itself.")
    + """

from speechkit.tasks import Classification, main

main(Classification, __file__)
"""
)


def test_a_train_py_without_a_guard_is_not_run_for_its_classes(recipe: Recipe, run) -> None:
    """It ends in a bare `main(...)`, which must not begin once more when a YAML or `load` names a class."""
    recipe.train.write_text(UNGUARDED)
    text = recipe.hparams.read_text()
    start, end = text.index("    model: "), text.index("optimizer:")
    own = "    model: !new:train.TwoLayers\n        n_mels: 20\n        n_classes: 3\n"
    recipe.hparams.write_text(text[:start] + own + text[end:])
    assert run(recipe, "--n_epochs", 1) == 0
    del sys.modules["train"]
    model = load(recipe.output, recipe=recipe.folder)
    record = read_lines(recipe.output / "predictions" / "test.jsonl")[0]
    assert classify_file(model, record["audio"]).label == record["hypothesis"]
