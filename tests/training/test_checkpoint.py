"""Checkpoints: whole or not there, of this model, and never code."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from speechkit.errors import UserError
from speechkit.training import CheckpointFolder, load_weights
from speechkit.training import checkpoint as checkpoint_module
from speechkit.training.checkpoint import own_tensors

from .toy import adam, checkpoints_of, net, regression, same_bits

FILES = ("modules.safetensors", "state.pt", "manifest.json")


def save(folder: Path, name: str = "epoch-0001", modules: nn.Module | None = None, step: int = 3) -> Path:
    state = {"progress": {"best_epoch": 1}, "learners": {}, "log_offset": 0}
    about = {"kind": "epoch", "step": step, "epoch": 2, "fingerprint": ""}
    CheckpointFolder(folder).save(name, own_tensors(modules or net()), state, about)
    return folder / name


def damages(folder: Path) -> dict[str, str]:
    told: dict[str, str] = {}
    CheckpointFolder(folder, told.__setitem__).find()
    return told


class TestFormat:
    def test_weights_are_safetensors_and_the_rest_plain(self, tmp_path: Path) -> None:
        model = net(batch_norm=True)
        folder = save(tmp_path, modules=model)
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        assert same_bits(load_file(folder / "modules.safetensors"), dict(sorted(model.state_dict().items())))
        assert torch.load(folder / "state.pt", weights_only=True)["progress"] == {"best_epoch": 1}

    def test_the_manifest_holds_the_sums(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in FILES[:2]:
            content = (folder / name).read_bytes()
            assert manifest["files"][name] == {
                "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)
            }  # fmt: skip
        assert (manifest["schema"], manifest["step"], manifest["kind"]) == (1, 3, "epoch")

    def test_a_loop_with_every_optimizer_of_torch_is_plain(self, tmp_path: Path) -> None:
        """Whatever an optimizer keeps can be read without executing anything."""
        optimizers = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]
        optimizers += [torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.NAdam, torch.optim.RAdam]
        for optimizer in optimizers:
            folder = tmp_path / optimizer.__name__
            regression(folder, optimizer=lambda weights, make=optimizer: make(weights, lr=0.01)).fit()
            assert len(CheckpointFolder(folder / "checkpoints").find()) == 2

    def test_newest_is_by_step_then_epochs_end(self, tmp_path: Path) -> None:
        state: dict[str, Any] = {"progress": {"best_epoch": 0}, "learners": {}, "log_offset": 0}
        folder = CheckpointFolder(tmp_path)
        for name, kind, step in (
            ("recovery-00000012", "recovery", 12),
            ("epoch-0003", "epoch", 12),
            ("recovery-00000009", "recovery", 9),
        ):  # fmt: skip
            folder.save(name, own_tensors(net()), state, {"kind": kind, "step": step, "epoch": 3})
        names = [each.folder.name for each in folder.find()]
        assert names == ["epoch-0003", "recovery-00000012", "recovery-00000009"]


class TestTiedWeights:
    def tied(self) -> nn.ModuleDict:
        modules = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "output": nn.Linear(4, 7, bias=False)})
        modules["output"].weight = modules["embedding"].weight
        return modules

    def test_stored_once_and_still_tied(self, tmp_path: Path) -> None:
        modules, other = self.tied(), self.tied()
        folder = save(tmp_path, modules=modules)
        assert list(load_file(folder / "modules.safetensors")) == ["embedding.weight"]
        load_weights(other, CheckpointFolder(tmp_path).newest())
        assert torch.equal(other["output"].weight, modules["embedding"].weight)
        assert other["output"].weight is other["embedding"].weight

    def test_the_same_weights_untied_are_another_model(self, tmp_path: Path) -> None:
        save(tmp_path, modules=self.tied())
        untied = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "output": nn.Linear(4, 7, bias=False)})
        with pytest.raises(UserError, match=r"output\.weight: not in the checkpoint"):
            load_weights(untied, CheckpointFolder(tmp_path).newest())

    def test_views_and_transposed_weights_survive(self, tmp_path: Path) -> None:
        model = nn.Linear(3, 5)
        model.weight = nn.Parameter(torch.randn(3, 5).T)  # not contiguous
        save(tmp_path, modules=model)
        other = nn.Linear(3, 5)
        load_weights(other, CheckpointFolder(tmp_path).newest())
        assert torch.equal(other.weight, model.weight)


class TestAnotherModel:
    def test_differences_are_shown_by_name_and_shape(self, tmp_path: Path) -> None:
        save(tmp_path, modules=nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(4, 2)}))
        other = nn.ModuleDict({"a": nn.Linear(3, 5), "c": nn.Linear(5, 2, bias=False)})
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(UserError) as caught:
            load_weights(other, CheckpointFolder(tmp_path).newest())
        told = str(caught.value).splitlines()
        assert "epoch-0001 holds another model" in told[0]
        assert {line.strip() for line in told[1:]} == {
            "a.weight: (4, 3) in the checkpoint, (5, 3) in the model",
            "a.bias: (4,) in the checkpoint, (5,) in the model",
            "b.weight: not in the model",
            "b.bias: not in the model",
            "c.weight: not in the checkpoint",
        }
        assert same_bits(dict(other.state_dict()), before)

    def test_a_run_refuses_it_and_leaves_it_whole(self, tmp_path: Path) -> None:
        regression(tmp_path).fit()
        log = (tmp_path / "log.jsonl").read_bytes()
        with pytest.raises(UserError, match=r"net\.1\.running_mean"):
            regression(tmp_path, net=net(batch_norm=True), n_epochs=5).fit()
        assert checkpoints_of(tmp_path) == ["epoch-0001", "epoch-0002"]
        assert (tmp_path / "log.jsonl").read_bytes() == log

    def test_another_experiment_is_refused(self, tmp_path: Path) -> None:
        (brain := regression(tmp_path)).recorder.fingerprint = "one"
        brain.fit()
        (other := regression(tmp_path, n_epochs=5)).recorder.fingerprint = "two"
        with pytest.raises(UserError, match="another experiment") as caught:
            other.fit()
        assert "--restart" in caught.value.do

    def test_optimizers_of_other_names_are_refused(self, tmp_path: Path) -> None:
        regression(tmp_path).fit()
        named = {"other": {"modules": ["net"], "optimizer": adam()}}
        with pytest.raises(UserError, match=r"optimizers named \['main'\]; expected \['other'\]"):
            regression(tmp_path, optimizer=named, n_epochs=5).fit()


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (truncated, flipped, emptied, Path.unlink)


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("name", FILES[:2])
    def test_is_found(self, name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
        save(tmp_path, "epoch-0001")
        damage(save(tmp_path, "epoch-0002", step=6) / name)
        assert list(damages(tmp_path)) == ["epoch-0002"]
        assert CheckpointFolder(tmp_path).newest().folder.name == "epoch-0001"

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", "3", '{"schema": 1}', '{"schema": 2, "step": 1}', "[" * 100_000, "\x00\x01",
         '{"schema": 1, "step": "1", "epoch": 1, "kind": "epoch", "files": {}}',
         '{"schema": 1, "step": 1, "epoch": 1, "kind": "last", "files": {}}',
         '{"schema": 1, "step": 1, "epoch": 1, "kind": "epoch", "files": []}'],
    )  # fmt: skip
    def test_of_the_manifest_is_found(self, text: str, tmp_path: Path) -> None:
        (save(tmp_path) / "manifest.json").write_text(text)
        assert list(damages(tmp_path)) == ["epoch-0001"]

    @pytest.mark.parametrize("key", ["schema", "step", "epoch", "kind", "files"])
    def test_of_one_key_of_the_manifest_is_found(self, key: str, tmp_path: Path) -> None:
        path = save(tmp_path) / "manifest.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
        assert list(damages(tmp_path)) == ["epoch-0001"]

    def test_is_told_with_a_reason(self, tmp_path: Path) -> None:
        flipped(save(tmp_path, "epoch-0001") / "modules.safetensors")
        (save(tmp_path, "epoch-0002") / "manifest.json").unlink()
        path = save(tmp_path, "epoch-0003") / "manifest.json"
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))
        told = damages(tmp_path)
        assert told["epoch-0001"] == "modules.safetensors is not what was written"
        assert "manifest.json" in told["epoch-0002"]
        assert told["epoch-0003"] == "its schema is 9, this speechkit reads 1"


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


def forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint, with sums that are right for it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


class TestForgery:
    """Files are not code: right sums prove nothing, and a pickle's payload is not run."""

    @pytest.fixture
    def marker(self, tmp_path: Path) -> Path:
        marker = tmp_path / "executed"
        pickle.loads(pickle.dumps(Payload(marker)))
        assert marker.is_dir()  # the payload works where it is run
        marker.rmdir()
        return marker

    def payloads(self, marker: Path, folder: Path) -> dict[str, bytes]:
        torch.save({"progress": {}, "learners": Payload(marker)}, folder / "zip")
        torch.save({"progress": Payload(marker)}, folder / "legacy", _use_new_zipfile_serialization=False)
        return {
            "zip": (folder / "zip").read_bytes(),
            "legacy": (folder / "legacy").read_bytes(),
            "plain pickle": pickle.dumps(Payload(marker)),
            "old pickle": pickle.dumps(Payload(marker), protocol=0),
        }

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    def test_a_pickle_in_the_state(self, tmp_path: Path, marker: Path) -> None:
        for kind, content in self.payloads(marker, tmp_path).items():
            save(tmp_path / "checkpoints", "epoch-0001")
            forge(save(tmp_path / "checkpoints", "epoch-0002", step=6), "state.pt", content)
            told = damages(tmp_path / "checkpoints")
            assert list(told) == ["epoch-0002"], kind
            assert told["epoch-0002"].startswith("state.pt holds more than plain values")
            assert not marker.exists(), kind

    def test_a_pickle_in_place_of_weights(self, tmp_path: Path, marker: Path) -> None:
        for kind, content in self.payloads(marker, tmp_path).items():
            forge(save(tmp_path / "checkpoints"), "modules.safetensors", content)
            told = damages(tmp_path / "checkpoints")
            assert list(told) == ["epoch-0001"], kind
            assert not marker.exists(), kind

    def test_a_run_that_resumes_on_it(self, tmp_path: Path, marker: Path) -> None:
        (whole := regression(tmp_path / "whole", n_epochs=3)).fit()
        regression(tmp_path / "run", n_epochs=2).fit()
        content = self.payloads(marker, tmp_path)["zip"]
        forge(tmp_path / "run" / "checkpoints" / "epoch-0002", "state.pt", content)
        (brain := regression(tmp_path / "run", n_epochs=3)).fit()
        assert same_bits(dict(brain.modules.state_dict()), dict(whole.modules.state_dict()))
        assert not marker.exists()

    @pytest.mark.parametrize(
        "state", [[], {}, {"progress": {}}, {"progress": 3, "learners": {}, "log_offset": 0}]
    )
    def test_a_state_without_what_a_run_needs(self, state: Any, tmp_path: Path) -> None:
        torch.save(state, tmp_path / "state")
        save(tmp_path / "checkpoints", "epoch-0001")
        forge(save(tmp_path / "checkpoints", "epoch-0002"), "state.pt", (tmp_path / "state").read_bytes())
        assert list(damages(tmp_path / "checkpoints")) == ["epoch-0002"]


