"""One's own clips: folders of labels, tables, and who goes to which subset."""

import csv
import json
from pathlib import Path

import pytest

from speechkit.data import (
    Clip,
    prepare_folder,
    prepare_table,
    prepare_transcripts,
    read_cuts,
    read_table,
    split_clips,
)
from speechkit.errors import UserError

from .test_corpus import write_audio

SUBSETS = ("train", "valid", "test")


def contents(folder: Path) -> dict[str, list[tuple[str, str, str | None]]]:
    """(id, label, speaker) of each cut by subset."""
    return {
        name: [
            (cut.id, cut.supervisions[0].text, cut.supervisions[0].speaker)
            for cut in read_cuts(folder / f"{name}.jsonl")
        ]
        for name in SUBSETS
    }


def make_clips(n: int, labels: str = "ab", speakers: int = 0) -> list[Clip]:
    return [
        Clip(Path("x"), f"{label}{i}", label, f"s{i % speakers}" if speakers else None)
        for label in labels
        for i in range(n)
    ]


def test_every_label_is_in_every_subset_and_shares_hold() -> None:
    subsets = split_clips(make_clips(50))
    for label in "ab":
        counts = {name: sum(clip.label == label for clip in clips) for name, clips in subsets.items()}
        assert counts == {"train": 35, "valid": 5, "test": 10}
    ids = [clip.id for clips in subsets.values() for clip in clips]
    assert sorted(ids) == sorted(clip.id for clip in make_clips(50))


def test_the_split_is_by_key() -> None:
    """Of the order of the clips nothing depends; of the seed all does."""
    clips = make_clips(40)
    sets = [
        {name: {clip.id for clip in each} for name, each in split_clips(given, seed=seed).items()}
        for given, seed in ((clips, 0), (clips[::-1], 0), (clips, 1))
    ]
    assert sets[0] == sets[1] != sets[2]


def test_speakers_are_disjoint() -> None:
    subsets = split_clips(make_clips(40, speakers=20))
    speakers = {name: {clip.speaker for clip in clips} for name, clips in subsets.items()}
    assert {name: len(each) for name, each in speakers.items()} == {"train": 14, "valid": 2, "test": 4}
    assert not speakers["train"] & speakers["valid"]
    assert not speakers["train"] & speakers["test"]
    assert not speakers["valid"] & speakers["test"]


def test_the_least_is_one_each() -> None:
    assert {name: len(each) for name, each in split_clips(make_clips(3)).items()} == {
        "train": 2,
        "valid": 2,
        "test": 2,
    }


@pytest.mark.parametrize(
    ("clips", "told"),
    [
        ([*make_clips(5), Clip(Path("x"), "c0", "c")], "1 clips of the label 'c'; expected 3 or more"),
        (make_clips(5, speakers=2), "2 speakers; expected 3 or more: for train, valid, test"),
        ([*make_clips(5, speakers=5), Clip(Path("x"), "c0", "c")], "c0 has no speaker"),
    ],
)
def test_too_few_to_split(clips: list[Clip], told: str) -> None:
    with pytest.raises(UserError) as error:
        split_clips(clips)
    assert told in str(error.value)


