"""Writing a YAML and reading what is told of it."""

from pathlib import Path
from typing import Any

import pytest

from speechkit import config


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a YAML and give its path: `write("a: 1")`, `write("a: 1", "inner.yaml")`."""

    def write_file(text: str, name: str = "h.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The messages of `check`, with the folder of the test taken off: `told(path, overrides, **options)`."""

    def messages(path: Path, overrides: Any = (), **options: Any) -> list[str]:
        return [
            str(problem).replace(f"{tmp_path}/", "") for problem in config.check(path, overrides, **options)
        ]

    return messages
