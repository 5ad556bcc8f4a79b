"""A separator that SpeechBrain has trained, as a run folder: `python tools/import_speechbrain.py IN OUT`.

IN holds `encoder.ckpt`, `masknet.ckpt` and `decoder.ckpt`, as its recipes save them and its published models
have them. They are read as tensors; nothing in them is executed. OUT becomes a run folder that
`speechkit separate` and `speechkit.load` read. To train it on: `init_from: OUT`, and in the recipe's YAML

    separator: !include:OUT/hparams.yaml
    modules:
        separator: !ref <separator[separator]>

Sizes are those of the weights. What weights do not tell are options: the model, heads, the chunks' size and
the sample rate. Taken for granted, as in SpeechBrain's recipes: layer norm (`ln`, `gln`) in dual paths, norms
before attention and ReLU in feed-forward nets, `gLN` and no `causal` in Conv-TasNet. The estimates are those
of SpeechBrain's model for a single mixture; of a padded batch they are what each mixture gets alone.
"""

import argparse
import hashlib
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit import config, report
from speechkit.errors import UserError, report_and_exit
from speechkit.training import CheckpointFolder
from speechkit.training.checkpoint import epoch_name

PIECES = Path(__file__).resolve().parents[1] / "configs" / "separators"
PARTS = ("encoder", "masknet", "decoder")
Weights = dict[str, Tensor]


class Source:
    """Tensors of SpeechBrain's by name, each taken once, so that none is overlooked."""

    def __init__(self, tensors: Weights) -> None:
        self.tensors = dict(tensors)

    def take(self, name: str) -> Tensor:
        """A tensor, which must be there."""
        if name not in self.tensors:
            raise UserError(
                f"there are no weights {name!r}", expected="those of the model named", key="--model"
            )
        return self.tensors.pop(name)

    def has(self, name: str) -> bool:
        """Whether a tensor is there and not taken yet."""
        return name in self.tensors

    def count(self, pattern: str) -> int:
        """How many different first groups `pattern` has among the names."""
        return len({found[1] for name in self.tensors if (found := re.match(pattern, name))})

    def finish(self) -> None:
        """A UserError where something was not taken."""
        if self.tensors:
            names = ", ".join(sorted(self.tensors)[:3])
            raise UserError(
                f"there are weights that the model has no place for: {names}",
                do="look at --model",
                key="--model",
            )


def read_source(folder: Path) -> Source:
    """All tensors of the three files, under the names of their parts."""
    tensors: Weights = {}
    for part in PARTS:
        path = folder / f"{part}.ckpt"
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            found = f"there is no file {path}"
            raise UserError(found, expected=" ".join(f"{each}.ckpt" for each in PARTS)) from None
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(f"{path} holds more, or less, than tensors: {type(error).__name__}") from error
        if not isinstance(loaded, dict) or not all(isinstance(each, Tensor) for each in loaded.values()):
            raise UserError(f"{path} holds no dictionary of tensors")
        tensors |= {f"{part}.{name}": value.float() for name, value in loaded.items()}
    return Source(tensors)


def take_dual_path(source: Source, options: argparse.Namespace) -> tuple[dict[str, Any], Weights]:
    """Sizes and weights of a SepFormer or DPRNN."""
    net = "masknet."
    first = source.take("encoder.conv1d.weight")
    begin = source.take(f"{net}conv1d.weight").squeeze(2)
    divide = source.take(f"{net}conv2d.weight").flatten(1)
    width, n_filters = begin.shape
    is_sepformer = options.model == "sepformer"
    order = order_of_positions(width) if is_sepformer else torch.arange(width)
    layers = source.count(rf"{net}dual_mdl\.(\d+)\.")
    sizes: dict[str, Any] = {
        "n_filters": n_filters,
        "kernel_size": first.shape[2],
        "chunk_size": options.chunk_size,
        "num_layers": layers,
        "n_sources": len(divide) // width,
    }
    weights = {
        "encoder.conv.weight": first,
        "decoder.conv.weight": source.take("decoder.weight"),
        "masker.begin.weight": begin[order],
        "masker.activation.weight": source.take(f"{net}prelu.weight"),
        "masker.divide.weight": divide[:, order],
        "masker.divide.bias": source.take(f"{net}conv2d.bias"),
        "masker.end.weight": source.take(f"{net}end_conv1x1.weight").squeeze(2),
    }
    for kind in ("weight", "bias"):
        weights[f"masker.norm.{kind}"] = source.take(f"{net}norm.{kind}").flatten()
    for ours, theirs in (("output", "output.0"), ("gate", "output_gate.0")):
        weights[f"masker.{ours}.weight"] = source.take(f"{net}{theirs}.weight").squeeze(2)
        weights[f"masker.{ours}.bias"] = source.take(f"{net}{theirs}.bias")
    take_path = take_transformer if is_sepformer else take_recurrent
    paths: list[dict[str, Any]] = []
    for layer in range(layers):
        for side in ("intra", "inter"):
            ours, theirs = f"masker.layers.{layer}.{side}", f"{net}dual_mdl.{layer}.{side}"
            for kind in ("weight", "bias"):
                weights[f"{ours}_norm.{kind}"] = source.take(f"{theirs}_norm.{kind}").flatten()[order]
            found, path = take_path(source, theirs, order)
            paths.append(found)
            weights |= {f"{ours}.{name}": value for name, value in path.items()}
    if paths != paths[:1] * len(paths):
        raise UserError(
            f"nets along and across chunks are of different sizes: {paths[:2]}", expected="the same"
        )
    sizes |= paths[0]
    return sizes | ({"n_heads": options.n_heads} if is_sepformer else {"width": width}), weights


