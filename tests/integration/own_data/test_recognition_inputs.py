"""docs/recognition-inputs.md: its YAML stands in the recipe and the piece that it speaks of."""

import re
import textwrap
from pathlib import Path

import pytest

FENCE = re.compile(r"^```yaml\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = ("recipes/own/asr/hparams/noisy_rooms.yaml", "configs/data/noisy_rooms.yaml")


def normalized(text: str) -> str:
    """Without what lines have in front of them."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def blocks(project: Path) -> list[str]:
    return [
        match["body"] for match in FENCE.finditer((project / "docs" / "recognition-inputs.md").read_text())
    ]


def test_the_yaml_of_the_page_is_that_of_the_recipe(project: Path) -> None:
    texts = [normalized((project / name).read_text()) for name in FILES]
    found = blocks(project)
    assert len(found) == 3
    for block in found:
        assert textwrap.dedent(block) == block
        assert any(normalized(block) in text for text in texts), block


@pytest.mark.integration
def test_one_line_swaps_the_normalisation(project: Path, tmp_path: Path) -> None:
    """Built and tried on fake data, behind each front end."""
    from speechkit.tasks import check_build

    recipe = project / "recipes" / "own" / "asr"
    text = (recipe / "hparams" / "ctc.yaml").read_text()
    configs = str(project / "configs")
    given = ["--data_folder", "table.csv", "--encoder.channels", "[8]", "--encoder.hidden_size", "8"]
    for encoder, norm in (("real", "UtteranceNorm"), ("quaternion", "GlobalNorm"), ("complex", "GlobalNorm")):
        changed = text.replace("../../../../configs", configs).replace(
            "features.GlobalNorm", f"features.{norm}"
        )
        (tmp_path / "hparams.yaml").write_text(changed.replace("encoders/real", f"encoders/{encoder}"))
        check_build(recipe / "train.py", tmp_path / "hparams.yaml", given)


@pytest.mark.integration
def test_in_rooms_and_among_noises_a_run_trains(project: Path, real_data: Path, tmp_path: Path) -> None:
    """With real impulse responses and noises, on tones; two workers draw what one would."""
    from speechkit import report
    from speechkit.tasks import ASR, main

    from .test_page import SMALL, write_spelled

    folder = real_data / "noise_rir"
    if not folder.is_dir():
        pytest.skip(f"no impulse responses at {folder}: set SPEECHKIT_DATA to a folder that has them")
    rows = write_spelled(tmp_path, 30)
    (tmp_path / "table.csv").write_text("path,text\n" + "".join(f"{r['path']},{r['text']}\n" for r in rows))
    recipe, losses = project / "recipes" / "own" / "asr", []
    given = {"data_folder": tmp_path / "table.csv", "rooms": folder / "rir", "noises": folder / "noise"}
    for n_workers in (0, 2):
        run = tmp_path / f"run{n_workers}"
        changes = SMALL | given | {"n_epochs": 2, "n_workers": n_workers, "output_folder": run}
        words = [str(word) for key, value in changes.items() for word in (f"--{key}", value)]
        main(ASR, str(recipe / "train.py"), [str(recipe / "hparams" / "noisy_rooms.yaml"), *words])
        losses.append([epoch["train"]["loss"] for epoch in report.read_run(run).epochs])
    assert losses[0] == losses[1]
