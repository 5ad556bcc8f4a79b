"""The files of a run folder: reading with `file:line`, writing whole or not at all.

`run.json`, `model.json`, `clips/index.json` and `report.json` carry the number of their schema; the lines of
`log.jsonl`, `events.jsonl` and `predictions/<subset>.jsonl` follow the number in `run.json`.
"""

import json
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speechkit.errors import Place, UserError, UserErrors
from speechkit.report.schemas import FORMATS, TASK_RECORDS
from speechkit.report.shapes import Misfit, find_misfits


def validate(kind: str, value: Any, *, file: str | Path, line: int = 1) -> None:
    """Check a value against the format `kind`, one of `FORMATS`.

    Raises:
        UserErrors: all places that do not fit, each with file, line and key.

    >>> validate("event", {"event": 3}, file="events.jsonl", line=7)
    Traceback (most recent call last):
    speechkit.errors.UserErrors: events.jsonl:7:1 event: 3; expected text
    """
    _refuse(find_misfits(value, FORMATS[kind]), file, line)


def validate_record(record: Any, *, task: str = "", file: str | Path, line: int = 1) -> None:
    """Check a record of `predictions/<subset>.jsonl`, and what its task asks of it."""
    validate("record", record, file=file, line=line)
    if task in TASK_RECORDS and record["skipped"] is None:
        _refuse(find_misfits(record, TASK_RECORDS[task]), file, line)


def _refuse(found: Iterable[Misfit], file: str | Path, line: int) -> None:
    misfits = list(found)
    if misfits:
        place = Place(str(file), line)
        raise UserErrors(UserError(m.found, expected=m.expected, place=place, key=m.key) for m in misfits)


def read_json(path: str | Path, kind: str) -> dict:
    """A checked JSON file."""
    value = _parse(_read_text(path), path, 1)
    validate(kind, value, file=path)
    return value


def read_log(path: str | Path) -> list[dict]:
    """Lines of `log.jsonl`, kinds "step" and "epoch"; a last line cut off by a kill is left out."""
    lines = _read_lines(path, tolerate_cut=True)
    for number, value in lines:
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in ("step", "epoch"):
            place = Place(str(path), number)
            raise UserError(f"a line of kind {kind!r}", expected="'step' or 'epoch'", place=place, key="kind")
        validate(kind, value, file=path, line=number)
    return [value for _, value in lines]


def read_events(path: str | Path) -> list[dict]:
    """Lines of `events.jsonl`; a last line cut off by a kill is left out."""
    lines = _read_lines(path, tolerate_cut=True)
    for number, value in lines:
        validate("event", value, file=path, line=number)
    return [value for _, value in lines]


def read_records(path: str | Path, task: str = "") -> list[dict]:
    """Records of a `predictions/<subset>.jsonl`, one an utterance."""
    lines = _read_lines(path, tolerate_cut=False)
    for number, value in lines:
        validate_record(value, task=task, file=path, line=number)
    return [value for _, value in lines]


def read_lines(path: str | Path, kind: str) -> list[dict]:
    """Lines of a file that was written whole, each checked against a format."""
    lines = _read_lines(path, tolerate_cut=False)
    for number, value in lines:
        validate(kind, value, file=path, line=number)
    return [value for _, value in lines]


def write_lines(path: str | Path, lines: Iterable[dict], kind: str) -> None:
    """Write checked values as lines of JSON, whole or not at all."""
    texts = []
    for number, value in enumerate(lines, start=1):
        validate(kind, value, file=path, line=number)
        texts.append(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(path, encode("".join(texts)))


def write_records(path: str | Path, records: Iterable[dict], task: str = "") -> None:
    """Write checked records, sorted by id, as `predictions/<subset>.jsonl`; a number that is none as null."""
    lines = []
    for number, record in enumerate(sorted(records, key=lambda record: record["id"]), start=1):
        record = replace_nonfinite(record)
        validate_record(record, task=task, file=path, line=number)
        lines.append(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(path, encode("".join(lines)))


def write_json(path: str | Path, value: dict, kind: str) -> None:
    """Write a checked JSON file, whole or not at all; folders are made."""
    validate(kind, value, file=path)
    write_atomic(path, encode(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"))


def replace_nonfinite(value: Any) -> Any:
    """The same plain value with null for each NaN and infinity, which JSON does not have.

    >>> replace_nonfinite({"loss": float("nan"), "top": [["yes", 0.5]]})
    {'loss': None, 'top': [['yes', 0.5]]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    return value


def encode(text: str) -> bytes:
    """UTF-8; half characters, as a file name that is not UTF-8 leaves in an id, become question marks."""
    return text.encode("utf-8", "replace")


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write beside, sync, rename: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _read_lines(path: str | Path, *, tolerate_cut: bool) -> list[tuple[int, Any]]:
    lines = _read_text(path).split("\n")
    cut = lines.pop()  # what follows the last newline
    if cut.strip() and not tolerate_cut:
        lines.append(cut)
    return [
        (number, _parse(line, path, number)) for number, line in enumerate(lines, start=1) if line.strip()
    ]


def _parse(text: str, path: str | Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = Place(str(path), line + error.lineno - 1, error.colno)
        raise UserError(f"not JSON ({error.msg})", place=place) from None
    except (RecursionError, ValueError) as error:  # too deep; a whole number of thousands of digits
        raise UserError(f"not readable as JSON ({error})", place=Place(str(path), line)) from None
