"""The synthetic LibriSpeech, and prepare() of its layout, on it and on real LibriSpeech."""

import hashlib
import importlib.util
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse.dataset import SimpleCutSampler

from speechkit.data import CutBatches, read_cuts, synthesize_librispeech
from speechkit.data.librispeech_synthesis import draw_sentences, read_sentences
from speechkit.data.sentences import vocabulary
from speechkit.errors import UserError

SMALL = {"seed": 3, "n_voices": 7, "n_utterances": 14}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    pytest.importorskip("espeakng_loader", reason="speech synthesis needs the extra speechkit[synth]")
    return synthesize_librispeech(tmp_path_factory.mktemp("synth") / "corpus", **SMALL)


@pytest.fixture(scope="module")
def prepare():
    path = Path(__file__).resolve().parents[2] / "recipes" / "LibriSpeech" / "prepare.py"
    spec = importlib.util.spec_from_file_location("prepare_librispeech", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepare


def transcripts(corpus: Path) -> dict[str, str]:
    lines = [line for path in corpus.rglob("*.trans.txt") for line in path.read_text().splitlines()]
    return dict(line.split(" ", 1) for line in lines)


def test_every_sentence_has_its_file_and_its_speaker(corpus):
    texts = transcripts(corpus)
    files = {path.stem: path for path in corpus.rglob("*.flac")}
    assert texts.keys() == files.keys()
    assert len(texts) == 14
    for name, path in files.items():
        speaker, chapter, _ = name.split("-")
        assert path.parent == path.parents[2] / speaker / chapter
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        n_letters = len(texts[name])
        assert 0.03 < info.duration / n_letters < 0.15, "as long as such a sentence takes to read"
    subsets = {
        path.name: {each.name for each in path.iterdir()} for path in corpus.iterdir() if path.is_dir()
    }
    assert {name: len(speakers) for name, speakers in subsets.items()} == {
        "train-clean-100": 4, "dev-clean": 1, "test-clean": 2
    }  # fmt: skip
    assert len(set.union(*subsets.values())) == 7, "no speaker is in two subsets"


def test_sentences_are_of_the_vocabulary_and_in_one_subset_only():
    drawn = draw_sentences(2000, seed=1)
    every = [sentence for sentences in drawn.values() for sentence in sentences]
    assert len(set(every)) == 2000
    assert {word for sentence in every for word in sentence.split()} == set(vocabulary())
    seen = {word for sentence in drawn["train"] for word in sentence.split()}
    assert seen == set(vocabulary()), "no test word was never trained"


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(corpus, tmp_path):
    def digest(folder: Path) -> str:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    again = synthesize_librispeech(tmp_path / "again", **SMALL)
    assert digest(again) == digest(corpus)
    other = synthesize_librispeech(tmp_path / "other", **{**SMALL, "seed": 4})
    assert transcripts(other) != transcripts(corpus)


def test_a_finished_corpus_is_left_and_another_refused(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.flac")}
    assert synthesize_librispeech(corpus.parent, **SMALL) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.flac")} == before
    with pytest.raises(UserError, match="corpus of another n_utterances"):
        synthesize_librispeech(corpus.parent, **{**SMALL, "n_utterances": 20})
    with pytest.raises(UserError, match="n_utterances: 3"):
        synthesize_librispeech(corpus.parent, n_voices=7, n_utterances=3)


@pytest.mark.parametrize("inner", [True, False])
def test_prepare_writes_all_utterances_with_text_and_speaker(corpus, prepare, tmp_path, inner):
    prepare(str(corpus if inner else corpus.parent), str(tmp_path), test_subsets=["test-clean", "dev-clean"])
    texts = transcripts(corpus)
    found = {}
    for subset in ("train", "valid", "test-clean"):
        for cut in read_cuts(tmp_path / f"{subset}.jsonl"):
            (segment,) = cut.supervisions
            found[cut.id] = segment.text
            assert segment.speaker == cut.id.split("-")[0]
            assert np.isclose(cut.duration, soundfile.info(cut.recording.sources[0].source).duration)
    assert found == texts
    valid = (tmp_path / "valid.jsonl").read_text()
    assert (tmp_path / "dev-clean.jsonl").read_text() == valid, "one subset may be validation and test"


def test_a_missing_subset_is_named(corpus, prepare, tmp_path):
    with pytest.raises(
        UserError, match=r"lacks train-clean-360.*there are dev-clean, test-clean, train-clean"
    ):
        prepare(str(corpus), str(tmp_path), train_subsets=["train-clean-360"])
    with pytest.raises(UserError, match="there is no folder"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path))
    with pytest.raises(UserError, match=r"no subset test-cleen of LibriSpeech.*test-clean"):
        prepare(str(corpus), str(tmp_path), test_subsets=["test-cleen"], download=True)


def test_real_librispeech_is_read(real_data, prepare, tmp_path):
    corpus = real_data / "librispeech" / "LibriSpeech"
    if not corpus.is_dir():
        pytest.skip(f"no LibriSpeech at {corpus}: set SPEECHKIT_DATA to a folder that has it")
    subsets = {"train_subsets": ["test-other"], "valid_subsets": ["dev-clean"], "test_subsets": ["dev-clean"]}
    prepare(str(corpus), str(tmp_path), **subsets)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert len(lines) == 80
    assert len({line["supervisions"][0]["speaker"] for line in lines}) == 8
    assert all(line["supervisions"][0]["text"].isupper() for line in lines)
    with pytest.raises(UserError, match="train-clean-100 has no transcripts"):
        prepare(str(corpus), str(tmp_path), **{**subsets, "train_subsets": ["train-clean-100"]})


def test_sentences_of_a_file_are_read_in_pieces_of_twelve_words_at_most(tmp_path):
    long = " ".join(f"W{number}" for number in range(25))
    (tmp_path / "texts.txt").write_text(f"12-34-0001 ONE TWO\n{long}\n\nthree\nTHREE\n")
    pieces = read_sentences(tmp_path / "texts.txt")
    assert pieces[0] == "one two"
    assert pieces[-1] == "three"
    assert [len(piece.split()) for piece in pieces] == [2, 9, 9, 7, 1]
    assert " ".join(pieces[1:-1]) == long.lower()
    drawn = draw_sentences(5, 1, pieces)
    assert sorted(piece for part in drawn.values() for piece in part) == sorted(pieces)
    with pytest.raises(UserError, match="5 different sentences for 6 utterances"):
        draw_sentences(6, 1, pieces)
    with pytest.raises(UserError, match="cannot be read"):
        read_sentences(tmp_path / "none.txt")


def test_files_of_sentences_are_read_in_their_order_without_names(tmp_path):
    (tmp_path / "text").write_text("s1-u1 GO ON\ns1-u2 2 DOGS  SLEEP\ns2-u1\n")  # Kaldi's
    (tmp_path / "1-2.trans.txt").write_text("1-2-0000 THE CAT\n1-2-0001 GO ON\n")
    (tmp_path / "plain.txt").write_text("4 birds fly\nno one sleeps")
    files = [tmp_path / name for name in ("text", "plain.txt", "1-2.trans.txt")]
    (tmp_path / "one.txt").write_text("GO ON\n2 DOGS  SLEEP\n4 birds fly\nno one sleeps\nTHE CAT\nGO ON\n")
    assert read_sentences(*files) == ["go on", "2 dogs sleep", "4 birds fly", "no one sleeps", "the cat"]
    assert read_sentences(*files) == read_sentences(tmp_path / "one.txt")
    assert read_sentences(*files[::-1])[0] == "the cat"
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"texts: .*latin\.txt cannot be read: .*utf-8"):
        read_sentences(*files, tmp_path / "latin.txt")


