"""Alignments in a run's folder: packed small, drawn as they are, and damaged ones told with their line."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.report import pack_alignment, read_run, write_alignments, write_records
from speechkit.report import write_report as write
from speechkit.report.alignments import MAX_COLUMNS, MAX_ROWS, draw_alignment, name_rows

from .test_recognition import HOSTILE, make_record, make_run
from .test_timed_text import read_textgrid

SPANS = [[0.04, 0.08], [0.08, 0.12], [0.2, 0.24]]


def make_line(name: str = "u000", kind: str = "ctc", weights: Any = None, **changes: Any) -> dict[str, Any]:
    weights = np.eye(3, 9) if weights is None else weights
    line = {"id": name, "kind": kind, "tokens": ["a", " ", "b"], **pack_alignment(weights, 0.04)}
    return line | ({"spans": SPANS} if kind == "ctc" else {}) | changes


def run_with(folder: Path, fake: Any, *lines: dict[str, Any]) -> Path:
    record = make_record(0, "a c", "a b") | {"words": [["a", 0.04, 0.08, -1.0], ["b", 0.2, 0.24, -2.0]]}
    run = make_run(folder, fake, [record, make_record(1, "a", "a")])
    write_alignments(run, "test", lines)
    return run


def pixels(page: str) -> list[np.ndarray]:
    """The pictures of a page, (H, W, 4) from 0 to 1."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(each)), format="png") for each in found]


@given(st.integers(1, 3 * MAX_COLUMNS), st.integers(1, 5), st.integers(0, 99))
def test_nothing_is_lost_where_time_is_put_together(n_frames: int, n_tokens: int, seed: int) -> None:
    """Each token's largest weight stays, at its time, to half a level."""
    weights = np.random.default_rng(seed).random((n_tokens, n_frames)) ** 4
    packed = pack_alignment(weights, 0.01)
    levels = np.array([[int(cell, 16) for cell in row] for row in packed["rows"]])
    assert levels.shape[1] <= MAX_COLUMNS
    largest = packed["largest"] * levels.max(1) / 15
    np.testing.assert_allclose(largest, weights.max(1), atol=packed["largest"] / 29)
    places = levels.shape[1] * packed["frame_seconds"], n_frames * 0.01
    assert -1e-9 < places[0] - places[1] < packed["frame_seconds"] + 1e-9
    row, frame = np.unravel_index(weights.argmax(), weights.shape)
    assert levels[row, int((frame + 0.5) * 0.01 / packed["frame_seconds"])] == 15


def test_what_is_long_is_bounded() -> None:
    packed = pack_alignment(np.random.default_rng(0).random((1000, 5000)), 0.04)
    assert (len(packed["rows"]), len(packed["rows"][0])) == (MAX_ROWS, 385)
    assert len(json.dumps(packed)) < 90_000
    assert pack_alignment(np.zeros((2, 3)), 0.04)["rows"] == ["000", "000"]
    picture = draw_alignment(make_line(tokens=["x"] * 1000, **packed, spans=None))
    assert picture is not None
    assert len(picture.address) < 100_000
    assert (picture.n_rows, picture.n_tokens, picture.height) == (MAX_ROWS, 1000, 400)


def test_the_picture_is_the_weights(tmp_path: Path, fake: Any) -> None:
    weights = np.array([[0.0, 0.2, 0.4], [0.4, 0.0, 0.1], [0.0, 0.0, 0.4]])
    lines = [make_line(weights=weights), make_line(kind="attention", weights=np.eye(3, 4))]
    page = write(run_with(tmp_path / "run", fake, *lines)).read_text()
    ctc, attention = pixels(page)
    levels = np.rint(15 * weights / 0.4) / 15
    np.testing.assert_allclose(ctc[:, :, 3], levels**0.7, atol=1 / 255)
    assert attention[:, :, 3].tolist() == np.eye(3, 4).tolist()
    assert len(np.unique(ctc[:, :, :3].reshape(-1, 3), axis=0)) == 1
    assert "CTC: when each token is said" in page
    assert "Attention: where the decoder listens" in page
    assert '<span title="␣">␣</span>' in page


def test_a_page_without_alignments_has_no_pictures(tmp_path: Path, fake: Any) -> None:
    run = run_with(tmp_path / "run", fake)
    page = write(run).read_text()
    assert pixels(page) == []
    assert 'class="heat"' not in page
    assert draw_alignment(make_line(tokens=[], rows=[], spans=[])) is None


def test_textgrids_hold_words_and_tokens(tmp_path: Path, fake: Any) -> None:
    run = run_with(tmp_path / "run", fake, make_line(), make_line(kind="attention"))
    write(run)
    (grid,) = (run / "alignments" / "test").iterdir()
    assert grid.name == "u000.TextGrid"
    tiers = read_textgrid(grid.read_text())
    assert [each for each in tiers["words"] if each[0]] == [("a", 0.04, 0.08), ("b", 0.2, 0.24)]
    assert [each for each in tiers["tokens"] if each[0]] == [
        (name, *span) for name, span in zip(["a", " ", "b"], SPANS, strict=True)
    ]
    assert tiers["words"][-1][2] == 2.0, "to the end of the utterance"
    write_alignments(run, "test", [])
    assert not grid.exists(), "what was shown before is not left beside what is shown now"


@given(st.lists(st.sampled_from(["a", "bc", " ", "\u2581d", "\u2581"]), max_size=60), st.floats(1, 20))
def test_names_stand_for_all_rows_and_have_room(tokens: list[str], row_pixels: float) -> None:
    names = name_rows(tokens, row_pixels)
    assert sum(n_rows for _, n_rows in names) == len(tokens)
    if row_pixels < 14:
        assert all(n_rows * row_pixels >= 14 for _, n_rows in names[:-1])
    said = "".join(tokens).replace("\u2581", " ").split()
    if row_pixels < 14 and any(token == " " or "\u2581" in token for token in tokens):
        assert " ".join(name for name, _ in names).split() == said


def test_other_peoples_tokens_stay_text(tmp_path: Path, fake: Any) -> None:
    line = make_line(name=HOSTILE, tokens=[HOSTILE, " ", HOSTILE])
    run = run_with(tmp_path / "run", fake, line)
    records = [make_record(0, "a c", "a b") | {"id": HOSTILE}]
    write_records(run / "predictions" / "test.jsonl", records, "asr")
    page = write(run).read_text()
    assert "<script" not in page
    assert len(re.findall("<img ", page)) == 1
    assert len(list((run / "alignments" / "test").iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": ["00", "0"]}, "rows: rows; expected rows of one length"),
        ({"rows": ["0g"]}, "digits from 0 to f"),
        ({"rows": ["0"] * 4}, "no more than tokens"),
        ({"spans": [[0.0, 0.1]]}, "spans: 1 spans; expected one a token"),
        ({"kind": "guess"}, "kind: 'guess'"),
        ({"frame_seconds": -1}, "frame_seconds: -1; expected a number from 0 on"),
    ],
)
def test_damage_is_told_with_its_line(change: dict[str, Any], told: str, tmp_path: Path, fake: Any) -> None:
    run = run_with(tmp_path / "run", fake)
    text = "".join(json.dumps(line) + "\n" for line in (make_line(), make_line() | change))
    (run / "alignments" / "test.jsonl").write_text(text)
    with pytest.raises(UserError, match=rf"test\.jsonl:2:1 {told}" if ":" in told else told):
        read_run(run)
