"""What a recipe may add, and what its user may get wrong: told in one message, never a traceback."""

import sys
from pathlib import Path

import pytest

from speechkit import report
from speechkit.tasks import check_build, main
from speechkit.tasks.recipe import import_file

from .conftest import Recipe, read_lines

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together

OWN_BRAIN = '''"""Tones, with a loss of this recipe's own."""

from speechkit.tasks import Classification, main
from speechkit.training import Loss


class Weighted(Classification):
    """weight: of the loss, by which it is multiplied."""

    def __init__(self, *, weight: float, shift: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.weight, self.shift = weight, shift

    def compute_objectives(self, predictions, batch, stage):
        loss = super().compute_objectives(predictions, batch, stage)
        return Loss(self.weight * loss.total + self.shift * loss.count, loss.count)


if __name__ == "__main__":
    main(Weighted, __file__)
'''


@pytest.fixture
def own(recipe: Recipe) -> Recipe:
    recipe.train.write_text(OWN_BRAIN)
    return recipe


def brain_of(recipe: Recipe) -> type:
    return import_file(recipe.train).Weighted


def test_an_argument_of_the_recipes_brain_is_a_key(own: Recipe, run) -> None:
    own.hparams.write_text(own.hparams.read_text() + "weight: 0.0\nshift: 7\n")
    assert run(own, "--n_epochs", 1, brain=brain_of(own)) == 0
    (line,) = report.read_run(own.output).epochs
    assert line["train"]["loss"] == line["valid"]["loss"] == 7.0


def test_a_key_that_the_recipe_needs_is_asked_for(own: Recipe, run, capsys) -> None:
    assert run(own, brain=brain_of(own)) == 2
    assert (
        "hparams.yaml:1:1 weight: the key 'weight' is missing; Weighted needs it" in capsys.readouterr().err
    )
    assert not own.output.exists()


def test_a_misspelt_key_is_named(own: Recipe, run, capsys) -> None:
    own.hparams.write_text(own.hparams.read_text() + "weight: 1.0\nshfit: 7\n")
    assert run(own, "--n_epochs", 1, brain=brain_of(own)) == 0
    told = capsys.readouterr().err
    assert "shfit: warning: nobody reads this key (did you mean 'shift'?)" in told


def test_a_key_of_another_type_is_refused(own: Recipe, run, capsys) -> None:
    own.hparams.write_text(own.hparams.read_text() + "weight: heavy\n")
    assert run(own, brain=brain_of(own)) == 2
    assert "weight" in capsys.readouterr().err


def test_an_override_may_give_a_key_that_the_yaml_lacks(own: Recipe, run) -> None:
    assert run(own, "--weight", "0.5", "--n_epochs", 1, brain=brain_of(own)) == 0
    assert report.read_run(own.output).description["overrides"]["weight"] == "0.5"


def test_check_builds_the_recipes_brain(own: Recipe) -> None:
    own.hparams.write_text(own.hparams.read_text() + "weight: 1.0\n")
    before = dict(sys.modules)
    check_build(own.train, own.hparams, [])
    assert "__main__" in before
    assert sys.modules["__main__"] is before["__main__"], "the running program was replaced"


def test_prepare_is_called_once_with_its_keys_before_training(recipe: Recipe, run) -> None:
    (recipe.folder / "prepare.py").write_text(
        "import json\nfrom pathlib import Path\n\n\n"
        "def prepare(data_folder, manifest_folder, *, labels, language='en', unused=3):\n"
        "    with open(Path(data_folder), 'a') as file:\n"
        "        print(json.dumps([manifest_folder, labels, language, unused]), file=file)\n"
    )
    calls = recipe.folder / "calls.txt"
    recipe.hparams.write_text(recipe.hparams.read_text() + "language: de\n")
    assert run(recipe, "--data_folder", calls, "--n_epochs", 1) == 0
    assert read_lines(calls) == [[str(recipe.manifests), ["low", "middle", "high"], "de", 3]]


def test_download_is_a_flag_of_recipes_whose_prepare_takes_it(recipe: Recipe, run, capsys) -> None:
    text = "from pathlib import Path\ndef prepare(data_folder, *, {}):\n    Path({!r}).write_text(str({}))\n"
    told = recipe.folder / "told"
    (recipe.folder / "prepare.py").write_text(text.format("labels", str(told), "labels"))
    assert run(recipe, "--n_epochs", 1, "--download") == 2
    assert "--download: the prepare() of this recipe has nothing to download" in capsys.readouterr().err
    (recipe.folder / "prepare.py").write_text(text.format("download=False", str(told), "download"))
    for flags, given in (
        ((), "False"),
        (("--download",), "True"),
        ((), "False"),
    ):  # the same run, gone on with
        assert run(recipe, "--n_epochs", 1, *flags) == 0
        assert told.read_text() == given


