"""Checkpoints that a power cut cannot spoil and that execute nothing when read.

One folder each: `modules.safetensors` (weights and buffers), `state.pt` (optimizers, schedules, position;
plain values and tensors, read with `weights_only=True`) and `manifest.json` (sha256 of both). A folder is
written aside, synced, and renamed: it is there whole or not at all.
"""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.training.disk import full_disk_told
from speechkit.training.parallel import like

SCHEMA = 1
WEIGHTS, STATE, MANIFEST = "modules.safetensors", "state.pt", "manifest.json"
STATE_KEYS = {"progress", "learners", "log_offset"}
ASIDE, REMOVED = ".saving-", ".removed-"  # beginnings of the names of folders that are not checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the disk whose sums were right when it was found."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> "Checkpoint":
        """The one in a folder that is known to be whole."""
        return cls(folder, json.loads((folder / MANIFEST).read_text()))

    @property
    def order(self) -> tuple[int, int, bool]:
        """Which of two is newer; at one step the end of an epoch comes after a recovery."""
        return self.manifest["step"], self.manifest["epoch"], self.manifest["kind"] == "epoch"

    @property
    def weights_epoch(self) -> int:
        """The epoch that its weights come from: an epoch's end is saved when the next one has begun."""
        epoch: int = self.manifest["epoch"]
        return epoch - 1 if self.manifest["kind"] == "epoch" else epoch

    def read_weights(self) -> dict[str, Tensor]:
        return load_file(self.folder / WEIGHTS)

    def read_state(self) -> dict[str, Any]:
        return torch.load(self.folder / STATE, map_location="cpu", weights_only=True)


class CheckpointFolder:
    """The checkpoints of one run.

    on_damage: told the name and the reason of every checkpoint that cannot be used.
    """

    def __init__(
        self, folder: Path, on_damage: Callable[[str, str], None] = lambda name, reason: None
    ) -> None:
        self.folder = folder
        self._on_damage = on_damage

    def save(
        self, name: str, weights: dict[str, Tensor], state: dict[str, Any], about: dict[str, Any]
    ) -> None:
        """Write a checkpoint of `own_tensors(modules)`.

        On a full disk nothing is left behind and the older ones are untouched.
        """
        aside = self.folder / (ASIDE + name)
        shutil.rmtree(aside, ignore_errors=True)
        try:
            with full_disk_told(self.folder / name, opaque=(SafetensorError, RuntimeError)):
                aside.mkdir(parents=True)
                save_file(weights, aside / WEIGHTS)
                torch.save(state, aside / STATE)
                _write_manifest(aside, {"schema": SCHEMA, "name": name, **about})
                _publish(aside, self.folder / name)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def find(self) -> list[Checkpoint]:
        """All whole checkpoints, newest first; damaged ones are named to `on_damage`."""
        whole = []
        for folder in sorted(self.folder.glob("*")):
            if folder.name.startswith((ASIDE, REMOVED)) or not folder.is_dir():
                continue
            reason = _damage(folder)
            if reason:
                self._on_damage(folder.name, reason)
            else:
                whole.append(Checkpoint.of(folder))
        return sorted(whole, key=lambda checkpoint: checkpoint.order, reverse=True)

    def newest(self) -> Checkpoint | None:
        return next(iter(self.find()), None)

    def best(self) -> Checkpoint | None:
        """That of the best epoch so far, as the newest one tells; the newest where that is not to be had."""
        found = self.find()
        if not found:
            return None
        wanted = epoch_name(found[0].read_state()["progress"]["best_epoch"])
        return next((checkpoint for checkpoint in found if checkpoint.folder.name == wanted), found[0])

    def keep_only(self, names: set[str]) -> None:
        """Remove all others."""
        self.remove({folder.name for folder in self.folder.glob("*") if folder.is_dir()} - names)

    def remove(self, names: set[str]) -> None:
        """Remove checkpoints, and what a killed save or removal left."""
        for folder in sorted(self.folder.glob("*")):
            if folder.name in names or folder.name.startswith((ASIDE, REMOVED)):
                shutil.rmtree(_withdraw(folder), ignore_errors=True)


