"""Sentences to batches: what is read, in which order, and how it is shared out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechkit.data import Sentence, TextBatch, TextBatches, text_lines, write_sentences
from speechkit.data.text_lines import TextTable
from speechkit.errors import UserError
from speechkit.ops.sharing import Share

quiet = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
lines = st.lists(st.text(st.sampled_from("ab é世\t\r"), max_size=9), max_size=12)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """300 sentences of 1 to 60 letters."""
    sizes = np.random.default_rng(3).integers(1, 60, 300)
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{'x' * size}\n" for size in sizes.tolist()))
    return path


def flat(batches: list[TextBatch]) -> list[str]:
    return [name for batch in batches for name in batch.ids]


def ids(data: TextBatches, seed: int, epoch: int, **more: object) -> list[list[str]]:
    return [batch.ids for batch in data.iterate(seed, epoch, **more)]


@quiet
@given(lines=lines, ends=st.booleans(), chunk=st.integers(1, 20), packed=st.booleans())
def test_plain_text_is_read_as_by_a_loop(lines, ends, chunk, packed, tmp_path, monkeypatch) -> None:
    """Blank lines left out, names by line, for any place where a chunk of the file ends."""
    monkeypatch.setattr(text_lines, "CHUNK", chunk)
    path = tmp_path / ("some.txt.gz" if packed else "some.txt")
    content = ("\n".join(lines) + "\n" * ends).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    expected = [(f"some-{n:08d}", line.strip(), None) for n, line in enumerate(lines, 1) if line.strip()]
    if not expected:
        with pytest.raises(UserError, match="no sentences"):
            TextTable([str(path)])
        return
    table = TextTable([str(path)])
    assert [table.read(number) for number in range(len(table.sizes))] == expected
    assert table.sizes.tolist() == [len(line.encode()) for line in lines if line.strip()]


def test_several_files_are_one_after_another(tmp_path: Path) -> None:
    cut = {"id": "c1", "start": 0, "supervisions": [{"text": "by voice", "speaker": "anna"}, {"text": "two"}]}
    (tmp_path / "plain.txt").write_text("one\n\nthree\n")
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut) + "\n")
    write_sentences(tmp_path / "named.jsonl", [Sentence("s1", "Ärger", "otto"), Sentence("s2", "")])
    files = [str(tmp_path / name) for name in ("plain.txt", "cuts.jsonl", "named.jsonl")]
    data = TextBatches(files, batch_size=9)
    (batch,) = data.iterate(0, 1)
    found = sorted(zip(batch.ids, batch.texts, batch.speakers, strict=True))
    assert found == [
        ("c1", "by voice two", "anna"), ("plain-00000001", "one", None), ("plain-00000003", "three", None),
        ("s1", "Ärger", "otto"), ("s2", "", None),
    ]  # fmt: skip
    assert list(data.texts()) == ["one", "three", "by voice two", "Ärger", ""]
    assert data.n_cuts() == 5


@settings(quiet, max_examples=6)
@given(
    seed=st.integers(0, 5),
    epoch=st.integers(1, 5),
    limit=st.sampled_from([{"batch_size": 7}, {"max_bytes": 200}]),
)
def test_an_epoch_is_a_function_of_seed_and_epoch(seed, epoch, limit, texts) -> None:
    data = TextBatches([str(texts)], shuffle=True, **limit)
    first = ids(data, seed, epoch)
    assert first == ids(TextBatches([str(texts)], shuffle=True, **limit), seed, epoch)
    assert sorted(flat(list(data.iterate(seed, epoch)))) == sorted(
        {name for batch in first for name in batch}
    )
    assert len({name for batch in first for name in batch}) == 300, "each sentence once"
    assert ids(data, seed, epoch, skip=5) == first[5:]
    assert ids(data, seed, epoch + 1) != first != ids(data, seed + 1, epoch)
    assert ids(data, seed + 1, epoch) != ids(data, seed, epoch + 1), "not a function of their sum"


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_processes_share_the_sequence(n_ranks: int, texts: Path) -> None:
    """Batches of a step taken in turn: together they are the sequence of one process."""
    data = TextBatches([str(texts)], batch_size=7, shuffle=True)
    turns = [list(data.iterate(1, 1, 0, Share(rank, n_ranks, 4))) for rank in range(n_ranks)]
    assert len({len(own) for own in turns}) == 1
    together = [batch.ids for turn in zip(*turns, strict=True) for batch in turn if len(batch)]
    assert together == ids(data, 1, 1)
    assert sum(batch.turn.n_cuts for batch in turns[0]) == 300


def test_batches_hold_sentences_of_like_length_within_their_limits(texts: Path) -> None:
    whole = TextBatches([str(texts)], batch_size=16, max_bytes=400, shuffle=True)
    for batch in whole.iterate(0, 1):
        sizes = [len(text) for text in batch.texts]
        assert len(sizes) <= 16
        assert len(sizes) * max(sizes) <= 400 or len(sizes) == 1
    batches = list(TextBatches([str(texts)], batch_size=10, shuffle=True).iterate(0, 1))
    padded = sum(len(batch) * max(map(len, batch.texts)) for batch in batches)
    real = sum(len(text) for batch in batches for text in batch.texts)
    assert padded < 1.1 * real
    longest = [max(map(len, batch.texts)) for batch in batches]
    assert longest != sorted(longest), "batches come in any order"


def test_the_digest_is_of_the_texts_alone(tmp_path: Path) -> None:
    def digest(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return TextBatches([str(tmp_path / name)], batch_size=1).digest()

    assert digest("a.txt", "one\ntwo\n") == digest("b.txt", "one\ntwo\n") != digest("b.txt", "one\ntoo\n")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"fine\n\n\xff\xfe\n", "a.txt:3"),
        ("a.jsonl", b'{"id": "a", "text": "b"}\n{"id": 3}\n', "a.jsonl:2"),
        ("a.jsonl", b'{"id": "a", "text": "b"}\nnonsense\n', "a.jsonl:2"),
        ("a.jsonl", b'{"id": "a", "text": "b"}\n{"id": "a", "text": "c"}\n', "two sentences with the id 'a'"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1"),
        ("a.txt.gz", b"not packed", "a.txt.gz:1"),
        ("b.txt", b"", "there is no file"),
    ],
)
def test_what_is_no_text_is_told(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told.replace(".", r"\.")):
        list(TextBatches([str(tmp_path / name)], batch_size=4).iterate(0, 1))


@pytest.mark.parametrize("settings", [{}, {"batch_size": 0}, {"max_bytes": -3}])
def test_a_batch_needs_a_size(settings: dict) -> None:
    with pytest.raises(UserError):
        TextBatches(["a.txt"], **settings)
    with pytest.raises(UserError, match="a list of paths"):
        TextBatches("a.txt", batch_size=4)
