"""prepare() of FSDD and ESC: official splits and folds, from layouts like theirs and from the corpora."""

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from speechkit.data import read_cuts
from speechkit.errors import UserError

from .test_corpus import write_audio

DIGITS = [str(digit) for digit in range(10)]
TEN = [
    *("dog", "rooster", "rain", "sea_waves", "crackling_fire"),
    *("crying_baby", "sneezing", "clock_tick", "helicopter", "chainsaw"),
]


def load_prepare(project: Path, corpus: str) -> ModuleType:
    path = project / "recipes" / corpus / "prepare.py"
    spec = importlib.util.spec_from_file_location(f"{corpus}_prepare", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fsdd(project: Path) -> ModuleType:
    return load_prepare(project, "FSDD")


@pytest.fixture(scope="module")
def esc(project: Path) -> ModuleType:
    return load_prepare(project, "ESC")


def read(folder: Path) -> dict[str, list]:
    return {name: list(read_cuts(folder / f"{name}.jsonl")) for name in ("train", "valid", "test")}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_takes_decide(suffix: str, fsdd: ModuleType, tmp_path: Path) -> None:
    for digit in "07":
        for speaker in ("theo", "lucas"):
            for take in (0, 4, 5, 9, 10, 49):
                name = f"{digit}_{speaker}_{take}{suffix}"
                write_audio(tmp_path / "data" / "recordings" / name)
    fsdd.prepare(str(tmp_path / "data"), str(tmp_path / "out"), labels=["0", "7"])
    takes = {"train": {10, 49}, "valid": {5, 9}, "test": {0, 4}}
    for subset, cuts in read(tmp_path / "out").items():
        assert {cut.id for cut in cuts} == {
            f"{d}_{s}_{t}" for d in "07" for s in ("theo", "lucas") for t in takes[subset]
        }
        for cut in cuts:
            digit, speaker, _ = cut.id.split("_")
            assert (cut.supervisions[0].text, cut.supervisions[0].speaker) == (digit, speaker)
    fsdd.prepare(str(tmp_path / "data"), str(tmp_path / "out"), labels=["7"])
    assert {cut.supervisions[0].text for cut in read(tmp_path / "out")["train"]} == {"7"}
    with pytest.raises(UserError, match=r"labels: no label '8'"):
        fsdd.prepare(str(tmp_path / "data"), str(tmp_path / "out"), labels=["7", "8"])


def test_another_folder_is_no_fsdd(fsdd: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("nothing")
    with pytest.raises(UserError, match=r"lacks recordings; expected the folder of FSDD"):
        fsdd.prepare(str(tmp_path), str(tmp_path / "out"), labels=DIGITS)


def make_esc(folder: Path, folds: list[int]) -> Path:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in folds:
        for target, label in enumerate(("dog", "rain", "train")):
            for take in "AB":
                source = 1000 * fold + target
                name = f"{fold}-{source}-{take}-{target}"
                lines.append(f"{name}.wav,{fold},{target},{label},{label != 'train'},{source},{take}")
                write_audio(folder / "audio" / f"{name}.wav")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(("fold", "valid"), [(1, 2), (3, 4), (5, 1)])
def test_one_fold_tests_the_next_validates(fold: int, valid: int, esc: ModuleType, tmp_path: Path) -> None:
    data = make_esc(tmp_path / "data", [1, 2, 3, 4, 5])
    esc.prepare(str(data), str(tmp_path / "out"), labels=["dog", "rain"], fold=fold)
    found = read(tmp_path / "out")
    folds = {name: {int(cut.id[0]) for cut in cuts} for name, cuts in found.items()}
    assert folds == {"train": {1, 2, 3, 4, 5} - {fold, valid}, "valid": {valid}, "test": {fold}}
    for cuts in found.values():
        labels = Counter(cut.supervisions[0].text for cut in cuts)
        assert set(labels) == {"dog", "rain"}
        assert labels["dog"] == labels["rain"] == len(cuts) / 2
        for cut in cuts:
            assert cut.supervisions[0].custom == {"group": cut.id.split("-")[1]}


def test_mistakes_about_folds_labels_and_files(esc: ModuleType, tmp_path: Path) -> None:
    data, out = make_esc(tmp_path / "data", [1, 2, 4]), str(tmp_path / "out")
    with pytest.raises(UserError, match=r"fold: no fold 3 in .*; expected one of 1, 2, 4"):
        esc.prepare(str(data), out, labels=["dog", "rain"], fold=3)
    with pytest.raises(UserError, match=r"labels: no label 'dgo' in .*did you mean 'dog'"):
        esc.prepare(str(data), out, labels=["dgo", "rain"], fold=1)
    (data / "audio" / "2-2000-A-0.wav").unlink()
    with pytest.raises(UserError, match=r"esc50\.csv:8:1: .*audio has no 2-2000-A-0\.wav"):
        esc.prepare(str(data), out, labels=["dog", "rain"], fold=1)
    table = data / "meta" / "esc50.csv"
    table.write_text(table.read_text().replace("fold", "flod", 1))
    with pytest.raises(UserError, match=r"esc50\.csv:1:1: no column 'fold'; found are filename, flod"):
        esc.prepare(str(data), out, labels=["dog", "rain"], fold=1)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"lacks audio"):
        esc.prepare(str(tmp_path / "other"), out, labels=["dog", "rain"], fold=1)


@pytest.mark.integration
def test_the_true_fsdd(fsdd: ModuleType, real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "fsdd").is_dir():
        pytest.skip(f"no FSDD at {real_data / 'fsdd'}")
    fsdd.prepare(str(real_data / "fsdd"), str(tmp_path), labels=DIGITS)
    found = read(tmp_path)
    assert {name: len(cuts) for name, cuts in found.items()} == {"train": 2400, "valid": 300, "test": 300}
    for cuts in found.values():
        assert {cut.sampling_rate for cut in cuts} == {8000}
        assert len({cut.supervisions[0].speaker for cut in cuts}) == 6
        assert len(set(Counter(cut.supervisions[0].text for cut in cuts).values())) == 1


@pytest.mark.integration
def test_the_true_esc10(esc: ModuleType, real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "esc10").is_dir():
        pytest.skip(f"no ESC-10 at {real_data / 'esc10'}")
    tested = []
    for fold in (1, 4):
        esc.prepare(str(real_data / "esc10"), str(tmp_path), labels=TEN, fold=fold)
        found = read(tmp_path)
        sources = {
            name: {cut.supervisions[0].custom["group"] for cut in cuts} for name, cuts in found.items()
        }
        assert not sources["test"] & (sources["train"] | sources["valid"])
        assert {cut.duration for cuts in found.values() for cut in cuts} == {5.0}
        assert {cut.id[0] for cut in found["test"]} == {str(fold)}
        tested += [cut.id for cut in found["test"]]
    assert len(set(tested)) == len(tested) > 50
