"""Data sets by name: each reads the manifest of its own name."""

from pathlib import Path

import pytest
from lhotse.cut import MonoCut
from lhotse.dataset import SimpleCutSampler

from speechkit import config
from speechkit.data import batches_by_subset, write_cuts
from speechkit.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
HPARAMS = PROJECT / "recipes" / "LibriSpeech" / "asr" / "hparams"
FILLED = ["--data_folder", "data"]


def test_each_subset_has_its_own_manifest(tmp_path: Path) -> None:
    for n_cuts, subset in enumerate(("one", "two"), start=1):
        cuts = [MonoCut(f"{subset}-{number}", 0, 1.0, 0) for number in range(n_cuts)]
        write_cuts(cuts, tmp_path / f"{subset}.jsonl")
    found = batches_by_subset(
        ["two", "one", "none"], str(tmp_path), SimpleCutSampler, 8000, unreadable="stop"
    )
    assert list(found) == ["two", "one", "none"], "in the order given"
    assert [found[subset].n_cuts() for subset in ("one", "two")] == [1, 2]
    assert {(data.sample_rate, data.unreadable) for data in found.values()} == {(8000, "stop")}
    with pytest.raises(UserError, match=r"no manifest '.*none\.jsonl'"):
        found["none"].n_cuts()


def test_one_name_is_no_list() -> None:
    with pytest.raises(UserError, match=r"expected a list of names; write \[test-clean\]"):
        batches_by_subset("test-clean", "manifests", SimpleCutSampler, 8000)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ctc", "joint", "joint_small"])
def test_librispeech_is_tested_on_the_subsets_that_its_key_names(name: str) -> None:
    filled = [*FILLED, "--manifest_folder", "m"] + (["--arpa_file", "a"] if name == "joint_small" else [])
    path = HPARAMS / f"{name}.yaml"
    own = config.build(config.read(path, filled), only=["test_data", "test_subsets"]).values
    assert list(own["test_data"]) == own["test_subsets"]
    other = [*filled, "--test_subsets", "[test-other, dev-other]"]
    assert config.check(path, other) == []
    document = config.read(path, other)
    found = config.build(document, only=["test_data"]).values["test_data"]
    assert {subset: data.manifest for subset, data in found.items()} == {
        "test-other": "m/test-other.jsonl",
        "dev-other": "m/dev-other.jsonl",
    }
    assert {data.sample_rate for data in found.values()} == {16000}


def test_a_run_that_is_evaluated_takes_other_subsets(tmp_path: Path) -> None:
    """Its hparams.yaml, which no longer has references between plain values, has this one."""
    kept = tmp_path / "hparams.yaml"
    kept.write_text(config.read(HPARAMS / "ctc.yaml", [*FILLED, "--manifest_folder", "m"]).dump())
    document = config.read(kept, ["--test_subsets", "[test-other]"])
    assert list(config.build(document, only=["test_data"]).values["test_data"]) == ["test-other"]
    document.move_paths("m", "elsewhere", within="test_data")
    (data,) = config.build(document, only=["test_data"]).values["test_data"].values()
    assert data.manifest == "elsewhere/test-other.jsonl"