def test_a_corpus_is_known_by_its_sentences_and_not_by_their_files(tmp_path):
    pytest.importorskip("espeakng_loader", reason="speech synthesis needs the extra speechkit[synth]")
    given = {"n_voices": 4, "n_utterances": 4, "seed": 1}
    (tmp_path / "a.txt").write_text("u1 go\nu2 stop\n")
    (tmp_path / "b.txt").write_text("left\nright\n")
    (tmp_path / "both.txt").write_text("go\nstop\nleft\nright\n")
    folder = tmp_path / "corpus"
    corpus = synthesize_librispeech(folder, **given, texts=[tmp_path / "a.txt", str(tmp_path / "b.txt")])
    assert sorted(transcripts(corpus).values()) == ["GO", "LEFT", "RIGHT", "STOP"]
    for path in corpus.rglob("*.flac"):
        path.unlink()  # which would come back if the corpus were made again
    synthesize_librispeech(folder, **given, texts=tmp_path / "both.txt")
    assert not [*corpus.rglob("*.flac")]
    with pytest.raises(UserError, match=r"corpus of another texts \(texts sha256:.*expected texts sha256:"):
        synthesize_librispeech(folder, **given, texts=[tmp_path / "b.txt", tmp_path / "a.txt"])
    settings = json.loads((folder / "synthesis.json").read_text())
    (folder / "synthesis.json").write_text(json.dumps({**settings, "texts": "both.txt"}))  # as it was once
    with pytest.raises(UserError, match=r"another texts \(texts both\.txt\); expected texts sha256:"):
        synthesize_librispeech(folder, **given, texts=tmp_path / "both.txt")
    with pytest.raises(UserError, match="0 different sentences for 4 utterances"):
        synthesize_librispeech(tmp_path / "none", **given, texts=[])
    assert not (tmp_path / "none").exists()