def epoch_name(epoch: int) -> str:
    """The folder of an epoch's checkpoint.

    >>> epoch_name(3)
    'epoch-0003'
    """
    return f"epoch-{epoch:04d}"


def load_weights(modules: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into modules of the same shapes; a difference is shown, not forced."""
    saved = checkpoint.read_weights()
    expected = own_tensors(modules)
    differences = [f"{name}: not in the checkpoint" for name in expected if name not in saved]
    differences += [f"{name}: not in the model" for name in saved if name not in expected]
    differences += [
        f"{name}: {tuple(saved[name].shape)} in the checkpoint, {tuple(tensor.shape)} in the model"
        for name, tensor in expected.items()
        if name in saved and saved[name].shape != tensor.shape
    ]
    if differences:
        shown = "\n  ".join(differences[:10]) + ("\n  ..." if len(differences) > 10 else "")
        raise UserError(f"{checkpoint.folder} holds another model:\n  {shown}")
    modules.load_state_dict({name: like(saved[name], expected[name]) for name in expected}, strict=False)


def own_tensors(modules: nn.Module) -> dict[str, Tensor]:
    """The state without second names of tied weights: safetensors stores each tensor once."""
    own: dict[tuple[int, torch.Size], str] = {}
    tensors = {}
    for name, tensor in modules.state_dict().items():
        local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
        key = (local.data_ptr() or id(tensor), tensor.shape)
        if own.setdefault(key, name) == name:
            tensors[name] = tensor.contiguous()
    return tensors


def _write_manifest(folder: Path, about: dict[str, Any]) -> None:
    files = {}
    for name in (WEIGHTS, STATE):
        _sync(folder / name)
        files[name] = {"sha256": _sha256(folder / name), "bytes": (folder / name).stat().st_size}
    (folder / MANIFEST).write_text(json.dumps({**about, "files": files}, indent=1))
    _sync(folder / MANIFEST)


def _publish(aside: Path, final: Path) -> None:
    _sync(aside)
    before = _withdraw(final) if final.exists() else None  # damaged, or saved at the same step
    os.rename(aside, final)
    _sync(final.parent)
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)


def _withdraw(folder: Path) -> Path:
    """Take a folder's name from it before it is emptied: after a kill it must not look damaged."""
    if folder.name.startswith((ASIDE, REMOVED)):
        return folder
    removed = folder.with_name(REMOVED + folder.name)
    shutil.rmtree(removed, ignore_errors=True)
    os.rename(folder, removed)
    return removed


def _damage(folder: Path) -> str:
    """Why a checkpoint cannot be used; empty when it can."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["schema"] != SCHEMA:
            return f"its schema is {manifest['schema']}, this speechkit reads {SCHEMA}"
        if not (isinstance(manifest["step"], int) and isinstance(manifest["epoch"], int)):
            return "its manifest holds no step"
        if manifest["kind"] not in ("epoch", "recovery"):
            return f"its kind is {manifest['kind']!r}"
        for name in (WEIGHTS, STATE):
            if _sha256(folder / name) != manifest["files"][name]["sha256"]:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return _unreadable(folder)


def _unreadable(folder: Path) -> str:
    # The sums only tell accidents; a forged folder has right sums and is stopped by weights_only.
    try:
        with safe_open(folder / WEIGHTS, "pt"):
            pass
    except SafetensorError as error:
        return f"{WEIGHTS} holds no weights: {error}"
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        # torch's own words tell how to load it all the same, which would run what is in it.
        return f"{STATE} holds more than plain values and tensors"
    if not (isinstance(state, dict) and isinstance(state.get("progress"), dict) and {*state} >= STATE_KEYS):
        return f"{STATE} lacks some of {', '.join(sorted(STATE_KEYS))}"
    return ""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