def order_of_positions(width: int) -> Tensor:
    """Where our features are among theirs: theirs have sines and cosines in turn, ours cosines, then sines.

    >>> order_of_positions(6).tolist()
    [1, 3, 5, 0, 2, 4]
    """
    return torch.cat([torch.arange(1, width, 2), torch.arange(0, width, 2)])


def take_transformer(source: Source, path: str, order: Tensor) -> tuple[dict[str, Any], Weights]:
    """Sizes and weights of the Transformer of a SepFormer, whose features come in another order."""
    weights: Weights = {}
    if not source.has(f"{path}_mdl.pos_enc.pe"):
        raise UserError(
            "the Transformers have no positions", expected="a SepFormer with sinusoidal positions"
        )
    source.take(f"{path}_mdl.pos_enc.pe")
    layers = source.count(rf"{re.escape(path)}_mdl\.mdl\.layers\.(\d+)\.")
    hidden_size = 0
    for layer in range(layers):
        ours, theirs = f"blocks.{layer}", f"{path}_mdl.mdl.layers.{layer}"
        for name, number in (("attention", 1), ("feed_forward", 2)):
            for kind in ("weight", "bias"):
                norm = source.take(f"{theirs}.norm{number}.norm.{kind}")
                weights[f"{ours}.around_{name}.norm.norm.{kind}"] = norm[order]
        attention = f"{theirs}.self_att.att"
        matrices = source.take(f"{attention}.in_proj_weight")[:, order].chunk(3)
        biases = source.take(f"{attention}.in_proj_bias").chunk(3)
        for name, matrix, bias in zip(("query", "key", "value"), matrices, biases, strict=True):
            weights[f"{ours}.attention.{name}.weight.parts"] = matrix.unsqueeze(0)
            weights[f"{ours}.attention.{name}.bias"] = bias
        output = source.take(f"{attention}.out_proj.weight")[order]
        hidden = source.take(f"{theirs}.pos_ffn.ffn.0.weight")[:, order]
        back = source.take(f"{theirs}.pos_ffn.ffn.3.weight")[order]
        weights[f"{ours}.attention.output.weight.parts"] = output.unsqueeze(0)
        weights[f"{ours}.attention.output.bias"] = source.take(f"{attention}.out_proj.bias")[order]
        weights[f"{ours}.feed_forward.hidden.weight.parts"] = hidden.unsqueeze(0)
        weights[f"{ours}.feed_forward.hidden.bias"] = source.take(f"{theirs}.pos_ffn.ffn.0.bias")
        weights[f"{ours}.feed_forward.output.weight.parts"] = back.unsqueeze(0)
        weights[f"{ours}.feed_forward.output.bias"] = source.take(f"{theirs}.pos_ffn.ffn.3.bias")[order]
        hidden_size = len(hidden)
    for kind in ("weight", "bias"):
        weights[f"norm.norm.{kind}"] = source.take(f"{path}_mdl.mdl.norm.norm.{kind}")[order]
    return {"path_layers": layers, "hidden_size": hidden_size}, weights


def take_recurrent(source: Source, path: str, order: Tensor) -> tuple[dict[str, Any], Weights]:
    """Sizes and weights of the LSTM of a DPRNN, in both directions, and of the linear layer behind it."""
    weights: Weights = {}
    layers = source.count(rf"{re.escape(path)}_mdl\.mdl\.rnn\.weight_ih_l(\d+)")
    for layer in range(layers):
        for direction, ending in enumerate(("", "_reverse")):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                theirs = f"{path}_mdl.mdl.rnn.{kind}_l{layer}{ending}"
                weights[f"lstm.layers.{layer}.{direction}.{kind}_l0"] = source.take(theirs)
    for kind in ("weight", "bias"):
        weights[f"linear.{kind}"] = source.take(f"{path}_linear.w.{kind}")
    hidden_size = weights["linear.weight"].shape[1] // 2
    if weights["lstm.layers.0.0.weight_hh_l0"].shape != (4 * hidden_size, hidden_size):
        raise UserError("the recurrent layers are not LSTMs in both directions", expected="a DPRNN of LSTMs")
    return {"path_layers": layers, "hidden_size": hidden_size}, weights


