"""`speechkit classify`."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .conftest import RATE, Typed


def test_classify_prints_words_with_probabilities(typed: Typed, trained: Path) -> None:
    files = [trained / "valid0.wav", trained / "valid1.wav"]
    code, told, complaints = typed("classify", trained / "run", *files)
    assert (code, complaints) == (0, "")
    rows = [line.split("\t") for line in told.splitlines()]
    assert [row[0] for row in rows] == [str(file) for file in files]
    records = [json.loads(line) for line in (trained / "run" / "predictions" / "test.jsonl").open()]
    for row, record in zip(rows, records, strict=False):
        found = [(label, float(share)) for label, share in (cell.split(" ") for cell in row[1:])]
        assert [label for label, _ in found] == [label for label, _ in record["scores"]["top"]]
        assert [s for _, s in found] == pytest.approx([s for _, s in record["scores"]["top"]], abs=6e-4)


def test_classify_tells_of_files_that_cannot_be_read_and_labels_the_others(
    typed: Typed, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "samples.raw").write_bytes(b"1234")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), RATE, subtype="FLOAT")
    bad = [tmp_path / name for name in ("text.wav", "empty.wav", "nan.wav", "samples.raw", "none.wav")]
    code, told, complaints = typed("classify", trained / "run", *bad, trained / "valid0.wav", tmp_path)
    assert code == 2
    assert [line.split("\t")[0] for line in told.splitlines()] == [str(trained / "valid0.wav")]
    for path in (*bad, tmp_path):
        assert str(path) in complaints
    assert len(complaints.splitlines()) == 6


def test_classify_shows_as_many_labels_as_asked(typed: Typed, trained: Path) -> None:
    for given, n_shown in (("1", 1), ("9", 2)):
        _, told, _ = typed("classify", trained / "run", trained / "valid0.wav", "--top", given)
        assert len(told.strip().split("\t")) == 1 + n_shown
    for given in ("0", "-1", "x"):
        code, _, complaints = typed("classify", trained / "run", trained / "valid0.wav", "--top", given)
        assert (code, "--top" in complaints) == (2, True)


def test_classify_with_what_is_no_run(typed: Typed, tmp_path: Path) -> None:
    code, told, complaints = typed("classify", tmp_path, tmp_path / "a.wav")
    assert (code, told) == (2, "")
    assert "expected the output folder of a training run" in complaints
