"""Models of SpeechBrain, saved as its recipes save them, give the same estimates when imported."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit import config
from speechkit.errors import UserError
from speechkit.tasks.weights import read_folder

PROJECT = Path(__file__).resolve().parents[2]
# (filters, kernel, chunk, dual paths, layers, heads, hidden size, width)
SMALL = {
    "sepformer": (8, 4, 6, 2, 2, 2, 12, 8),
    "dprnn": (8, 4, 6, 2, 1, 0, 5, 6),
    "conv_tasnet": (8, 4, 3, 3, 2, 0, 5, 4),
}
# As published, and in SpeechBrain's recipes.
PUBLISHED = {
    "sepformer": (256, 16, 250, 2, 8, 8, 1024, 256),
    "dprnn": (64, 16, 100, 6, 1, 0, 128, 64),
    "conv_tasnet": (512, 16, 3, 8, 3, 0, 512, 128),
}


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location(
        "import_speechbrain", PROJECT / "tools/import_speechbrain.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leave_lazy_modules_alone() -> None:
    """SpeechBrain leaves modules that are imported when looked at, and then want packages that are not there;
    hypothesis looks at the `__file__` of every module."""
    for module in list(sys.modules.values()):
        if type(module).__module__ == "speechbrain.utils.importutils":
            vars(module).setdefault("__file__", None)


def make_theirs(model: str, sizes: tuple[int, ...], n_sources: int) -> nn.ModuleDict:
    """SpeechBrain's parts, with weights that are not 0 or 1."""
    from speechbrain.lobes.models import conv_tasnet, dual_path

    leave_lazy_modules_alone()

    filters, kernel, chunk, repeats, layers, heads, hidden, width = sizes
    if model == "conv_tasnet":
        encoder, decoder = conv_tasnet.Encoder(kernel, filters), conv_tasnet.Decoder(kernel, filters)
        masknet = conv_tasnet.MaskNet(filters, width, hidden, chunk, repeats, layers, n_sources)
    else:
        encoder = dual_path.Encoder(kernel, filters)
        decoder = dual_path.Decoder(filters, 1, kernel_size=kernel, stride=kernel // 2, bias=False)
        if model == "sepformer":
            options = {"use_positional_encoding": True, "norm_before": True, "dropout": 0}
            nets = [dual_path.SBTransformerBlock(layers, width, heads, hidden, **options) for _ in range(2)]
        else:
            nets = [dual_path.SBRNNBlock(width, hidden, layers) for _ in range(2)]
        masknet = dual_path.Dual_Path_Model(
            filters, width, *nets, repeats, "ln", chunk, n_sources,
            linear_layer_after_inter_intra=model == "dprnn",
        )  # fmt: skip
    theirs = nn.ModuleDict({"encoder": encoder, "masknet": masknet, "decoder": decoder}).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) if parameter.dim() == 1 else 0)
    return theirs


def separate(model: str, theirs: nn.ModuleDict, mixtures: Tensor) -> Tensor:
    """(B, N) to (B, S, N), as their recipe puts the parts together."""
    encoded = theirs["encoder"](mixtures)
    if model == "conv_tasnet":
        masks = theirs["masknet"](encoded.mT)  # (S, B, F, T)
        estimates = theirs["decoder"](encoded, masks.permute(1, 3, 0, 2)).mT
    else:
        masks = theirs["masknet"](encoded)
        estimates = torch.stack([theirs["decoder"](encoded * mask) for mask in masks], 1)
    n_samples = mixtures.shape[1]
    return nn.functional.pad(estimates, (0, max(0, n_samples - estimates.shape[2])))[:, :, :n_samples]


def save(theirs: nn.ModuleDict, folder: Path) -> None:
    folder.mkdir()
    for name, part in theirs.items():
        torch.save(part.state_dict(), folder / f"{name}.ckpt")


def load(out: Path) -> nn.Module:
    """The separator of a run folder, with the weights of its checkpoint."""
    separator = config.build(config.read(out / "hparams.yaml"), only=["modules"]).values["modules"][
        "separator"
    ]
    weights = read_folder(out)[2]
    separator.load_state_dict({name.removeprefix("separator."): value for name, value in weights.items()})
    return separator.eval()


def check(tool: Any, tmp_path: Path, theirs: nn.ModuleDict, model: str, sizes: tuple[int, ...]) -> int:
    """Import, and compare estimates; the number of parameters."""
    save(theirs, tmp_path / "theirs")
    words = [str(tmp_path / "theirs"), str(tmp_path / "out"), "--model", model, "--chunk_size", str(sizes[2])]
    tool.main(tool.parse([*words, "--n_heads", str(sizes[5])]))
    n_samples = 203 if sizes is SMALL[model] else 12_345
    ours, mixtures = load(tmp_path / "out"), 0.3 * torch.randn(2, n_samples)
    with torch.no_grad():
        expected, found = separate(model, theirs, mixtures), ours(mixtures)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    return sum(parameter.numel() for parameter in ours.parameters())


@pytest.mark.integration
@pytest.mark.parametrize("model", SMALL)
def test_small_models_give_the_same_estimates(tool, tmp_path, model):
    check(tool, tmp_path, make_theirs(model, SMALL[model], 3), model, SMALL[model])


@pytest.mark.slow
@pytest.mark.parametrize("model", PUBLISHED)
def test_models_of_the_published_size_give_the_same_estimates(tool, tmp_path, model):
    theirs = make_theirs(model, PUBLISHED[model], 2)
    n_parameters = check(tool, tmp_path, theirs, model, PUBLISHED[model])
    assert n_parameters == sum(parameter.numel() for parameter in theirs.parameters())
    assert model != "sepformer" or n_parameters == 25_679_361


@pytest.mark.parametrize("name", ["code", "missing", "list"])
def test_files_that_hold_something_else_are_refused(tool, tmp_path, name):
    for part in ("encoder", "masknet", "decoder"):
        torch.save({"weight": torch.zeros(1)}, tmp_path / f"{part}.ckpt")
    if name == "code":
        torch.save({"weight": nn.Linear(1, 1)}, tmp_path / "masknet.ckpt")
    elif name == "list":
        torch.save([torch.zeros(1)], tmp_path / "masknet.ckpt")
    else:
        (tmp_path / "masknet.ckpt").unlink()
    with pytest.raises(UserError, match=r"masknet\.ckpt"):
        tool.main(tool.parse([str(tmp_path), str(tmp_path / "out"), "--model", "sepformer"]))
    assert not (tmp_path / "out").exists()


def test_another_model_is_told(tool, tmp_path):
    for part in ("encoder", "masknet", "decoder"):
        torch.save({"weight": torch.zeros(1)}, tmp_path / f"{part}.ckpt")
    with pytest.raises(UserError, match=r"no weights 'encoder.conv1d.weight'"):
        tool.main(tool.parse([str(tmp_path), str(tmp_path / "out"), "--model", "sepformer"]))
