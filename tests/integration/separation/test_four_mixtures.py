"""Four mixtures learned by heart, by each separator of configs/separators in the same YAML."""

import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from speechkit import load, report
from speechkit.tasks import Separation, main

HERE = Path(__file__).parent
PIECES = HERE.parents[2] / "configs" / "separators"
SIZES: dict[str, dict[str, Any]] = {
    "conv_tasnet": {
        "n_filters": 64, "kernel_size": 32, "width": 32, "hidden_size": 64, "skip_width": 32, "n_blocks": 5,
        "n_repeats": 2,
    },
    "dprnn": {"kernel_size": 16, "chunk_size": 40, "num_layers": 2, "width": 32, "hidden_size": 48},
    "dptnet": {"kernel_size": 16, "chunk_size": 40, "num_layers": 2, "width": 32, "hidden_size": 48},
    "sepformer": {"n_filters": 64, "chunk_size": 40, "path_layers": 1, "n_heads": 4, "hidden_size": 128},
    "conv_tasnet_stft": {"width": 48, "hidden_size": 96, "skip_width": 48},
    "dprnn_stft": {"num_layers": 2, "width": 48, "hidden_size": 48},
    "sepformer_stft": {"path_layers": 1, "width": 64, "hidden_size": 128},
    "stft_lstm": {"num_layers": 2, "hidden_size": 64},
    "complex_lstm": {"num_layers": 1, "hidden_size": 48},
    "complex_conv": {"hidden_size": 48},
    "deep_clustering": {"num_layers": 1, "hidden_size": 64, "n_dimensions": 10},
}  # fmt: skip


def learn(name: str, manifest: Path, folder: Path) -> Path:
    """Train the separator of a piece with small sizes; the run's folder."""
    lines = [f"net: !include:{PIECES / name}.yaml"]
    lines += [f"    {key}: {size}" for key, size in SIZES[name].items()]
    text = (HERE / "hparams" / "four.yaml").read_text()
    before = "net: !include:../../../../configs/separators/conv_tasnet.yaml"
    assert before in text
    (folder / "swapped.yaml").write_text(text.replace(before, "\n".join(lines)))
    given = ["--output_folder", folder / "run", "--manifest", manifest, "--n_epochs", 80, "--device", "cpu"]
    main(Separation, str(HERE / "train.py"), [str(folder / "swapped.yaml"), *map(str, given)])
    return folder / "run"


def check_learned(name: str, manifest: Path, folder: Path) -> None:
    begin = time.process_time()  # in one thread; the clock would count the tests beside this one
    run = learn(name, manifest, folder)
    assert time.process_time() - begin < 90
    found = report.read_json(run / "report.json", "report")
    assert found["metrics"]["si_snri"]["value"] >= 10
    assert found["metrics"]["si_snri"]["n"] == 4
    check_alone_as_together(run, manifest.parent / "four")


@pytest.mark.integration
def test_four_mixtures_are_learned_by_heart(four_mixtures: Path, tmp_path: Path) -> None:
    check_learned("dprnn", four_mixtures, tmp_path)


def test_no_separator_is_left_out() -> None:
    assert {path.stem for path in PIECES.glob("*.yaml")} == {*SIZES}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SIZES} - {"dprnn"}))
def test_each_separator_learns_them(name: str, four_mixtures: Path, tmp_path: Path) -> None:
    check_learned(name, four_mixtures, tmp_path)


@pytest.mark.integration
def test_real_mixtures_are_learned_by_heart(four_real_mixtures: Path, tmp_path: Path) -> None:
    check_learned("conv_tasnet", four_real_mixtures, tmp_path)


def check_alone_as_together(run: Path, folder: Path) -> None:
    """What is loaded separates a file to the figure that the report has of it."""
    from speechkit.losses import separation_loss

    records = {record["id"]: record for record in report.read_run(run).predictions["four"]}
    model = load(run)
    for path in (folder / "mix").iterdir():
        mixture, rate = soundfile.read(path, dtype="float32")
        sources = [soundfile.read(folder / name / path.name, dtype="float32")[0] for name in ("s1", "s2")]
        loss = separation_loss(model.separate(mixture, rate)[None], torch.tensor([*map(list, sources)])[None])
        assert -float(loss) == pytest.approx(records[path.stem]["scores"]["si_snr"], abs=0.01)
