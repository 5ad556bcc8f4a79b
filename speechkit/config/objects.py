"""From a dotted name to the object, by importing; only for names that may be used."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from speechkit.config.allowed import refusal_of_name, refusal_of_object
from speechkit.config.names import NameMissing, Sources, top_level_exists, top_level_names
from speechkit.errors import suggest


class NotAllowed(LookupError):
    """The allow-list forbids a name or the object that it leads to."""


def import_object(name: str, sources: Sources, *, trust: bool = False) -> Any:
    """The object of a dotted name.

    Raises `NotAllowed` before anything is imported, or when the name leads to something from elsewhere;
    `NameMissing` where a module, a class or function in it, or an attribute of that does not exist.
    """
    if not trust and (refusal := refusal_of_name(name, sources)):
        raise NotAllowed(refusal)
    parts = name.split(".")
    value, depth = _import_longest(parts, sources)
    for index in range(depth, len(parts)):
        value = _member(value, parts, index)
    if not trust and (refusal := refusal_of_object(name, value, sources)):
        raise NotAllowed(refusal)
    return value


def _member(value: Any, parts: list[str], index: int) -> Any:
    try:
        return getattr(value, parts[index])
    except AttributeError:
        pass
    above, part = ".".join(parts[:index]), parts[index]
    near = suggest(part, [name for name in dir(value) if not name.startswith("_")])
    if not isinstance(value, ModuleType):
        raise NameMissing(f"{above} has no attribute {part!r}{near}")
    if index + 1 < len(parts):
        raise NameMissing(f"there is no module {above}.{part}{near}")
    raise NameMissing(f"{above} has no class or function {part!r}{near}")


def _import_longest(parts: list[str], sources: Sources) -> tuple[Any, int]:
    """The innermost module of a dotted name, and how many parts it takes."""
    if sources.is_recipes(parts[0]):
        return _run(parts[0], lambda: import_recipe_file(parts[0], sources)), 1
    if not top_level_exists(parts[0]):
        near = suggest(parts[0], top_level_names(sources))
        raise NameMissing(f"there is no module {parts[0]!r}{near}")
    module, depth = _run(parts[0], lambda: importlib.import_module(parts[0])), 1
    while depth < len(parts) and isinstance(module, ModuleType) and not hasattr(module, parts[depth]):
        name = ".".join(parts[: depth + 1])
        if not hasattr(module, "__path__") or not _exists(name):
            break
        module, depth = _run(name, lambda name=name: importlib.import_module(name)), depth + 1
    return module, depth


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _run(name: str, load: Any) -> Any:
    try:
        return load()
    except NameMissing:
        raise
    except (Exception, SystemExit) as error:
        raise NameMissing(f"importing {name} failed: {type(error).__name__}: {error}") from error


def import_recipe_file(name: str, sources: Sources) -> ModuleType:
    """The module of a recipe's .py file; train.py is not run twice when it is the running program."""
    assert sources.recipe_folder is not None
    file = (sources.recipe_folder / f"{name}.py").resolve()
    for known in ("__main__", name):
        module = sys.modules.get(known)
        if module is not None and _file_of(module) == file:
            return module
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _searching(file.parent):
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
    return module


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    """Imports find the files of a folder, as they do for the program that is run from it."""
    added = str(folder) not in sys.path
    if added:
        sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if added and str(folder) in sys.path:
            sys.path.remove(str(folder))
