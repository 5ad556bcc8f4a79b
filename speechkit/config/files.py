"""The text of a YAML file, or why there is none."""

import os

from speechkit.config.nodes import Problems, Scope
from speechkit.errors import Place

MAX_BYTES = 1_000_000


class _Unreadable(Exception):
    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def read_text(scope: Scope, problems: Problems) -> str | None:
    """The text of a scope's file, or None with the problem noted."""
    try:
        return _decode(_read_bytes(scope.real))
    except _Unreadable as error:
        place = Place(scope.file, error.line, error.column)
        problems.add(None, str(error), place=place, path=scope.path)
        return None


def _read_bytes(path: str) -> bytes:
    try:
        if os.path.isdir(path):
            raise _Unreadable("this is a folder; a YAML file is expected")
        if os.path.exists(path) and not os.path.isfile(path):
            raise _Unreadable("this is not a regular file")
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _Unreadable(f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise _Unreadable(f"the file is larger than {MAX_BYTES} bytes: no file of hyperparameters")
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = f"this is not text in UTF-8 (byte 0x{data[error.start]:02x})"
        raise _Unreadable(message, before.count(b"\n") + 1, column) from None