def test_a_label_that_would_not_be_trained() -> None:
    clips = make_clips(10, speakers=5)
    tested = split_clips(clips)["test"][0].speaker
    with pytest.raises(UserError, match="the label 'c' has no clip left to train on"):
        split_clips([*clips, Clip(Path("x"), "c0", "c", tested)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label in ("dog", "cat"):
        for i in range(5):
            write_audio(tmp_path / "data" / label / f"session{i % 2}" / f"{i}.wav")
    (tmp_path / "data" / "notes.txt").write_text("recorded in May")
    (tmp_path / "data" / "empty").mkdir()
    return tmp_path / "data"


def test_a_folder_for_each_label(data: Path, tmp_path: Path) -> None:
    prepare_folder(data, tmp_path / "out")
    found = contents(tmp_path / "out")
    assert {name: len(each) for name, each in found.items()} == {"train": 6, "valid": 2, "test": 2}
    for clip_id, label, speaker in (each for name in SUBSETS for each in found[name]):
        assert clip_id.split("/")[0] == label
        assert (data / f"{clip_id}.wav").is_file()
        assert speaker is None


def test_labels_of_a_folder_are_chosen(data: Path, tmp_path: Path) -> None:
    for i in range(3):
        write_audio(data / "cow" / f"{i}.wav")
    prepare_folder(data, tmp_path / "out", labels=["dog", "cow"])
    assert {label for each in contents(tmp_path / "out").values() for _, label, _ in each} == {"dog", "cow"}
    with pytest.raises(UserError, match=r"labels: no label 'cta' in .*did you mean 'cat'"):
        prepare_folder(data, tmp_path / "out", labels=["dog", "cta"])
    with pytest.raises(UserError, match="one label in"):
        prepare_folder(data, tmp_path / "out", labels=["dog"])


def test_a_folder_without_folders_of_audio(tmp_path: Path) -> None:
    write_audio(tmp_path / "data" / "a.wav")
    with pytest.raises(UserError, match=r"no audio in folders of .*; expected a folder for each label"):
        prepare_folder(tmp_path / "data", tmp_path / "out")


def test_two_files_of_one_clip(data: Path, tmp_path: Path) -> None:
    write_audio(data / "dog" / "session0" / "0.flac")
    with pytest.raises(UserError, match=r"two files of one clip, dog/session0/0|two clips"):
        prepare_folder(data, tmp_path / "out")


def write_table(data: Path, text: str, name: str = "clips.csv") -> Path:
    (data / name).write_text(text, encoding="utf-8")
    return data / name


def paths(data: Path) -> list[str]:
    return sorted(path.relative_to(data).as_posix() for path in data.rglob("*.wav"))


def test_a_table_with_speakers(data: Path, tmp_path: Path) -> None:
    lines = [f"{path}, {path.split('/')[0]}, s{Path(path).stem}" for path in paths(data)]
    table = write_table(data, "\ufeffpath,label,speaker\n" + "\n".join(lines) + "\n\n")
    prepare_table(table, tmp_path / "out")
    found = contents(tmp_path / "out")
    speakers = {name: {speaker for _, _, speaker in each} for name, each in found.items()}
    assert sorted(len(each) for each in speakers.values()) == [1, 1, 3]
    assert set.union(*speakers.values()) == {f"s{i}" for i in range(5)}
    assert sum(map(len, found.values())) == 10


@pytest.mark.parametrize("has_valid", [True, False])
def test_a_table_that_says_who_goes_where(has_valid: bool, data: Path, tmp_path: Path) -> None:
    split = dict(enumerate(["train", "train", "valid" if has_valid else "train", "train", "test"]))
    lines = [f"{data / p}\t{p.split('/')[0]}\tn\t{split[int(Path(p).stem)]}" for p in paths(data)]
    table = write_table(data, "path\tlabel\tnote\tsplit\n" + "\n".join(lines), "clips.tsv")
    prepare_table(table, tmp_path / "out")
    found = contents(tmp_path / "out")
    assert {Path(clip_id).stem for clip_id, _, _ in found["test"]} == {"4"}
    if has_valid:
        assert {Path(clip_id).stem for clip_id, _, _ in found["valid"]} == {"2"}
    assert {name: len(each) for name, each in found.items()} == {"train": 6, "valid": 2, "test": 2}


def test_a_table_is_looked_at_again_when_it_changed(data: Path, tmp_path: Path) -> None:
    lines = [f"{path},{path.split('/')[0]}" for path in paths(data)]
    prepare_table(write_table(data, "\n".join(["path,label", *lines])), tmp_path / "out")
    prepare_table(write_table(data, "\n".join(["path,label", *lines[1:]])), tmp_path / "out")
    assert sum(map(len, contents(tmp_path / "out").values())) == 9


GOOD = "dog/session0/0.wav,dog\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1:1: no column 'path'; found are none; expected a table whose first line names"),
        ("path,label\n", "has no rows"),
        ("file,label\n" + GOOD, ":1:1: no column 'path'; found are file, label"),
        ("path,labels\n" + GOOD, "no column 'label'; found are path, labels (did you mean 'labels'?)"),
        ("path,label,path\n", ":1:1: two columns named 'path'"),
        ("path,label\n" + GOOD + "dog/9.wav,dog\ncat/9.wav,cat\n", "csv:3:1: there is no file"),
        ("path,label\n" + GOOD + "dog/9.wav,dog\ncat/9.wav,cat\n", "csv:4:1: there is no file"),
        ("path,label\n" + GOOD + "cat/session0/0.wav,cat\n" + GOOD, ":4:1: dog/session0/0.wav stands here a"),
        ("path,label\n" + GOOD + "cat/session0/0.wav\n", ":3:1: 1 cells; expected 2, as columns"),
        ("path,label\n" + GOOD + "cat/session0/0.wav,\n", ":3:1: no label"),
        ("path,label,split\ncat/session0/0.wav,cat,tset\n" + GOOD[:-1] + ",dev\n", "did you mean 'test'?"),
        ("path,label,speaker\ncat/session0/0.wav,cat,a\n" + GOOD[:-1] + ",\n", ":3:1: no speaker"),
        ("path,label\n" + GOOD + "cat/session0/0.wav,cat\n", "1 clips of the label 'dog'"),
        ("path,label\n" + GOOD, "one label in"),
    ],
)
def test_a_table_with_mistakes(text: str, told: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prepare_table(write_table(data, text), tmp_path / "out")
    assert told in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        read_table(tmp_path / "none.csv", ["path"])
    (tmp_path / "x.csv").write_bytes(b"path\xff\xfe\n")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_table(tmp_path / "x.csv", ["path"])


def test_a_table_of_json_lines_does_as_a_csv(data: Path, tmp_path: Path) -> None:
    rows = [{"path": path, "text": f'say "{path}", twice\u2028', "take": 3} for path in paths(data)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    prepare_transcripts(write_table(data, "\n".join([*lines, ""]), "a.jsonl"), tmp_path / "json")
    with (data / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "text", "take"])
        writer.writeheader()
        writer.writerows(rows)
    prepare_transcripts(data / "a.csv", tmp_path / "csv")
    assert contents(tmp_path / "json") == contents(tmp_path / "csv")
    assert sum(map(len, contents(tmp_path / "json").values())) == len(rows)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['{"path": "a.wav", "text": "a"}', "{"], "t.jsonl:2:1: not JSON"),
        (['["a.wav", "a"]'], ":1:1: a list; expected one object a line"),
        (['{"path": "a.wav", "txt": "a"}'], ":1:1: no column 'text'; found are path, txt (did"),
        (['{"path": "a.wav", "text": 5}'], ":1:1: text is 5; expected text, in quotes"),
        (['{"path": "a.wav", "text": " "}'], ":1:1: no text"),
        (['{"path": "a.wav", "text": "\\ud800"}'], ":1:1: text is no Unicode"),
        (['{"path": "a", "text": "a", "split": "test"}', "", '{"path": "b", "text": "b"}'], ":3:1: no split"),
        (['{"path": "a", "text": "a"}', '{"path": "b", "text": "b", "split": "test"}'], ":2:1: a split"),
        ([""], "has no rows; expected a table"),
    ],
)
def test_json_lines_with_mistakes(lines: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError) as caught:
        read_table(tmp_path / "t.jsonl", ["path", "text"], ["speaker", "split"])
    assert told in str(caught.value)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder; expected a table"):
        read_table(tmp_path, ["path", "text"])


