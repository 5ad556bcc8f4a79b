"""The weights of another run, read while that run may still be training."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from speechkit.errors import UserError
from speechkit.training import Checkpoint, CheckpointFolder
from speechkit.training.bar import say

WEIGHTS = "modules.safetensors"
N_TRIES = 5
EXPECTED = "the output folder of a training run"


def read_best(run: str | Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The best checkpoint of a run and its weights. Nothing in the run's folder is changed.

    A training under way removes a checkpoint when it has a better one: then that is read.
    """
    folder = Path(run) / "checkpoints"

    def tell_damage(name: str, reason: str) -> None:
        if (folder / name).exists():
            say(f"checkpoint {name} of {run} is damaged and not used: {reason}")

    for _ in range(N_TRIES):
        try:
            checkpoint = CheckpointFolder(folder, tell_damage).best()
            if checkpoint is None:
                raise UserError(f"{run} holds no whole checkpoint", expected=EXPECTED, do="train it first")
            return checkpoint, checkpoint.read_weights()
        except (OSError, SafetensorError):
            continue
    raise UserError(f"the checkpoints of {run} change faster than they are read", do="try again")


def read_folder(path: Path) -> tuple[str, str, dict[str, Tensor]]:
    """Name, sha256 and tensors of the weights of a run (of its best epoch) or of a checkpoint."""
    if not path.is_dir():
        raise UserError(f"there is no folder {path}", expected=f"{EXPECTED}, or one of its checkpoints")
    if not (path / WEIGHTS).is_file():
        checkpoint, weights = read_best(path)
        return checkpoint.folder.name, weights_sha256(checkpoint), weights
    try:
        with open(path / WEIGHTS, "rb") as file:
            return path.name, hashlib.file_digest(file, "sha256").hexdigest(), load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path / WEIGHTS} holds no weights: {error}") from error


def weights_sha256(checkpoint: Checkpoint) -> str:
    """The sum of a checkpoint's weights, which was right when it was found."""
    return checkpoint.manifest["files"][WEIGHTS]["sha256"]