@pytest.fixture
def damaged(tmp_path) -> Path:
    """One good utterance in dev-clean; in train-clean-100 one of everything that may be wrong with one."""
    rng = np.random.default_rng(0)
    for part, lines in {
        "dev-clean": ["7-8-0000 GOOD"],
        "train-clean-100": ["7-9-0000 A GOOD  ONE", "", "7-9-0001", "7-9-0002 NO FILE", "7-9-0003 NOISE",
                            "7-9-0004 CUT SHORT", "7-9-0005 EMPTY", *(f"7-9-1{n:03} NONE" for n in range(6))],
    }.items():  # fmt: skip
        chapter = tmp_path / "LibriSpeech" / part / "7" / lines[0].split("-")[1]
        chapter.mkdir(parents=True)
        (chapter / f"7-{chapter.name}.trans.txt").write_text("\n".join(lines) + "\n")
        for name in (line.split()[0] for line in lines if line and not line.endswith(("NO FILE", "NONE"))):
            soundfile.write(chapter / f"{name}.flac", rng.uniform(-0.5, 0.5, 8000), 16000)
    (chapter / "7-9-0003.flac").write_bytes(rng.bytes(5000))
    whole = (chapter / "7-9-0004.flac").read_bytes()
    (chapter / "7-9-0004.flac").write_bytes(whole[: len(whole) // 2])
    (chapter / "7-9-0005.flac").write_bytes(b"")
    return tmp_path / "LibriSpeech"


def test_what_is_missing_or_damaged_is_told_and_the_rest_is_read(damaged, prepare, tmp_path, caplog):
    manifests = tmp_path / "manifests"
    prepare(str(damaged), str(manifests), test_subsets=["dev-clean"])
    told = caplog.text
    named = ", ".join(["7-9-0002", *(f"7-9-1{n:03}" for n in range(4)), "..."])
    no_file = "7 utterances of train-clean-100 have a transcript but no file, and are left out"
    assert f"{no_file}: {named}" in told
    assert "1 utterances of train-clean-100 have no text, and are taken for silence: 7-9-0001" in told
    assert "2 files cannot be read as audio" in told
    assert "of dev-clean" not in told
    data = CutBatches(str(manifests / "train.jsonl"), partial(SimpleCutSampler, max_cuts=10), 16000)
    (batch,) = data.iterate(seed=1, epoch=1)
    assert dict(zip(batch.ids, batch.texts, strict=True)) == {"7-9-0000": "A GOOD  ONE", "7-9-0001": ""}
    assert sorted(each.id for each in batch.skipped) == ["7-9-0003", "7-9-0004", "7-9-0005"]


def test_a_transcript_that_is_no_text_is_named(damaged, prepare, tmp_path):
    (damaged / "dev-clean" / "7" / "8" / "7-8.trans.txt").write_bytes(b"7-8-0000 CAF\xc9\n")
    with pytest.raises(UserError, match=r"7-8\.trans\.txt is not UTF-8"):
        prepare(str(damaged), str(tmp_path / "manifests"), test_subsets=["dev-clean"])
