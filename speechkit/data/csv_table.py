"""Tables of a corpus, as CSV or JSON lines: rows with the places they stand at."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechkit.errors import Place, UserError, suggest

Row = dict[str, str]


def read_table(
    path: str | os.PathLike[str], required: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[Place, Row]]:
    """The rows of a CSV file (`.tsv`: by tabs), each with its line; its first line names the columns.

    Of a `.jsonl` file each line is an object, {"path": "a.wav", ...}, whose values are text. A row holds the
    columns asked for, without blanks around them; an optional column that is not there is left out. Other
    columns are not read.

    Raises:
        UserError: no such file, not UTF-8, no rows, a column that is missing (those found are named), a row
            with more or fewer cells than columns, a line that is no object of texts, or an empty cell of a
            required column (with their lines)
    """
    path = Path(path)
    text = _read_text(path, _form(required, optional))
    read = _json_rows if path.suffix.lower() == ".jsonl" else _csv_rows
    rows = []
    for place, row in read(path, text, required, optional):
        row = {name: row[name].strip() for name in (*required, *optional) if name in row}
        for name in required:
            if not row[name]:
                raise UserError(f"no {name}", expected="text in this column", place=place)
        rows.append((place, row))
    if not rows:
        raise UserError(f"{path} has no rows", expected=_form(required, optional))
    return rows


def _read_text(path: Path, expected: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}", expected=expected) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder", expected=expected) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", do="save it as UTF-8") from None


def _csv_rows(
    path: Path, text: str, required: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[Place, Row]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [column.strip() for column in next(reader, [])]
    _check_columns(columns, required, optional, Place(str(path), 1))
    for cells in _lines(reader, path):
        place = Place(str(path), reader.line_num)
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise UserError(f"{len(cells)} cells", expected=f"{len(columns)}, as columns", place=place)
        yield place, dict(zip(columns, cells, strict=True))


def _json_rows(
    path: Path, text: str, required: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[Place, Row]]:
    given: set[str] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(str(path), number)
        row = _parse_object(line, place)
        _check_columns(list(row), required, (), place)
        row = {name: _check_text(name, row[name], place) for name in (*required, *optional) if name in row}
        given = set(row) if given is None else given
        if differing := given ^ set(row):
            said = "no" if differing & given else "a"
            expected = "the same names in every line"
            raise UserError(f"{said} {min(differing)}", expected=expected, place=place)
        yield place, row


def _parse_object(line: str, place: Place) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"not JSON: {error}", expected="one object a line", place=place) from None
    if not isinstance(row, dict):
        raise UserError(f"a {type(row).__name__}", expected="one object a line", place=place)
    return row


def _check_text(name: str, value: Any, place: Place) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} is {value!r}", expected="text, in quotes", place=place)
    try:
        value.encode()
    except UnicodeEncodeError:
        found = f"{name} is no Unicode: {value!r}"
        raise UserError(found, expected="whole characters", place=place) from None
    return value


def _form(required: Sequence[str], optional: Sequence[str]) -> str:
    also = f" (and if you have them {', '.join(optional)})" if optional else ""
    return f"a table whose first line names the columns {', '.join(required)}{also}, or .jsonl with these"


def _check_columns(
    columns: Sequence[str], required: Sequence[str], optional: Sequence[str], place: Place
) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        found = ", ".join(columns) or "none"
        raise UserError(
            f"no column {missing[0]!r}; found are {found}{suggest(missing[0], columns)}",
            expected=_form(required, optional),
            place=place,
        )
    twice = [name for name in (*required, *optional) if columns.count(name) > 1]
    if twice:
        raise UserError(f"two columns named {twice[0]!r}", do="rename one", place=place)


def _lines(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:  # a quote that is never closed makes one cell of all that follows
        place = Place(str(path), reader.line_num)
        raise UserError(
            f"not a table: {error}", do="look for a quote that is not closed", place=place
        ) from None