def test_cells_may_be_quoted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('path,label\n"a, b.wav","two\nlines"\nc.wav,d\n')
    rows = read_table(tmp_path / "x.csv", ["path", "label"])
    assert [row for _, row in rows] == [
        {"path": "a, b.wav", "label": "two\nlines"},
        {"path": "c.wav", "label": "d"},
    ]
    assert rows[1][0].line == 4


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text('path,label\n"a,b\n' + "c,d\n" * 40_000)
    with pytest.raises(UserError, match="not a table") as caught:
        read_table(table, ["path", "label"])
    assert "quote" in caught.value.do


def test_transcripts_are_shared_out_one_by_one(data: Path, tmp_path: Path) -> None:
    """No two texts are the same, so there is nothing to balance; each clip keeps its own."""
    said = {path.removesuffix(".wav"): f"text {number}" for number, path in enumerate(paths(data))}
    lines = [f"{name}.wav,{text}" for name, text in said.items()]
    prepare_transcripts(write_table(data, "path,text\n" + "\n".join(lines)), tmp_path / "out")
    found = contents(tmp_path / "out")
    assert {name: len(each) for name, each in found.items()} == {"train": 7, "valid": 1, "test": 2}
    assert {clip_id: text for each in found.values() for clip_id, text, _ in each} == said


def test_transcripts_keep_speakers_apart_and_obey_a_split(data: Path, tmp_path: Path) -> None:
    lines = [f"{path},the same text,s{Path(path).stem}" for path in paths(data)]
    prepare_transcripts(write_table(data, "path,text,speaker\n" + "\n".join(lines)), tmp_path / "a")
    speakers = [{speaker for _, _, speaker in each} for each in contents(tmp_path / "a").values()]
    assert sorted(map(len, speakers)) == [1, 1, 3]
    assert len(set.union(*speakers)) == 5
    lines = [f"{path},t {path},{'test' if path.startswith('dog') else 'train'}" for path in paths(data)]
    prepare_transcripts(write_table(data, "path,text,split\n" + "\n".join(lines)), tmp_path / "b")
    found = contents(tmp_path / "b")
    assert {clip_id.split("/")[0] for clip_id, _, _ in found["test"]} == {"dog"}
    assert {clip_id.split("/")[0] for name in ("train", "valid") for clip_id, _, _ in found[name]} == {"cat"}
    assert len(found["valid"]) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\n" + GOOD, ":1:1: no column 'text'; found are path, label"),
        ("path,text\ncat/session0/0.wav,\n", ":2:1: no text"),
        ("path,text\n" + GOOD, "1 clips; expected 3 or more"),
    ],
)
def test_transcripts_with_mistakes(text: str, told: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prepare_transcripts(write_table(data, text), tmp_path / "out")
    assert told in str(error.value)
