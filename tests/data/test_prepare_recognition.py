"""prepare() of speechocean762, AN4 and yesno, on layouts like theirs and on the corpora: texts, subsets."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.data import read_cuts
from speechkit.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]


def load_prepare(name: str):
    spec = importlib.util.spec_from_file_location(
        f"prepare_{name}", PROJECT / "recipes" / name / "prepare.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepare


def write_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(800, 0.1), 16000)


def read(folder: Path) -> dict[str, dict[str, tuple[str, str | None]]]:
    """Text and speaker by id, for each subset."""
    return {
        subset: {cut.id: (cut.supervisions[0].text, cut.supervisions[0].speaker)
                 for cut in read_cuts(folder / f"{subset}.jsonl")}
        for subset in ("train", "valid", "test")
    }  # fmt: skip


@pytest.fixture
def ocean(tmp_path: Path) -> Path:
    """Ten training speakers and one of the test, two utterances each."""
    folder = tmp_path / "ocean"
    for subset, speakers in (("train", range(10)), ("test", range(10, 11))):
        names = [(f"{speaker:04}{take}", f"{speaker:04}") for speaker in speakers for take in range(2)]
        (folder / subset).mkdir(parents=True)
        for name, speaker in names:
            write_clip(folder / "WAVE" / f"SPEAKER{speaker}" / f"{name}.wav")
        rows = {
            "text": [f"{name}\tTHE TEXT {name}" for name, _ in names],
            "utt2spk": [f"{name} {speaker}" for name, speaker in names],
            "wav.scp": [f"{name}\tWAVE/SPEAKER{speaker}/{name}.wav" for name, speaker in names],
        }
        for table, lines in rows.items():
            (folder / subset / table).write_text("\n".join(lines) + "\n")
    return folder


def test_speechocean_without_a_dev_set_validates_on_speakers_of_its_own(ocean, tmp_path):
    load_prepare("speechocean762")(str(ocean), str(tmp_path / "manifests"))
    found = read(tmp_path / "manifests")
    assert {subset: len(clips) for subset, clips in found.items()} == {"train": 18, "valid": 2, "test": 2}
    speakers = [{speaker for _, speaker in clips.values()} for clips in found.values()]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == 11
    assert found["test"]["00100"] == ("THE TEXT 00100", "0010")


def test_speechoceans_own_dev_set_validates(ocean, tmp_path):
    (ocean / "dev").mkdir()
    for table in ("text", "utt2spk", "wav.scp"):
        (ocean / "dev" / table).write_text("".join((ocean / "test" / table).read_text().splitlines(True)[:1]))
        lines = (ocean / "test" / table).read_text().splitlines(True)[1:]
        (ocean / "test" / table).write_text("".join(lines))
    load_prepare("speechocean762")(str(ocean), str(tmp_path / "manifests"))
    found = read(tmp_path / "manifests")
    assert list(found["valid"]) == ["00100"]
    assert len(found["train"]) == 20


def test_a_table_that_names_a_command_is_refused(ocean, tmp_path):
    table = ocean / "test" / "wav.scp"
    table.write_text(table.read_text() + "00102 sox other.wav -t wav - |\n")
    with pytest.raises(UserError, match=r"wav.scp:3.*a name and a value"):
        load_prepare("speechocean762")(str(ocean), str(tmp_path / "manifests"))
    (ocean / "test" / "wav.scp").write_text("00100 WAVE/SPEAKER0010/00100.wav\n")
    with pytest.raises(UserError, match=r"00101 has a text and no file in wav\.scp"):
        load_prepare("speechocean762")(str(ocean), str(tmp_path / "manifests"))


@pytest.fixture
def an4(tmp_path: Path) -> Path:
    folder = tmp_path / "an4"
    (folder / "etc").mkdir(parents=True)
    for subset, part, speakers in (("train", "an4_clstk", "abcdefg"), ("test", "an4test_clstk", "xy")):
        names = [(speaker, f"an{n}-{speaker}-b") for speaker in speakers for n in (1, 2)]
        for speaker, name in names:
            write_clip(folder / "wav" / part / speaker / f"{name}.wav")
        ids = "".join(f"{part}/{speaker}/{name}\n" for speaker, name in names)
        (folder / "etc" / f"an4_{subset}.fileids").write_text(ids)
        form = "<s> GO {} </s> ({})\n" if subset == "train" else "GO {} ({})\n"
        lines = "".join(form.format(name[2], name) for _, name in names)
        (folder / "etc" / f"an4_{subset}.transcription").write_text(lines)
    return folder


def test_an4_goes_by_its_lists(an4, tmp_path):
    load_prepare("AN4")(str(an4), str(tmp_path / "manifests"))
    found = read(tmp_path / "manifests")
    assert {subset: len(clips) for subset, clips in found.items()} == {"train": 12, "valid": 2, "test": 4}
    assert found["test"]["an2-y-b"] == ("GO 2", "y")
    assert len({speaker for _, speaker in found["train"].values()}) == 6


def test_an4_tells_the_line_without_audio(an4, tmp_path):
    (an4 / "wav" / "an4test_clstk" / "x" / "an2-x-b.wav").unlink()
    with pytest.raises(UserError, match=r"an4_test.transcription:2.*no audio an2-x-b"):
        load_prepare("AN4")(str(an4), str(tmp_path / "manifests"))


def test_yesno_reads_its_words_off_the_names(tmp_path):
    for number in range(12):
        write_clip(tmp_path / "waves_yesno" / ("_".join(f"{number:04b}") + ".wav"))
    load_prepare("yesno")(str(tmp_path), str(tmp_path / "manifests"))
    found = read(tmp_path / "manifests")
    assert {subset: len(clips) for subset, clips in found.items()} == {"train": 5, "valid": 1, "test": 6}
    assert list(found["test"]) == ["_".join(f"{number:04b}") for number in range(6, 12)]
    assert found["test"]["0_1_1_0"] == ("NO YES YES NO", None)


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("speechocean762", "speechocean762", {"train": 1261, "valid": 57, "test": 112}),
        ("AN4", "an4", {"train": 51, "valid": 11, "test": 10}),
        ("yesno", "yesno", {"train": 24, "valid": 6, "test": 30}),
    ],
)
def test_the_real_corpora_are_read(name, folder, expected, real_data, tmp_path):
    if not (real_data / folder).is_dir():
        pytest.skip(f"no {name} at {real_data / folder}: set SPEECHKIT_DATA to a folder that has it")
    load_prepare(name)(str(real_data / folder), str(tmp_path))
    found = read(tmp_path)
    assert {subset: len(clips) for subset, clips in found.items()} == expected
    assert all(text and text == text.upper() for clips in found.values() for text, _ in clips.values())
