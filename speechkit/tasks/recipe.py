"""The .py files of a recipe, imported: train.py for its Brain, prepare.py for its manifests."""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from speechkit import config

_is_imported = ContextVar("_is_imported", default=False)


@contextmanager
def importing_only() -> Iterator[None]:
    """Within it `main` does nothing: a train.py may ask for no `__name__ == "__main__"`, and be imported."""
    token = _is_imported.set(True)
    try:
        yield
    finally:
        _is_imported.reset(token)


def is_imported_only() -> bool:
    """Whether a recipe's files are being imported for what they define, not run."""
    return _is_imported.get()


def import_brain(train_file: Path, schema: config.Schema) -> Any:
    """The class that a train.py gives to `main`. Runs the file, but for its `main`."""
    with importing_only():
        return getattr(import_file(train_file), schema.brain)


def prepare(train_file: Path, values: Mapping[str, Any], schema: config.Schema) -> None:
    """Call `prepare` of the recipe's prepare.py, where there is one."""
    path = config.find_prepare_file(train_file)
    if path is not None:
        import_file(path).prepare(**{name: values[name] for name in schema.prepare_keys if name in values})


def import_file(path: Path) -> ModuleType:
    """The module of a file by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
