"""A wrong argument of a layer is told at the line of that argument, with the word that was meant."""

import pytest

from speechkit.config import build, read
from speechkit.errors import UserError

MODEL = """
model: !new:speechkit.nnet.Sequential
    input_shape: [null, null, 40]
    norm: !name:speechkit.nnet.LayerNorm
    layer: !name:speechkit.nnet.{name}
        {first}
        {argument}
    last: !name:torch.nn.ReLU
"""
MISTAKES = [
    ("HyperLinear", "n_neurons: 4", "algebra: quaternoin", "did you mean 'quaternion'?"),
    ("CLinear", "n_neurons: 4", "algebra: dual", "expected complex"),
    ("HyperLinear", "n_neurons: 4\n        algebra: complex", "init_criterion: gloro", "mean 'glorot'?"),
    ("QLSTM", "hidden_size: 4", "weight_init: unitry", "did you mean 'unitary'?"),
    ("CLinear", "n_neurons: 4", "spinor: True", "expected quaternion"),
    ("QLinear", "n_neurons: 4", "vector_scale: True", "set spinor: True"),
    ("STRFConv2d", "out_channels: 2\n        kernel_size: 3", "carrier: boht", "did you mean 'both'?"),
    ("STRFConv2d", "out_channels: 2\n        kernel_size: 3", "route: furier", "did you mean 'fourier'?"),
    ("STRFConv2d", "out_channels: 2", "kernel_size: [3, 3, 3]", "a whole number, or two"),
    ("STRFConv2d", "out_channels: 2", "kernel_size: [3, 0]", "a whole number above 0"),
    ("Conv1d", "kernel_size: 3", "out_channels: 0", "a whole number above 0"),
    ("Conv1d", "kernel_size: 3\n        out_channels: 2", "padding: some", "same, valid or causal"),
    ("LSTM", "hidden_size: 3", "dropout: 1.5", "a number from 0 to below 1"),
    ("CLiGRU", "hidden_size: 3", "normalization: batch", "batchnorm, layernorm or null"),
    ("CBatchNorm", "eps: 1.0e-5", "whiten: half", "full or shared"),
    ("Pooling1d", "kernel_size: 2", "pool_type: median", "max or avg"),
]


def told_of(folder, text) -> UserError:
    path = folder / "hparams.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        build(read(path))
    return caught.value


@pytest.mark.parametrize(("name", "first", "argument", "words"), MISTAKES)
def test_a_wrong_argument_is_told_at_its_line(tmp_path, name, first, argument, words):
    text = MODEL.format(name=name, first=first, argument=argument)
    error, key = told_of(tmp_path, text), argument.split(":")[0]
    assert text.splitlines()[error.place.line - 1].strip() == argument
    assert error.key == f"model.layer.{key}"
    assert words in str(error)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("HyperLinear", "n_neurons: 4", "without algebra"),
        ("QLinear", "n_neurons: 4\n        input_shape: [null, null, 30]", "expected a multiple of 4"),
    ],
)
def test_what_the_yaml_does_not_say_is_told_at_its_layer(tmp_path, name, arguments, words):
    text = MODEL.format(name=name, first=arguments, argument="bias: True")
    error = told_of(tmp_path, text)
    assert text.splitlines()[error.place.line - 1].strip().startswith("layer:")
    assert words in str(error)


def test_a_value_taken_from_elsewhere_is_told_where_it_is_written(tmp_path):
    """Of an included piece, of a key of the same file, and inside a layer that a piece describes."""
    (tmp_path / "piece.yaml").write_text(
        "width: 4\nalgebra: quaternoin\nfront: !name:speechkit.nnet.STRFConv2d\n"
        "    out_channels: 2\n    kernel_size: 3\n    carrier: boht\n"
    )
    head = "piece: !include:piece.yaml\nwidth: 0\n"
    referring = MODEL.replace("\n", "", 1).replace("{argument}", "algebra: complex")
    of_piece = MODEL.format(
        name="HyperLinear", first="n_neurons: 4", argument="algebra: !ref <piece[algebra]>"
    )
    error = told_of(tmp_path, head + of_piece)
    assert (error.place.file, error.place.line) == (str(tmp_path / "piece.yaml"), 2)
    of_file = referring.format(name="HyperLinear", first="n_neurons: !ref <width>")
    error = told_of(tmp_path, head + of_file)
    assert (error.place.file, error.place.line) == (str(tmp_path / "hparams.yaml"), 2)
    error = told_of(
        tmp_path,
        head + "model: !new:speechkit.nnet.Sequential\n    input_shape: [null, null, 40]\n"
        "    front: !ref <piece[front]>\n",
    )
    assert (error.place.file, error.place.line) == (str(tmp_path / "piece.yaml"), 6)
    assert error.key == "model.front.carrier"