def test_a_mistake_told_by_prepare_comes_before_training(recipe: Recipe, run, capsys) -> None:
    (recipe.folder / "prepare.py").write_text(
        "from speechkit.errors import UserError\n\n\n"
        "def prepare(data_folder):\n    raise UserError(f'nothing in {data_folder}', key='data_folder')\n"
    )
    line = recipe.change("data_folder: somewhere", "data_folder: nowhere")
    assert run(recipe) == 2
    assert f"hparams.yaml:{line}:14 data_folder: nothing in nowhere" in capsys.readouterr().err
    assert not (recipe.output / "log.jsonl").exists()


NULLS = ["labels", "sample_rate", "modules", "seed", "output_folder", "device", "train_data", "valid_data"]


@pytest.mark.parametrize("key", NULLS)
def test_null_where_a_value_is_needed(key: str, recipe: Recipe, run, capsys) -> None:
    assert run(recipe, f"--{key}", "null") == 2
    assert f"{key}: null; expected" in capsys.readouterr().err


def test_several_nulls_are_told_at_once(recipe: Recipe, run, capsys) -> None:
    recipe.change("seed: 3", "seed: null")
    line = recipe.change("labels: [low, middle, high]", "labels: null")
    assert run(recipe) == 2
    told = capsys.readouterr().err
    assert "hparams.yaml:1:7 seed: null; expected int" in told
    assert f"hparams.yaml:{line}:9 labels: null; expected Sequence[str]" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--n_epochs", "0"], "n_epochs: n_epochs is 0; expected a positive number"),
        (["--n_epochs", "-2"], "n_epochs: n_epochs is -2; expected a positive number"),
        (["--n_steps", "5"], "expected either n_epochs or n_steps"),
        (["--n_epochs", "null"], "expected either n_epochs or n_steps"),
        (["--max_gradient_norm", "-1"], "max_gradient_norm: max_gradient_norm is -1"),
        (["--max_gradient_norm", "0"], "max_gradient_norm: max_gradient_norm is 0"),
        (["--precision", "fp8"], "precision: precision is 'fp8'; expected fp32 or bf16 or fp16"),
        (["--eval_precision", "bf-16"], "eval_precision: eval_precision is 'bf-16'"),
        (["--device", "tpu"], "device: device is 'tpu'; expected auto, cpu, cuda or cuda:N"),
        (["--device", "meta"], "device: device is 'meta'"),
        (["--device", "cuda:99"], "device: device is cuda"),
        (["--seed", "one"], "seed: expected a whole number, found text 'one'"),
        (["--batches_per_step", "0"], "batches_per_step is 0"),
        (["--log_steps", "0"], "log_steps is 0"),
        (["--patience", "0"], "patience is 0"),
        (["--checkpoint_minutes", "0"], "checkpoint_minutes is 0"),
        (["--optimizer.lr", "-1"], "raised ValueError: Invalid learning rate: -1"),
        (["--optimizer.lr", ".nan"], "raised ValueError: Invalid learning rate"),
        (["--optimizer.lrr", "1"], "lrr"),
        (["--n_epoch", "3"], "there is no key 'n_epoch' to change (did you mean"),
        (["--train_data.sampler.max_cuts", "0"], "max_cuts is 0; expected more than 0"),
        (["--train_data.sampler", "null"], "sampler"),
        (["--modules.model", "null"], "modules.model: a NoneType; expected a torch module"),
        (["--manifest_folder", "/not/there"], "no manifest '/not/there/train.jsonl'"),
        (["--clip_seconds", "0"], "clip_seconds: clips of 0 s"),
        (["--sample_rate", "0"], "window_ms is 25.0 at 0 Hz"),
        (["--sample_rate", "16000", "--clip_seconds", "0.00001"], "clip_seconds: clips of 1e-05 s"),
        (["--seed"], "--seed has no value"),
        (["hparams.yaml"], "hparams.yaml"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], told: str, recipe: Recipe, run, capsys) -> None:
    assert run(recipe, *arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "hparams.yaml:1:1: the file is empty"),
        (b"seed: [1,\nlabels: 2\n", "hparams.yaml:1:"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"- 1\n- 2\n", "no mapping of keys"),
        (b"just text\n", "no mapping of keys"),
    ],
)
def test_files_that_are_no_hparams(content: bytes, told: str, recipe: Recipe, run, capsys) -> None:
    recipe.hparams.write_bytes(content)
    assert run(recipe) == 2
    assert told in capsys.readouterr().err


def test_no_such_file_and_a_folder(recipe: Recipe, capsys) -> None:
    from speechkit.tasks import Classification

    for given, told in ((recipe.folder / "none.yaml", "No such file"), (recipe.folder, "this is a folder")):
        with pytest.raises(SystemExit) as end:
            main(Classification, str(recipe.train), [str(given)])
        assert end.value.code == 2
        assert told in capsys.readouterr().err


def test_usage(recipe: Recipe, capsys) -> None:
    from speechkit.tasks import Classification

    for arguments, code in (([], 2), (["--help"], 0), (["hparams.yaml", "-h"], 0), (["--seed", "1"], 2)):
        with pytest.raises(SystemExit) as end:
            main(Classification, str(recipe.train), arguments)
        assert end.value.code == code, arguments
        told = capsys.readouterr()
        assert ("usage: train.py HPARAMS.yaml" in told.out) == (arguments != ["--seed", "1"])


