"""The command `speechkit`, as typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import HPARAMS, Typed


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([command, "--help"] for command in ("check", "evaluate", "classify", "synth", "report"))],
)
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    heavy = "{'torch', 'torchaudio', 'lhotse', 'scipy', 'matplotlib', 'soundfile'}"
    code = (
        f"import sys\nfrom speechkit.cli import main\ntry:\n    main({arguments})\n"
        f"except SystemExit as end:\n    print(end.code, sorted({heavy} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "usage: speechkit" in done.stdout


def test_check_does_not_wait_for_torch_where_no_name_of_it_stands(recipe: Path) -> None:
    text = HPARAMS.replace("!name:torch.optim.Adam", "!name:speechkit.nnet.Linear").replace(
        "    lr: 0.05\n", "    n_neurons: 3\n"
    )
    text = text.replace("!name:lhotse.dataset.SimpleCutSampler", "!name:speechkit.nnet.GRU")
    text = text.replace("max_cuts: 8", "hidden_size: 8").replace("        shuffle: True\n", "")
    recipe.write_text(text)
    code = (
        "import sys\nfrom speechkit.cli import main\ntry:\n"
        f"    main(['check', {str(recipe)!r}, '--folder', 'x'])\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules, 'lhotse' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False", done.stdout


def test_what_is_no_command(typed: Typed) -> None:
    for arguments in ([], ["chekc", "a.yaml"], ["classify"], ["check"], ["synth"], ["synth", "nothing", "x"]):
        code, _, told = typed(*arguments)
        assert code == 2, arguments
        assert "usage: speechkit" in told


def test_unknown_options_are_told(typed: Typed, tmp_path: Path) -> None:
    for command in ("report", "classify"):
        code, _, told = typed(command, tmp_path, tmp_path / "a.wav", "--colour")
        assert (code, "--colour" in told) == (2, True)