class TestSaving:
    @pytest.mark.parametrize("moment", ["save_file", "_write_manifest", "_publish"])
    def test_what_fails_leaves_nothing_and_the_older_whole(
        self, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*arguments: Any) -> None:
            raise PermissionError("no")

        save(tmp_path, "epoch-0001")
        monkeypatch.setattr(checkpoint_module, moment, fails)
        with pytest.raises(PermissionError):
            save(tmp_path, "epoch-0002")
        assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]
        assert damages(tmp_path) == {}

    def test_a_name_that_is_taken_is_replaced(self, tmp_path: Path) -> None:
        save(tmp_path, modules=nn.Linear(2, 2))
        model = nn.Linear(3, 3)
        save(tmp_path, modules=model)
        assert torch.equal(CheckpointFolder(tmp_path).newest().read_weights()["weight"], model.weight)
        assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]

    def test_leftovers_of_a_killed_save_or_removal_are_no_checkpoints_and_go(self, tmp_path: Path) -> None:
        save(tmp_path, "epoch-0001")
        for leftover in (".saving-epoch-0002", ".removed-epoch-0000"):
            (tmp_path / leftover).mkdir()
            (tmp_path / leftover / "modules.safetensors").write_bytes(b"half")
        assert damages(tmp_path) == {}
        CheckpointFolder(tmp_path).remove(set())
        assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]

    def test_a_leftover_of_its_own_name_does_not_disturb(self, tmp_path: Path) -> None:
        (tmp_path / ".saving-epoch-0001").mkdir(parents=True)
        (tmp_path / ".saving-epoch-0001" / "junk").write_bytes(b"x")
        assert sorted(path.name for path in save(tmp_path).iterdir()) == sorted(FILES)

    def test_everything_is_synced_before_the_rename(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        fsync, rename = os.fsync, os.rename

        def noting_sync(handle: int) -> None:
            calls.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
            fsync(handle)

        def noting_rename(source: Path, target: Path) -> None:
            calls.append(f"rename to {target.name}")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", noting_sync)
        monkeypatch.setattr(os, "rename", noting_rename)
        save(tmp_path / "checkpoints")
        assert calls == [*FILES, ".saving-epoch-0001", "rename to epoch-0001", "checkpoints"]
