"""The two records of a run: what it computed (exact on resume) and what happened to it (by the clock)."""

import json
import os
import time
from pathlib import Path
from typing import Any

from speechkit.report import replace_nonfinite


class RunLog:
    """`log.jsonl`: one JSON object a line. Cut back to a checkpoint's offset, it goes on as if never killed.

    Lines are buffered; `sync` puts them on the disk and returns the offset that a checkpoint remembers.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> log = RunLog(path); log.write({"step": 1}); offset = log.sync(); log.write({"step": 2}); log.close()
    >>> log = RunLog(path, offset=offset); log.close(); path.read_text()
    '{"step": 1}\\n'
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115  (open for a run's time)
        # Never longer than it is: a log that somebody removed must not begin with zeros.
        self._file.truncate(min(offset, self._file.seek(0, os.SEEK_END)))
        self._file.seek(0, os.SEEK_END)

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(_to_json(line))

    def flush(self) -> None:
        self._file.flush()

    def sync(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def append_event(run_folder: Path, event: str, **details: Any) -> None:
    """Add a line to `events.jsonl`: starts, resumes, damage; all that two equal runs need not share."""
    run_folder.mkdir(parents=True, exist_ok=True)
    path = run_folder / "events.jsonl"
    cut_line = path.exists() and not path.read_bytes().endswith(b"\n")  # a disk was full
    with open(path, "ab") as file:
        if cut_line:
            file.truncate(path.read_bytes().rfind(b"\n") + 1)
        file.write(_to_json({"event": event, "time": time.time(), **details}))


def _to_json(line: dict[str, Any]) -> bytes:
    # JSON has no NaN: a figure that is none is written as null.
    try:
        return json.dumps(line, allow_nan=False).encode() + b"\n"
    except ValueError:
        return json.dumps(replace_nonfinite(line)).encode() + b"\n"
