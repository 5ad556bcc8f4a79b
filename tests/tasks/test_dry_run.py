"""Before training: layers that do not fit are named at their line; the model is described."""

from pathlib import Path

import pytest
import torch
from torch import nn

from speechkit import report
from speechkit.config import build, read
from speechkit.errors import UserError
from speechkit.tasks import Classification, check_build
from speechkit.tasks.dry_run import dry_run
from speechkit.training import Stage

LAYERS = """    model: !new:speechkit.nnet.Sequential
        input_shape: [null, null, 20]
        conv: !new:speechkit.nnet.Conv1d
            out_channels: 16
            kernel_size: 3
            input_size: 20
        norm: !new:speechkit.nnet.BatchNorm1d
            input_size: 16
        pool: !new:speechkit.nnet.GlobalAveragePool
        output: !new:torch.nn.Linear [16, 3]
"""
KEYS = ["seed", "labels", "sample_rate", "clip_seconds", "n_epochs", "device"]
KEYS += ["train_data", "valid_data", "test_data", "modules", "optimizer"]


def nowhere(name: str, *children: str) -> None:
    return None


def make_brain(recipe, **changes) -> Classification:
    values = build(read(recipe.hparams)).values
    return Classification(**{key: values[key] for key in KEYS} | {"output_folder": recipe.output} | changes)


def told_by_check(recipe) -> UserError:
    with pytest.raises(UserError) as caught:
        check_build(recipe.train, recipe.hparams, [])
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("input_size: 20", "input_size: 21", "modules.model.conv"),
        ("input_size: 16", "input_size: 15", "modules.model.norm"),
        ("[16, 3]", "[17, 3]", "modules.model.output"),
        ("[null, null, 20]", "[null, null, 19]", "modules.model.conv"),
    ],
)
def test_a_width_that_does_not_fit_is_told_at_its_layer(old: str, new: str, key: str, recipe) -> None:
    recipe.change(old, new)
    error = told_by_check(recipe)
    lines = recipe.hparams.read_text().splitlines()
    name = key.rpartition(".")[2]
    line = next(number for number, text in enumerate(lines, 1) if text.strip().startswith(f"{name}:"))
    assert (error.place.file, error.place.line) == (str(recipe.hparams), line), str(error)
    assert error.key == key


def test_features_of_another_width_are_told_at_the_layer_that_takes_them(recipe) -> None:
    recipe.change("n_mels: 20", "n_mels: 24")
    error = told_by_check(recipe)
    assert "conv" in recipe.hparams.read_text().splitlines()[error.place.line - 1]
    assert "24" in str(error)


def test_a_model_that_takes_no_lengths(recipe) -> None:
    layers = ["!new:torch.nn.Flatten", "!new:torch.nn.Linear [980, 3]"]
    text = "    model: !new:torch.nn.Sequential\n" + "".join(f"        - {layer}\n" for layer in layers)
    line = recipe.change(LAYERS, text)
    error = told_by_check(recipe)
    assert (error.place.line, error.key) == (line, "modules.model")


def test_a_tensor_where_one_row_an_utterance_should_be(recipe) -> None:
    line = recipe.change("        pool: !new:speechkit.nnet.GlobalAveragePool\n", "")
    error = told_by_check(recipe)
    assert "expected (2, 3), one output a label" in str(error)
    assert error.place.line < line
    assert error.key == "modules.model"


def test_torch_layers_within_ours_are_told_at_their_line(recipe) -> None:
    recipe.change(
        "        output: !new:torch.nn.Linear [16, 3]\n",
        """        output: !new:torch.nn.Sequential
            - !new:torch.nn.Linear [16, 8]
            - !new:torch.nn.ReLU
            - !new:torch.nn.Linear [9, 3]
""",
    )
    error = told_by_check(recipe)
    assert error.key == "modules.model.output.2"
    assert "[9, 3]" in recipe.hparams.read_text().splitlines()[error.place.line - 1]


def test_a_constructor_that_raises(recipe) -> None:
    line = recipe.change("[16, 3]", "[-16, 3]")
    error = told_by_check(recipe)
    assert (error.place.line, error.key) == (line, "modules.model.output")
    assert "torch.nn.Linear raised RuntimeError" in str(error)


def test_a_criterion_that_validation_does_not_measure(recipe) -> None:
    line = recipe.change("n_epochs: 2", "n_epochs: 2\ncriterion: [acuracy, max]") + 1
    error = told_by_check(recipe)
    assert (error.place.line, error.key) == (line, "criterion")
    assert "did you mean 'accuracy'" in str(error)


def test_another_number_of_outputs_than_labels(recipe) -> None:
    recipe.change("[16, 3]", "[16, 4]")
    error = told_by_check(recipe)
    assert "gives 4 outputs, in a tensor of shape (2, 4); expected (2, 3), one output a label" in str(error)
    assert recipe.hparams.read_text().splitlines()[error.place.line - 1].startswith("    model:")


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("!name:torch.nn.CrossEntropyLoss", "the loss fails on a batch of two: RuntimeError"),
        ("!new:torch.nn.CTCLoss {reduction: sum}", "the loss fails on a batch of two: TypeError"),
        ("!new:torch.nn.CrossEntropyLoss", "its reduction is 'mean'; expected the sum over the batch"),
        ("!new:torch.nn.CrossEntropyLoss {reduction: none}", "its reduction is 'none'"),
        ("!new:torch.nn.Softplus", "the loss fails"),
    ],
)
def test_a_loss_that_is_none(loss: str, told: str, recipe) -> None:
    line = recipe.change("optimizer:", f"loss: {loss}\noptimizer:")
    error = told_by_check(recipe)
    assert told in str(error)
    assert (error.place.line, error.key) == (line, "loss")


