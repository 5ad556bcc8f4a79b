"""Tables of a corpus, as CSV: rows with the places they stand at."""

import csv
import io
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

    A row holds the columns asked for, without blanks around them; an optional column that is not there is
    left out. Other columns are not read.

    Raises:
        UserError: no such file, not UTF-8, no rows, a column that is missing (those found are named), a row
            with more or fewer cells than columns, or an empty cell of a required column (with their lines)
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}", expected=_form(required, optional)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", do="save it as UTF-8") from None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ","
    )
    columns = [column.strip() for column in next(reader, [])]
    _check_columns(columns, required, optional, Place(str(path), 1))
    rows = []
    for cells in _lines(reader, path):
        place = Place(str(path), reader.line_num)
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise UserError(f"{len(cells)} cells", expected=f"{len(columns)}, as columns", place=place)
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        rows.append((place, {name: row[name] for name in (*required, *optional) if name in row}))
        for name in required:
            if not row[name]:
                raise UserError(f"no {name}", expected="text in this column", place=place)
    if not rows:
        raise UserError(f"{path} has no rows", expected=_form(required, optional))
    return rows


def _form(required: Sequence[str], optional: Sequence[str]) -> str:
    also = f" (and if you have them {', '.join(optional)})" if optional else ""
    return f"a table whose first line names the columns {', '.join(required)}{also}"


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
