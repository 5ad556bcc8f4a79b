"""prepare() of LibriMix, WHAM! and WHAMR!: which folder is heard, which are told apart, who speaks."""

from pathlib import Path

import pytest

from speechkit.data import read_cuts
from speechkit.errors import UserError

from .test_corpus import write_audio
from .test_prepare_digits_and_sounds import load_prepare

LIBRI = {"train-100": "103-1240-0003_1235-135887-0017", "dev": "84-121123-0000_174-50561-0001",
         "test": "61-70968-0000_908-31957-0002"}  # fmt: skip
WSJ0 = {
    "tr": "011a0101_1.6_01ta010b_-1.6",
    "cv": "011a0103_1_01ta0103_-1",
    "tt": "050a0501_1.7_442o030z_-1.7",
}
WHAMR = [f"mix_{kind}_{room}" for kind in ("both", "clean", "single") for room in ("anechoic", "reverb")]
WHAMR += [f"s{number}_{room}" for number in (1, 2) for room in ("anechoic", "reverb")]


def write_layout(folder: Path, names: dict[str, str], signals: list[str]) -> None:
    for subset, name in names.items():
        for signal in signals:
            write_audio(folder / subset / signal / f"{name}.wav")


def read(folder: Path, name: str) -> list:
    return list(read_cuts(folder / f"{name}.jsonl"))


def described(folder: Path, name: str) -> tuple[str, list[tuple[str, str | None, str | None]]]:
    """The folder of the mixture, and of each source with who speaks."""
    (cut,) = read(folder, name)
    of_sources = [Path(cut.custom[f"source{i + 1}"].sources[0].source) for i in range(len(cut.supervisions))]
    assert {path.name for path in of_sources} == {f"{cut.id}.wav"}
    who = [
        (path.parent.name, s.speaker, s.gender) for path, s in zip(of_sources, cut.supervisions, strict=True)
    ]
    return Path(cut.recording.sources[0].source).parent.name, who


@pytest.mark.parametrize("below", ["", "Libri2Mix/"])
def test_clean_and_noisy_librimix_and_enhancement(below: str, project: Path, tmp_path: Path) -> None:
    prepare = load_prepare(project, "LibriMix").prepare
    data, out = tmp_path / "data", tmp_path / "out"
    write_layout(
        data / below / "wav8k/min", LIBRI, ["mix_clean", "mix_both", "mix_single", "s1", "s2", "noise"]
    )
    (data / "SPEAKERS.TXT").write_text("61 | M | test-clean\n908 | F | test-clean\n")
    prepare(str(data), str(out))
    both = [("s1", "61", "M"), ("s2", "908", "F")]
    assert described(out, "tt") == ("mix_clean", both)
    assert described(out, "cv")[1] == [("s1", "84", None), ("s2", "174", None)]
    assert {cut.id for cut in read(out, "singles")} == {"103-1240-0003", "1235-135887-0017"}
    prepare(str(data), str(out), mixture="mix_both")
    assert described(out, "tt") == ("mix_both", both)
    prepare(str(data), str(out), n_sources=1, mixture="mix_single")
    assert described(out, "tt") == ("mix_single", both[:1])
    prepare(str(data), str(out), n_sources=1, mixture="mix_both", sources=["mix_clean"])
    assert described(out, "tt") == ("mix_both", [("mix_clean", None, None)])
    prepare(str(data), str(out), mixture="mix_both", sources=["s1", "s2", "noise"])
    assert described(out, "tt") == ("mix_both", [*both, ("noise", None, None)])


def test_libri3mix_at_16_khz(project: Path, tmp_path: Path) -> None:
    prepare = load_prepare(project, "LibriMix").prepare
    names = {
        key.replace("100", "360"): f"{name}_{number}-5-0001"
        for number, (key, name) in enumerate(LIBRI.items())
    }
    write_layout(tmp_path / "data/Libri3Mix/wav16k/max", names, ["mix_clean", "s1", "s2", "s3"])
    keys = {"n_sources": 3, "sample_rate": 16000, "mode": "max", "train_subset": "train-360"}
    prepare(str(tmp_path / "data"), str(tmp_path / "out"), **keys)
    assert [speaker for _, speaker, _ in described(tmp_path / "out", "tt")[1]] == ["61", "908", "2"]


def test_wham_and_whamr_by_keys(project: Path, tmp_path: Path) -> None:
    prepare = load_prepare(project, "WHAM").prepare
    write_layout(tmp_path / "wham/wav8k/min", WSJ0, ["mix_both", "mix_single", "s1", "s2", "noise"])
    write_layout(tmp_path / "whamr/wav8k/min", WSJ0, WHAMR)
    (tmp_path / "whamr" / "spkrinfo.txt").write_text("050 M\n442 F\n")
    out = tmp_path / "out"
    prepare(str(tmp_path / "wham"), str(out))
    assert described(out, "tt") == ("mix_both", [("s1", "050", None), ("s2", "442", None)])
    assert {cut.id for cut in read(out, "singles")} == {"011a0101", "01ta010b"}
    prepare(str(tmp_path / "wham"), str(out), mixture="mix_single", sources=["s1"])
    assert described(out, "tt") == ("mix_single", [("s1", "050", None)])
    keys = {"mixture": "mix_both_reverb", "sources": ["s1_anechoic", "s2_anechoic"]}
    prepare(str(tmp_path / "whamr"), str(out), **keys)
    assert described(out, "tt") == (
        "mix_both_reverb",
        [("s1_anechoic", "050", "M"), ("s2_anechoic", "442", "F")],
    )
    keys = {"mixture": "s2_reverb", "sources": ["s2_anechoic"]}  # dereverberation of one speaker
    prepare(str(tmp_path / "whamr"), str(out), **keys)
    assert described(out, "cv") == ("s2_reverb", [("s2_anechoic", "01t", None)])


def test_what_is_not_there_is_named(project: Path, tmp_path: Path) -> None:
    prepare = load_prepare(project, "WHAM").prepare
    write_layout(tmp_path / "whamr/wav8k/min", WSJ0, WHAMR)

    def refused(said: str, **keys) -> None:
        with pytest.raises(UserError, match=said):
            prepare(str(tmp_path / "whamr"), str(tmp_path / "out"), **keys)

    refused(r"tr lacks mix_both \(did you mean .*mix_both_\w+.*\); expected some of mix_both_anechoic")
    keys = {"mixture": "mix_both_reverb", "sources": ["s1_anechoic", "s3_anechoic"]}
    refused(r"tr lacks s3_anechoic \(did you mean", **keys)
    refused(r"data_folder: \S+ lacks wav16k/min, and has wav8k/min; expected", sample_rate=16000)
    keys = {"n_sources": 3, "train_subset": "train-1000"}
    with pytest.raises(UserError, match=r"data_folder: there is no folder .*train-1000$"):
        load_prepare(project, "LibriMix").prepare(str(tmp_path / "whamr"), str(tmp_path / "out"), **keys)