def damage_line(path: Path, number: int, content: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[number - 1] = content
    path.write_text("".join(lines))


@pytest.fixture
def copied(recipe: Recipe, manifests: Path) -> Recipe:
    """A recipe with manifests of its own, to be damaged."""
    folder = recipe.folder / "manifests"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}.jsonl").write_text((manifests / f"{name}.jsonl").read_text())
    return Recipe(recipe.folder, folder).write()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{not json\n", "train.jsonl:2:2: not JSON"),
        ("[]\n", "train.jsonl:2:1: not a cut"),
        ('{"type": "MonoCut"}\n', "train.jsonl:2:1: not a cut"),
        ("\x00\x00\n", "train.jsonl:2:"),
    ],
)
def test_a_damaged_manifest_is_told_with_its_line(
    content: str, told: str, copied: Recipe, run, capsys
) -> None:
    damage_line(copied.manifests / "train.jsonl", 2, content)
    assert run(copied) == 2
    assert told in capsys.readouterr().err


def test_an_empty_manifest(copied: Recipe, run, capsys) -> None:
    (copied.manifests / "valid.jsonl").write_text("")
    assert run(copied) == 2
    assert "no cuts in" in capsys.readouterr().err


@pytest.mark.parametrize("subset", ["valid", "test"])
def test_a_missing_manifest_is_told_before_training(subset: str, copied: Recipe, run, capsys) -> None:
    (copied.manifests / f"{subset}.jsonl").unlink()
    assert run(copied) == 2
    assert f"no manifest '{copied.manifests / subset}.jsonl'" in capsys.readouterr().err
    assert not (copied.output / "log.jsonl").exists()


def test_a_manifest_that_runs_commands_is_refused(copied: Recipe, run, capsys, tmp_path: Path) -> None:
    path = copied.manifests / "train.jsonl"
    first = path.read_text().splitlines()[0]
    mark = tmp_path / "executed"
    hostile = first.replace('"type": "file"', '"type": "command"')
    assert hostile != first
    damage_line(path, 1, hostile.replace(".wav", f".wav; touch {mark}") + "\n")
    assert run(copied) == 2
    assert "train.jsonl:1:1: an audio source of type 'command'" in capsys.readouterr().err
    assert not mark.exists()


def test_an_unknown_word_names_the_utterance(copied: Recipe, run, capsys) -> None:
    path = copied.manifests / "train.jsonl"
    text = path.read_text()
    assert '"text": "high"' in text
    path.write_text(text.replace('"text": "high"', '"text": "hgih"', 1))
    assert run(copied) == 2
    told = capsys.readouterr().err
    assert "utterance train-02 has the label 'hgih', which is not among labels (did you mean 'high'?)" in told
    assert "hparams.yaml:5:9 labels" in told


def test_a_full_disk_while_results_are_written(recipe: Recipe, run, capsys, monkeypatch) -> None:
    import errno
    import os

    from speechkit.tasks import entry

    def full(brain: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(recipe.output / "predictions"))

    monkeypatch.setattr(entry, "evaluate_subsets", full)
    assert run(recipe, "--n_epochs", 1) == 2
    assert (
        "predictions: No space left on device; mend that and give the same command" in capsys.readouterr().err
    )
    monkeypatch.undo()
    assert run(recipe, "--n_epochs", 1) == 0


def test_our_own_faults_are_not_hidden(recipe: Recipe, run, monkeypatch) -> None:
    from speechkit.tasks import entry

    def fail(brain: object) -> None:
        raise FileNotFoundError(2, "a file of ours")

    monkeypatch.setattr(entry, "evaluate_subsets", fail)
    with pytest.raises(FileNotFoundError):
        run(recipe, "--n_epochs", 1)


@pytest.mark.parametrize("stage", ["train", "valid", "test"])
def test_ctrl_c_says_how_to_go_on(stage: str, recipe: Recipe, run, capsys, monkeypatch) -> None:
    """A signal in the middle of a stage; the same command then ends as an undisturbed run does."""
    import os
    import signal

    from speechkit.tasks import Classification

    before = Classification.compute_forward
    seen = []

    def interrupt(self, batch, now):
        seen.append(now.value)
        if seen.count(stage) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return before(self, batch, now)

    assert run(recipe, "--output_folder", recipe.folder / "undisturbed") == 0
    monkeypatch.setattr(Classification, "compute_forward", interrupt)
    # Of the dry run comes one batch under the name "valid"; the second is a true one.
    assert run(recipe) == 130
    assert "the same command goes on from" in capsys.readouterr().err
    monkeypatch.setattr(Classification, "compute_forward", before)
    assert run(recipe) == 0
    for name in ("predictions/test.jsonl", "checkpoints/epoch-0002/modules.safetensors"):
        expected = (recipe.folder / "undisturbed" / name).read_bytes()
        assert (recipe.output / name).read_bytes() == expected
