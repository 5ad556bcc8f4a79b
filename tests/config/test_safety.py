# ruff: noqa: E501  (tables of texts and messages)
"""A YAML or a command line executes nothing that it is not allowed to: no marker file is ever touched."""

from pathlib import Path

import pytest

from speechkit import config
from speechkit.config.allowed import LHOTSE, LIBRARIES, refusal_of_name
from speechkit.config.names import Sources
from speechkit.errors import UserError

HOSTILE = Path(__file__).parent / "hostile"
HARMLESS_ALONE = {"good.yaml"}
LAYERS = """
import os
from os import system
from subprocess import Popen

class Layer:
    pass

def touch(path):
    open(path, "w").close()
"""


@pytest.fixture
def scene(tmp_path):
    """The hostile files with the path of a marker in them, a recipe beside them, and the marker."""
    marker = tmp_path / "marker"
    for path in HOSTILE.rglob("*.yaml"):
        copy = tmp_path / path.relative_to(HOSTILE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text().replace("MARKER", str(marker)))
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "train.py").write_text("main(Layer, __file__)\n")
    return tmp_path, marker


@pytest.mark.parametrize("name", sorted(str(path.relative_to(HOSTILE)) for path in HOSTILE.rglob("*.yaml")))
def test_a_hostile_yaml_is_refused_and_runs_nothing(scene, name, monkeypatch):
    folder, marker = scene
    monkeypatch.chdir(folder)
    path = folder / name
    if path.name in HARMLESS_ALONE:
        assert config.check(path) == []
        return
    problems = [problem for problem in config.check(path) if not problem.warning]
    assert problems
    assert all(
        problem.place.line >= 1 and problem.key for problem in problems if "document" not in problem.message
    )
    with pytest.raises(UserError):  # build has its own guard
        config.build(config.read(path), recipe_folder=folder)
    assert not marker.exists()


COMMANDS = [
    "!!python/object/apply:os.system ['touch {marker}']",
    "(!!python/object/apply:os.system ['touch {marker}'])",
    "[!!python/object/apply:os.system ['touch {marker}']]",
    "[(!!python/object/apply:os.system ['touch {marker}'])]",
    "{{a: !!python/object/apply:os.system ['touch {marker}']}}",
    "!apply:os.system ['touch {marker}']",
    "!applyref:os.system ['touch {marker}']",
    "!new:subprocess.Popen [[touch, {marker}]]",
    "!new:torch.nn.ReLU",
    "!module:os",
    "!include:hostile/applyref.yaml",
    "!ref <text>",
    "&x [*x]",
    "%TAG !p! tag:yaml.org,2002:python/object/\n--- !p!apply:os.system ['touch {marker}']",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "key", ["text", "number", "nothing", "open", "list.0", "call.in_features", "piece.n", "new_key"]
)
def test_a_hostile_override_is_refused_and_runs_nothing(scene, key, command):
    folder, marker = scene
    path = folder / "h.yaml"
    path.write_text(
        "text: x\nnumber: 3\nnothing: null\nopen: !PLACEHOLDER\nlist: [null]\npiece: !include:pieces/good.yaml\n"
        "call: !new:torch.nn.Linear {in_features: 1, out_features: 2}\ntwice: !ref (<text>, <nothing>)\n"
    )
    overrides = [f"--{key}", command.format(marker=marker), *([] if key == "open" else ["--open", "x"])]
    if key == "text" and command[:1] == "%":
        assert config.read(path, overrides).resolved()["text"] == overrides[1]  # only text, and stays so
    else:
        with pytest.raises(UserError):
            config.read(path, overrides)
    assert not marker.exists()


def test_hostile_text_from_python_stays_text(scene):
    folder, marker = scene
    path = folder / "h.yaml"
    path.write_text("text: x\n")
    text = f"(!!python/object/apply:os.system ['touch {marker}'])"
    document = config.read(path, {"text": text})
    assert config.build(document).values == {"text": text}
    path.write_text(document.dump())
    assert config.build(config.read(path)).values == {"text": text}
    assert not marker.exists()


def test_trust_lifts_the_list_but_not_the_tags(scene):
    folder, marker = scene
    path = folder / "h.yaml"
    path.write_text(f"a: !apply:os.mkdir ['{marker}']\n")
    assert config.check(path, trust=True) == []
    assert not marker.exists()
    config.build(config.read(path), trust=True)
    assert marker.exists()
    for name in ("applyref", "module", "python_object_apply", "tuple_tag"):
        assert [
            problem for problem in config.check(folder / f"{name}.yaml", trust=True) if not problem.warning
        ]


def test_a_recipes_own_class_is_allowed_and_run_only_when_built(scene):
    folder, _ = scene
    (folder / "hparams").mkdir()
    (folder / "layers.py").write_text("open(__file__ + '.ran', 'w').close()\nclass Layer: pass\n")
    path = folder / "hparams" / "h.yaml"
    path.write_text("a: !new:layers.Layer\n")
    assert config.check(path) == []
    assert not (folder / "layers.py.ran").exists()
    with pytest.raises(UserError, match=r"h.yaml:1:4 a: there is no module 'layers'|not on the list"):
        config.build(config.read(path))
    built = config.build(config.read(path), recipe_folder=folder)
    assert type(built.values["a"]).__name__ == "Layer"
    assert (folder / "layers.py.ran").exists()


def test_a_recipe_cannot_stand_in_for_speechkit(scene):
    folder, marker = scene
    (folder / "speechkit.py").write_text(f"open({str(marker)!r}, 'w')\nclass nnet: pass\n")
    path = folder / "h.yaml"
    path.write_text("a: !new:speechkit.nnet.Linear {n_outputs: 3, input_shape: [null, null, 3]}\n")
    config.check(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", [*LHOTSE, "torch.nn.Linear", "torch.optim.AdamW", "torch.optim.lr_scheduler.StepLR",
                                  "torchaudio.transforms.MelSpectrogram", "speechkit.nnet.Linear",
                                  "speechkit.losses.cross_entropy", "speechkit.training.OneCycle",
                                  "speechkit.training.Plateau", "speechkit.training.WarmupDecay",
                                  "speechkit.data.CutBatches", "speechkit.data.Speed",
                                  "speechkit.data.SentencePieceTokenizer", "speechkit.data.LexiconTokenizer",
                                  "speechkit.data.CharacterTokenizer", "speechkit.decoding.NGramScorer",
                                  "speechkit.decoding.RescoredSearch",
                                  "speechkit.data.batches_by_subset",
                                  "speechkit.data.speech_commands_labels"])  # fmt: skip
def test_what_recipes_use_is_allowed(name):
    assert refusal_of_name(name, Sources()) == ""


def test_the_rooms_of_the_list_exist_and_the_list_names_no_more():
    assert set(LIBRARIES) == {"torch.nn", "torch.optim", "torchaudio.transforms"}
    for name in ("speechkit.data.write_cuts", "speechkit.data.read_cuts", "speechkit.data.run_download", "speechkit.data.random_subset",
                 "speechkit.data.synthesize_speech_commands",
                 "speechkit.training.Brain", "speechkit.training.RunLog", "speechkit.tasks.load", "speechkit.report.x",
                 "speechkit.ops.random.seed_torch", "torch.load", "torch.hub.load", "torch.nnx.y"):  # fmt: skip
        assert refusal_of_name(name, Sources())
