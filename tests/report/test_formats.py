"""Reading and writing the files of a run folder: mistakes are told with file, line and key."""

import contextlib
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import UserError, UserErrors
from speechkit.report import (
    read_events,
    read_json,
    read_log,
    read_records,
    replace_nonfinite,
    validate,
    validate_record,
    write_atomic,
    write_json,
    write_records,
)


def test_records_come_back_as_written_sorted_by_id(tmp_path: Path, fake) -> None:
    records = fake.make_records()
    path = tmp_path / "deep" / "test.jsonl"
    write_records(path, reversed(records), "classification")
    assert read_records(path, "classification") == sorted(records, key=lambda record: record["id"])
    assert path.read_bytes().count(b"\n") == len(records)


def test_a_bad_record_is_told_with_file_line_and_key(tmp_path: Path, fake) -> None:
    records = fake.make_records(n=3, n_skipped=0)
    records[1]["counts"] = {"correct": "one", "total": 1}
    records[2]["hypothesis"] = 7
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(UserError) as caught:
        read_records(path)
    assert str(caught.value) == f"{path}:2:1 counts.correct: 'one'; expected a number"


def test_what_a_task_asks_of_records_is_checked(fake) -> None:
    record = fake.make_records(n=1, n_skipped=0)[0] | {"reference": None, "counts": {"total": 1}}
    validate_record(record, file="a.jsonl")  # a task without references or "correct"
    with pytest.raises(UserErrors) as caught:
        validate_record(record, task="classification", file="a.jsonl", line=4)
    assert [error.key for error in caught.value.errors] == ["reference", "counts.correct"]
    validate_record(record | {"skipped": "unreadable"}, task="classification", file="a.jsonl")


def test_numbers_that_json_lacks_are_written_as_null(tmp_path: Path, fake) -> None:
    record = fake.make_records(n=1, n_skipped=0)[0]
    record["scores"] = {"loss": float("nan"), "probability": float("inf"), "top": [("yes", float("nan"))]}
    write_records(tmp_path / "a.jsonl", [record], "classification")
    (back,) = read_records(tmp_path / "a.jsonl", "classification")
    assert back["scores"] == {"loss": None, "probability": None, "top": [["yes", None]]}
    assert "NaN" not in (tmp_path / "a.jsonl").read_text()


def test_a_writer_refuses_what_a_reader_would(tmp_path: Path, fake) -> None:
    with pytest.raises(UserError, match="seconds: 'long'; expected a number from 0 on or null"):
        write_records(tmp_path / "a.jsonl", [fake.make_records(n=1)[0] | {"seconds": "long"}])
    with pytest.raises(UserError, match=r"run\.json:1:1 seed: -1"):
        write_json(tmp_path / "run.json", fake.make_description(seed=-1), "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"run\.json:1:2: not JSON \(Expecting property name"),
        ('{\n"schema": 1,\n"task" "x"}', r"run\.json:3:8: not JSON"),
        ("[]", r"run\.json:1:1: a list; expected a mapping"),
        ("", r"run\.json:1:1: not JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("9" * 10_000, "not readable as JSON"),
        ('{"schema": 2}', r"run\.json:1:1 schema: 2; expected 1"),
        (b"\xff\xfe", "run.json is not UTF-8 text"),
    ],
)
def test_damaged_json_is_told_without_a_traceback(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_json(path, "run")


@given(st.binary(max_size=60))
def test_no_bytes_bring_a_reader_down(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    for read in (read_log, read_records, read_events, lambda path: [read_json(path, "model")]):
        with contextlib.suppress(UserError):
            assert isinstance(read(path), list)


def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path: Path, fake) -> None:
    lines = fake.make_log(n_epochs=2)
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines)[:-30])
    assert read_log(path) == lines[:-1]
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in lines).replace('"kind": "epoch"', '"kind: "e', 1)
    )
    with pytest.raises(UserError, match=r"log\.jsonl:5:\d+: not JSON"):
        read_log(path)


def test_records_are_written_whole_so_a_cut_one_is_damage(tmp_path: Path, fake) -> None:
    path = tmp_path / "test.jsonl"
    write_records(path, fake.make_records(n=2, n_skipped=0))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"test\.jsonl:2:\d+: not JSON"):
        read_records(path)


def test_a_log_line_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "batch"}\n')
    with pytest.raises(UserError, match=r"log\.jsonl:1:1 kind: a line of kind 'batch'; expected 'step' or"):
        read_log(path)


def test_losses_of_named_optimizers_and_of_diverged_steps_are_lines_too() -> None:
    step = {"kind": "step", "step": 1, "epoch": 1, "learning_rate": {"generator": 1e-3, "critic": None}}
    for line in (
        step,
        step | {"loss_generator": 1.0, "gradient_norm": {"generator": None}},
        step | {"loss": None},
    ):
        validate("step", line, file="log.jsonl")


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_written_files_have_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_atomic(tmp_path / "ours", b"")
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "ours"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(usual)


def test_replace_nonfinite_leaves_the_rest() -> None:
    value = {"a": [1, 2.5, "x", None, True], "b": {"c": float("-inf")}}
    assert replace_nonfinite(value) == {"a": [1, 2.5, "x", None, True], "b": {"c": None}}
