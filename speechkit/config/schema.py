"""The keys that a recipe reads: the arguments of its Brain and of its `prepare()`, by `ast`."""

import ast
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path

from speechkit.config.names import (
    Definition,
    Module,
    NameMissing,
    Sources,
    dotted_name,
    parse,
    resolve_expression,
)
from speechkit.config.signatures import ANYTHING, KINDS, function_parameters, signature_of
from speechkit.errors import Place, UserError


@dataclass(frozen=True)
class Schema:
    """What `train_file` reads of a YAML. `parameters` by key; `open_ended` where it may read any key."""

    train_file: Path
    brain: str
    parameters: dict[str, inspect.Parameter] = field(default_factory=dict)
    open_ended: bool = False
    prepare_keys: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All keys that are read."""
        return tuple(self.parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that have no default."""
        return tuple(name for name, each in self.parameters.items() if each.default is KINDS.empty)


def find_train_file(yaml_path: str | os.PathLike[str]) -> Path | None:
    """The train.py that a recipe's YAML belongs to: in its folder, the one above, or beside `hparams/`."""
    folder = Path(yaml_path).resolve().parent
    above = [each.parent for each in (folder, *folder.parents) if each.name == "hparams"]
    folders = (folder, folder.parent, *above[:1])
    return next((each / "train.py" for each in folders if (each / "train.py").is_file()), None)


def find_prepare_file(train_file: str | os.PathLike[str]) -> Path | None:
    """The prepare.py of a recipe: beside its train.py, or one folder above."""
    folder = Path(train_file).resolve().parent
    return next(
        (each for each in (folder / "prepare.py", folder.parent / "prepare.py") if each.is_file()), None
    )


def brain_schema(train_file: str | os.PathLike[str]) -> Schema:
    """The schema of a recipe: of the class X in its `main(X, __file__)`, and of `prepare()`.

    Raises `UserError` with the place in train.py where this cannot be read.
    """
    file = Path(train_file).resolve()
    shown = os.fspath(train_file)
    try:
        name, line = _brain_name(file, shown)
        sources = Sources(file.parent)
        found = resolve_expression(name, Module(file.stem, file), sources)
        if not isinstance(found, Definition) or not found.is_class:
            raise UserError(
                f"the class {name!r} given to main() is not found",
                expected="a class of speechkit.tasks or of this folder",
                place=Place(shown, line),
            )
        signature = signature_of(found, sources, lambda _: ANYTHING)
        prepared, any_key = _prepare_parameters(file)
    except NameMissing as error:
        raise UserError(str(error), place=Place(shown, 1)) from None
    parameters = {
        key: each
        for key, each in signature.parameters.items()
        if each.kind in (KINDS.POSITIONAL_OR_KEYWORD, KINDS.KEYWORD_ONLY)
    }
    for key, each in prepared.items():
        known = parameters.get(key)
        if known is None or (known.default is not KINDS.empty and each.default is KINDS.empty):
            parameters[key] = each.replace(kind=KINDS.KEYWORD_ONLY)
    open_ended = any_key or any(each.kind is KINDS.VAR_KEYWORD for each in signature.parameters.values())
    return Schema(file, name, parameters, open_ended, tuple(prepared))


def _brain_name(file: Path, shown: str) -> tuple[str, int]:
    """The name of the class given to `main`, and its line."""
    tree = parse(file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted_name(node.func).split(".")[-1] == "main" and node.args:
            name = dotted_name(node.args[0])
            if name:
                return name, node.lineno
    raise UserError(
        "there is no call main(TheBrain, __file__)", expected="the entry of a recipe", place=Place(shown, 1)
    )


def _prepare_parameters(train_file: Path) -> tuple[dict[str, inspect.Parameter], bool]:
    """The arguments of `prepare()`, and whether it takes any keyword."""
    file = find_prepare_file(train_file)
    if file is None:
        return {}, False
    for item in parse(file).body:
        if isinstance(item, ast.FunctionDef) and item.name == "prepare":
            found = function_parameters(item.args)
            named = {
                each.name: each
                for each in found
                if each.kind in (KINDS.POSITIONAL_OR_KEYWORD, KINDS.KEYWORD_ONLY)
            }
            return named, any(each.kind is KINDS.VAR_KEYWORD for each in found)
    raise NameMissing(f"{file} has no function prepare()")
