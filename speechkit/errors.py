"""What a user did that cannot work, said so that they can mend it."""

import difflib
import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

MENDABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Place:
    """A spot in a text file; lines and columns count from 1.

    >>> str(Place("hparams.yaml", 3, 7))
    'hparams.yaml:3:7'
    """

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class UserError(Exception):
    """A user's mistake: what was found, what was expected, what to do.

    >>> print(UserError("no batch size", expected="a whole number", do="add batch_size", key="train_data"))
    train_data: no batch size; expected a whole number; add batch_size
    """

    def __init__(
        self, found: str, *, expected: str = "", do: str = "", place: Place | None = None, key: str = ""
    ) -> None:
        super().__init__(found)
        self.found, self.expected, self.do, self.place, self.key = found, expected, do, place, key

    def __reduce__(self) -> tuple:
        # Exceptions cross from data workers by pickle, which by default forgets keyword arguments.
        return _rebuild, (type(self), self.__dict__.copy())

    def __str__(self) -> str:
        where = " ".join(str(part) for part in (self.place, self.key) if part)
        parts = [self.found, f"expected {self.expected}" if self.expected else "", self.do]
        text = "; ".join(part for part in parts if part)
        return f"{where}: {text}" if where else text


class UserErrors(UserError):
    """Several mistakes found in one look.

    >>> print(UserErrors([UserError("a"), UserError("b")]))
    a
    b
    """

    def __init__(self, errors: Iterable[UserError]) -> None:
        self.errors = list(errors)
        super().__init__(f"{len(self.errors)} mistakes")

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def _rebuild(kind: type[UserError], state: dict) -> UserError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state.get("found", ""),)
    return error


@contextmanager
def under_key(key: str, do: str) -> Iterator[None]:
    """A mistake that is found within is one of this key's value; `do` is what helps besides."""
    try:
        yield
    except UserError as error:
        error.key = key
        error.do = f"{error.do}, or {do}" if error.do else do
        raise


def suggest(word: str, candidates: Iterable[str]) -> str:
    """The words meant, as the end of a sentence.

    >>> suggest("batch_siez", ["batch_size", "seed"])
    " (did you mean 'batch_size'?)"
    >>> suggest("zzz", ["batch_size"])
    ''
    """
    close = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def explain_system_error(error: OSError) -> UserError | None:
    """What the system refused, if it is for the user to mend: a full disk, a folder that may not be written.

    None for what would be our own fault, such as a file that is not there.

    >>> print(explain_system_error(PermissionError(errno.EACCES, "Permission denied", "runs/a")))
    runs/a: Permission denied; mend that and give the same command again
    """
    if error.errno not in MENDABLE:
        return None
    told = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return UserError(told, do="mend that and give the same command again")


def report_and_exit(error: UserError) -> NoReturn:
    """Print a user's mistake and end with code 2; never a traceback."""
    print(error, file=sys.stderr)
    raise SystemExit(2)
