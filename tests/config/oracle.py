"""hyperpyyaml as the oracle: the same tree, without building anything that a YAML names."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hyperpyyaml.core
import pytest
import ruamel.yaml
import yaml

from speechkit import config
from speechkit.config import building

PROJECT = Path(__file__).resolve().parents[2]
SAMPLES = Path(__file__).parent / "samples"


class Recorded:
    """Stands for an object: remembers the name and the arguments that made it."""

    def __init__(self, name: str, arguments: tuple, keywords: dict) -> None:
        self.name, self.arguments, self.keywords = name, arguments, keywords

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Recorded(f"attribute {name}", (self,), {})


@functools.cache
def recorder_class(name: str) -> type:
    """A class, made once a name, whose objects are records of their call."""

    def __new__(cls: type, *arguments: Any, **keywords: Any) -> Recorded:
        return Recorded(name, arguments, keywords)

    return type("Recorder", (), {"__new__": __new__, "recorded_name": name})


@functools.cache
def recorder_function(name: str) -> Any:
    def call(*arguments: Any, **keywords: Any) -> Recorded:
        return Recorded(name, arguments, keywords)

    return call


def recorder_for(name: str) -> Any:
    if name == "getattr":
        return getattr
    return recorder_class(name) if name.rpartition(".")[2][:1].isupper() else recorder_function(name)


def canonical(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Plain nested tuples with types, call arguments and sharing: equal for equal trees only."""
    seen = {} if seen is None else seen
    if isinstance(value, dict | list | Recorded | functools.partial):
        if id(value) in seen:
            return ("same as", seen[id(value)])
        seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return (
            "dict",
            sorted(((repr(key), canonical(child, seen)) for key, child in value.items()), key=lambda p: p[0]),
        )
    if isinstance(value, list | tuple):
        return (type(value).__name__, [canonical(item, seen) for item in value])
    if isinstance(value, Recorded):
        return ("made", value.name, canonical(list(value.arguments), seen), canonical(value.keywords, seen))
    if isinstance(value, functools.partial):
        return (
            "partial",
            canonical(value.func, seen),
            canonical(list(value.args), seen),
            canonical(value.keywords, seen),
        )
    if isinstance(value, type):
        return ("class", getattr(value, "recorded_name", value.__name__))
    if isinstance(value, float):
        return ("float", f"{value:.14g}")  # hyperpyyaml writes a float out again, and may lose its last bit
    return (type(value).__name__, repr(value))


@contextmanager
def clean_yaml_state() -> Iterator[None]:
    """hyperpyyaml changes the globals of ruamel and PyYAML; put them back."""
    resolvers = ruamel.yaml.resolver.implicit_resolvers
    before = list(resolvers)
    defaults = (
        yaml.constructor.BaseConstructor.construct_object.__defaults__,
        ruamel.yaml.constructor.BaseConstructor.construct_object.__defaults__,
    )
    constructors = [
        (cls, name, dict(cls.__dict__[name]))
        for cls in ruamel.yaml.Loader.__mro__
        for name in ("yaml_constructors", "yaml_multi_constructors")
        if name in cls.__dict__
    ]
    own = set(ruamel.yaml.Loader.__dict__)
    try:
        yield
    finally:
        resolvers[:] = before
        yaml.constructor.BaseConstructor.construct_object.__defaults__ = defaults[0]
        ruamel.yaml.constructor.BaseConstructor.construct_object.__defaults__ = defaults[1]
        for cls, name, value in constructors:
            setattr(cls, name, value)
        for name in set(ruamel.yaml.Loader.__dict__) - own:
            delattr(ruamel.yaml.Loader, name)


def hyperpyyaml_tree(path: Path, overrides: dict | None = None) -> dict[str, Any]:
    """What hyperpyyaml makes of a file, with records in place of objects."""
    patch = pytest.MonkeyPatch()
    with clean_yaml_state(), patch.context() as context, open(path) as stream:
        context.setattr(hyperpyyaml.core.pydoc, "locate", recorder_for)
        return hyperpyyaml.core.load_hyperpyyaml(stream, overrides)


def our_tree(path: Path, overrides: Any = ()) -> dict[str, Any]:
    """What we make of a file, with records in place of objects."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr(building, "import_object", lambda name, *_, **__: recorder_for(name))
        return config.build(config.read(path, overrides)).values


def placeholders(path: Path) -> dict[str, str]:
    """A value for each placeholder that a file leaves open, by dotted key: numbers, which serve sums too."""
    return {problem.key: "7" for problem in config.check(path) if "a value must be given" in problem.message}


def shipped() -> list[Path]:
    """The YAMLs that the project ships."""
    return sorted([*PROJECT.glob("recipes/**/hparams/*.yaml"), *PROJECT.glob("configs/**/*.yaml")])


def samples() -> list[Path]:
    """YAMLs of these tests that are as good as shipped ones."""
    return sorted(SAMPLES.rglob("*.yaml"))