@pytest.mark.parametrize(("key", "name"), [("augmentation", "SpecAugment"), ("mixup", "Mixup")])
def test_what_only_training_calls_is_tried_too(key: str, name: str, recipe, run, capsys) -> None:
    """Named instead of made, it would fail in the first step, after data were read."""
    text = recipe.hparams.read_text()
    start, end = text.index("augmentation:"), text.index("modules:")
    broken = f"{key}: !name:speechkit.features.{name}\n"
    recipe.hparams.write_text(text[:start] + broken + text[end:])
    error = told_by_check(recipe)
    assert "write !new: and a class for this key" in error.do
    assert (error.place.line, error.key) == (text[:start].count("\n") + 1, key)
    assert run(recipe, "--manifest_folder", "/not/there") == 2
    told = capsys.readouterr().err
    assert f"hparams.yaml:{error.place.line}:" in told
    assert "/not/there" not in told, "data were read first"


def test_nothing_is_changed(recipe) -> None:
    brain = make_brain(recipe)
    torch.nn.init.normal_(brain.modules["model"].norm.norm.running_mean)
    brain.modules.train()
    brain.modules["features"].eval()
    modes = {name: module.training for name, module in brain.modules.named_modules()}
    before = {name: tensor.clone() for name, tensor in brain.modules.state_dict().items()}
    state = torch.random.get_rng_state()
    dry_run(brain, nowhere)
    assert torch.equal(state, torch.random.get_rng_state())
    assert {name: module.training for name, module in brain.modules.named_modules()} == modes
    after = brain.modules.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(weight.grad is None for weight in brain.modules.parameters())
    assert not brain.output_folder.exists()


def test_nothing_is_changed_by_a_dry_run_that_fails(recipe) -> None:
    brain = make_brain(recipe)
    brain.modules["model"].output = nn.Linear(7, 3)
    brain.modules.train()
    state = torch.random.get_rng_state()
    with pytest.raises(UserError, match=r"model\.output"):
        dry_run(brain, nowhere)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(module.training for module in brain.modules.modules())
    hooks = [each for each in brain.modules.modules() if each._forward_hooks or each._forward_pre_hooks]
    assert hooks == []


def test_what_is_trained_does_not_depend_on_a_dry_run(recipe) -> None:
    losses = []
    for is_tried in (False, True):
        torch.manual_seed(0)
        brain = make_brain(recipe)
        if is_tried:
            dry_run(brain, nowhere)
        batch = brain.fake_batch()
        brain.modules.train()
        losses.append(brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN))
    assert losses[0].total.item() == losses[1].total.item()


def test_the_model_is_described(recipe) -> None:
    """Parameters and multiply-adds of a convolution and a linear layer have a closed form."""
    model = dry_run(make_brain(recipe), nowhere)
    report.validate("model", model, file="model.json")
    rows = {row["name"]: row for row in model["modules"]}
    n_frames = rows["model.conv"]["output_shape"][1]  # of the fake batch's clip of half a second
    assert 45 <= n_frames <= 51
    assert rows["model.conv"]["output_shape"] == [1, n_frames, 16]
    assert rows["model.conv"]["parameters"] == 20 * 3 * 16 + 16
    assert rows["model.conv"]["multiply_adds"] == n_frames * 20 * 3 * 16
    assert rows["model.output"]["parameters"] == rows["model.output"]["trainable"] == 16 * 3 + 3
    assert rows["model.output"]["multiply_adds"] == 16 * 3
    assert rows["model.output"]["output_shape"] == [1, 3]
    assert rows["model.norm"]["parameters"] == 2 * 16
    assert model["parameters"] == model["trainable"] == 20 * 3 * 16 + 16 + 2 * 16 + 16 * 3 + 3
    assert model["multiply_adds"] >= n_frames * 20 * 3 * 16 + 16 * 3
    assert model["input"] == {"seconds": 1.0}


def test_frozen_weights_are_not_counted_as_trainable(recipe) -> None:
    brain = make_brain(recipe)
    brain.modules["model"].conv.requires_grad_(False)
    model = dry_run(brain, nowhere)
    assert model["parameters"] - model["trainable"] == 20 * 3 * 16 + 16


def test_the_fake_batch_is_short_and_of_different_lengths(recipe) -> None:
    batch = make_brain(recipe).fake_batch()
    assert len(batch) == 2
    assert batch.lengths.max() <= 8000
    assert len(set(batch.lengths.tolist())) == 2
    assert batch.waveforms[1, batch.lengths[1] :].abs().max() == 0
    assert batch.waveforms.abs().max() <= 1


@pytest.mark.parametrize("name", ["../test", "a/b", "", ".", "..", ".hidden", "a b", "a;b"])
def test_a_subset_that_is_no_file_name_is_refused(name: str, recipe) -> None:
    recipe.change("    test: !new", f"    {name!r}: !new")
    error = told_by_check(recipe)
    assert f"a subset named {name!r}" in str(error)
    assert error.place.file == str(recipe.hparams)


def test_a_check_writes_nothing(recipe) -> None:
    files = sorted(recipe.folder.iterdir())
    check_build(recipe.train, recipe.hparams, [])
    assert [path for path in sorted(recipe.folder.iterdir()) if path.name != "__pycache__"] == files


def test_paths_are_not_needed_to_check(recipe) -> None:
    check_build(recipe.train, recipe.hparams, ["--manifest_folder", str(Path("/not/there"))])
