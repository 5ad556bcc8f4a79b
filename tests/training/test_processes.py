"""Several processes: the weights, curves and figures of one process with the same batches a step."""

from pathlib import Path
from typing import Any

import pytest
import torch

from .distributed import run
from .toy import log_of

pytestmark = pytest.mark.slow


def assert_close(found: Any, expected: Any, path: str = "", *, rtol: float = 1e-9) -> None:
    """Two nests equal to rounding."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for name in expected:
            assert_close(found[name], expected[name], f"{path}.{name}", rtol=rtol)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{path}.{index}", rtol=rtol)
    elif isinstance(expected, torch.Tensor | float):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-10)
    else:
        assert found == expected, path


def curves(folder: Path) -> list[dict[str, Any]]:
    return log_of(folder / "run")


CASES = ["plain", "with_everything", "with_accidents", "two_optimizers", "branching", "normed"]


@pytest.mark.parametrize("name", CASES)
def test_as_one_process(name: str, tmp_path: Path) -> None:
    (alone,) = run(name, tmp_path / "one", 1)
    together = run(name, tmp_path / "many", 2)
    for each in together:
        assert_close(each, alone)
        assert_same_bits(each["weights"], together[0]["weights"])
    # Losses are summed in float32.
    assert_close(curves(tmp_path / "many"), curves(tmp_path / "one"), rtol=1e-6)


def test_three_processes_raise_a_group_of_four_to_six(tmp_path: Path) -> None:
    together = run("plain", tmp_path, 3)
    assert {each["progress"][-1] for each in together} == {6}
    for each in together:
        assert_same_bits(each["weights"], together[0]["weights"])


def test_shards_learn_what_the_whole_learns(tmp_path: Path) -> None:
    """Torch's FSDP2: a part of the weights in each process, one process's result; its checkpoint is whole."""
    (alone,) = run("sharded", tmp_path / "one", 1)
    together = run("sharded", tmp_path / "many", 2)
    for each in together:
        assert each.pop("share") < 0.6
        assert_close(each, {name: value for name, value in alone.items() if name != "share"})
    (loaded,) = run("sharded", tmp_path / "many", 1)  # nothing is left to train
    assert_close(loaded["weights"], alone["weights"])


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (2, 3)])
def test_goes_on_with_another_number_of_processes(before: int, after: int, tmp_path: Path) -> None:
    """The group stays what it was when the run began, also where the processes do not divide it."""
    whole, *_ = run("resumed", tmp_path / "whole", 2)
    stopped = run("stopped_early", tmp_path / "parts", before)
    assert {each["step"] for each in stopped} == {3}  # both, though the signal came to one
    for each in run("resumed", tmp_path / "parts", after):
        assert_close(each, whole)
        if after == before:
            assert_same_bits(each["weights"], whole["weights"])
    assert_close(curves(tmp_path / "parts"), curves(tmp_path / "whole"), rtol=1e-6)


def assert_same_bits(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Running statistics too."""
    assert [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])] == []