def take_conv_tasnet(source: Source, options: argparse.Namespace) -> tuple[dict[str, Any], Weights]:
    """Sizes and weights of a Conv-TasNet."""
    net = "masknet."
    first = source.take("encoder.conv1d_U.conv.weight")
    end = source.take(f"{net}mask_conv1x1.conv.weight").squeeze(2)
    weights = {
        "encoder.conv.weight": first,
        "decoder.conv.weight": source.take("decoder.basis_signals.w.weight").T.unsqueeze(1),
        "masker.norm.weight": source.take(f"{net}layer_norm.gamma").flatten(),
        "masker.norm.bias": source.take(f"{net}layer_norm.beta").flatten(),
        "masker.begin.weight": source.take(f"{net}bottleneck_conv1x1.conv.weight").squeeze(2),
        "masker.end.weight": end,
    }
    repeats = source.count(rf"{net}temporal_conv_net\.temporalblock_(\d+)_")
    blocks = source.count(rf"{net}temporal_conv_net\.temporalblock_0_(\d+)\.")
    for number in range(repeats * blocks):
        theirs = f"{net}temporal_conv_net.temporalblock_{number // blocks}_{number % blocks}.layers"
        ours = f"masker.blocks.{number}"
        for name, module in (("begin", "conv"), ("conv", "DSconv.conv_0"), ("end", "DSconv.conv_1")):
            weight = source.take(f"{theirs}.{module}.conv.weight")
            place = {"begin": "layers.begin.linear", "conv": "layers.conv.conv.conv", "end": "end"}[name]
            weights[f"{ours}.{place}.weight"] = weight if name == "conv" else weight.squeeze(2)
        for name, activation, norm in (("begin", "act", "norm"), ("conv", "DSconv.act", "DSconv.act_0")):
            weights[f"{ours}.layers.{name}_activation.weight"] = source.take(f"{theirs}.{activation}.weight")
            for kind, word in (("weight", "gamma"), ("bias", "beta")):
                found = source.take(f"{theirs}.{norm}.{word}").flatten()
                weights[f"{ours}.layers.{name}_norm.{kind}"] = found
    depthwise = weights["masker.blocks.0.layers.conv.conv.conv.weight"]
    sizes = {
        "n_filters": len(first),
        "kernel_size": first.shape[2],
        "width": len(weights["masker.begin.weight"]),
        "hidden_size": len(depthwise),
        "block_kernel_size": depthwise.shape[2],
        "n_blocks": blocks,
        "n_repeats": repeats,
        "n_sources": len(end) // len(first),
        "skip_width": "null",
        "encoder_padding": "reflect",
        "padding": "reflect",
    }
    return sizes, weights


MODELS: dict[str, Callable[[Source, argparse.Namespace], tuple[dict[str, Any], Weights]]] = {
    "sepformer": take_dual_path,
    "dprnn": take_dual_path,
    "conv_tasnet": take_conv_tasnet,
}


def main(options: argparse.Namespace) -> None:
    """Convert, see that the separator of the sizes found takes the weights, and write the run folder."""
    source = read_source(options.source)
    sizes, weights = MODELS[options.model](source, options)
    source.finish()
    words = [word for key, value in sizes.items() for word in (f"--{key}", str(value))]
    document = config.read(PIECES / f"{options.model}.yaml", words)
    config.build(document, only=["separator"]).values["separator"].load_state_dict(weights)
    text = document.dump()
    text += f"sample_rate: {options.sample_rate}\nmodules:\n  separator: !ref <separator>\n"
    write_run(options.out, text, weights)
    n_parameters = sum(value.numel() for value in weights.values())
    print(f"{options.out}: a {options.model} of {n_parameters:,} parameters; init_from: {options.out}")


def write_run(out: Path, text: str, weights: Weights) -> None:
    """The run folder: a YAML that loads alone, and the weights as a checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "hparams.yaml").write_text(text)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    run = {
        "schema": report.SCHEMA, "task": "separation", "dataset": None, "recipe": None, "seed": None,
        "hparams_sha256": fingerprint, "fingerprint": fingerprint, "commit": None, "versions": {},
        "parameters": sum(value.numel() for value in weights.values()), "device": "cpu",
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "overrides": {},
    }  # fmt: skip
    report.write_json(out / "run.json", run, "run")
    named = {f"separator.{name}": value.contiguous() for name, value in weights.items()}
    state = {"progress": {"best_epoch": 1}, "learners": {}, "log_offset": 0}
    about = {"kind": "epoch", "step": 0, "epoch": 2, "fingerprint": fingerprint, "data_digest": ""}
    CheckpointFolder(out / "checkpoints").save(epoch_name(1), named, state, about)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of SpeechBrain's files")
    parser.add_argument("out", type=Path, help="the run folder to write")
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--chunk_size", type=int, default=250, help="K of dual paths, in frames")
    parser.add_argument("--n_heads", type=int, default=8, help="of a SepFormer")
    parser.add_argument("--sample_rate", type=int, default=8000, help="in Hz")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main(parse())
    except UserError as error:
        report_and_exit(error)
