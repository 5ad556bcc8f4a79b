"""A full disk, told in one message."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechkit.errors import UserError

FULL_BYTES = 2**20  # free space below this is taken for none


@contextmanager
def full_disk_told(path: Path, opaque: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Within it, running out of space while writing `path` is a UserError; other errors pass.

    opaque: errors of writers that do not pass on the system's reason; the free space tells it.
    """
    caught: tuple[type[Exception], ...] = (OSError, *opaque)
    try:
        yield
    except caught as error:
        if not _is_full_disk(error, path):
            raise
        raise UserError(
            f"no space left on the disk while writing {path}",
            do="the checkpoints before it are whole: free space and run the same command to go on",
        ) from error


def _is_full_disk(error: Exception, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    existing = next(each for each in path.absolute().parents if each.exists())
    return "No space left" in str(error) or shutil.disk_usage(existing).free < FULL_BYTES
