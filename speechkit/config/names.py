"""Where a dotted name is defined, found by reading source files with `ast`: nothing is imported.

speechkit's own modules and the .py files of a recipe's folder are read so. Imports at the top of a module
are followed to the file that defines a class, as a room's `__init__.py` asks for.
"""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from speechkit.errors import suggest

PACKAGE = "speechkit"
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
Statement = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file and the dotted name that it is imported by."""

    name: str
    file: Path

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Definition:
    """A class or function in a source file (`statement` is None for another value)."""

    module: Module
    name: str
    statement: Statement | None

    @property
    def is_class(self) -> bool:
        return isinstance(self.statement, ast.ClassDef)

    @property
    def is_function(self) -> bool:
        return isinstance(self.statement, ast.FunctionDef | ast.AsyncFunctionDef)


@dataclass(frozen=True)
class External:
    """A name of another library, to be looked at by importing it."""

    name: str


class NameMissing(LookupError):
    """A dotted name leads nowhere; the message says where it ends, and what may be meant."""


@dataclass(frozen=True)
class Sources:
    """Which files may be read: speechkit's, and those of a recipe's folder if one is given."""

    recipe_folder: Path | None = None

    def module(self, name: str) -> Module | None:
        """The module of a dotted name if its source is ours to read."""
        head, *rest = name.split(".")
        if head == PACKAGE:
            return _module_file(name, PACKAGE_FOLDER.joinpath(*rest))
        if self.recipe_folder is not None and not rest and self.is_recipes(head):
            return _module_file(name, self.recipe_folder / head)
        return None

    def is_recipes(self, head: str) -> bool:
        """Whether the first part of a name is a .py file of the recipe's folder."""
        folder = self.recipe_folder
        return folder is not None and head != PACKAGE and (folder / f"{head}.py").is_file()

    def modules_under(self, name: str) -> list[str]:
        """The modules directly inside a package of ours."""
        folder = PACKAGE_FOLDER.joinpath(*name.split(".")[1:])
        if not folder.is_dir():
            return []
        return [
            path.stem
            for path in folder.iterdir()
            if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
        ]


def locate(name: str, sources: Sources) -> Definition | External:
    """What a dotted name means. Raises `NameMissing` where it means nothing."""
    parts = name.split(".")
    if parts[0] != PACKAGE and not sources.is_recipes(parts[0]):
        if not top_level_exists(parts[0]):
            near = suggest(parts[0], [*top_level_names(sources)])
            raise NameMissing(f"there is no module {parts[0]!r}{near}")
        return External(name)
    module = sources.module(parts[0])
    depth = 1
    while depth < len(parts) and module is not None:
        inner = sources.module(".".join(parts[: depth + 1]))
        if inner is None:
            break
        module, depth = inner, depth + 1
    assert module is not None
    if depth == len(parts):
        raise NameMissing(f"{name} is a module; a class or function in it is expected")
    found = find_in_module(module, parts[depth], sources)
    if found is None:
        raise NameMissing(_missing(module, parts, depth, sources))
    rest = parts[depth + 1 :]
    if not rest:
        return found
    return _attribute(found, ".".join(parts[: depth + 1]), rest)


def _missing(module: Module, parts: list[str], depth: int, sources: Sources) -> str:
    inner = sources.modules_under(module.name) if module.file.name == "__init__.py" else []
    names = [name for name in bindings(module) if not name.startswith("_")]
    if depth + 1 < len(parts):
        near = suggest(parts[depth], [*names, *inner])
        return f"there is no module {'.'.join(parts[: depth + 1])}{near}"
    # `ResNet` and the module `resnet` are as near to `Resnet`; a module is never what is to be built.
    near = suggest(parts[depth], names) or suggest(parts[depth], inner)
    return f"{module.name} has no class or function {parts[depth]!r}{near}"


def _attribute(found: Definition | External, name: str, rest: list[str]) -> Definition | External:
    if isinstance(found, External):
        return External(".".join((found.name, *rest)))
    statement = found.statement
    inner = {item.name: item for item in getattr(statement, "body", []) if isinstance(item, Statement)}
    if isinstance(statement, ast.ClassDef) and rest[0] in inner:
        return _attribute_of(Definition(found.module, rest[0], inner[rest[0]]), f"{name}.{rest[0]}", rest[1:])
    raise NameMissing(f"{name} has no attribute {rest[0]!r}{suggest(rest[0], inner)}")


def _attribute_of(found: Definition, name: str, rest: list[str]) -> Definition | External:
    return _attribute(found, name, rest) if rest else found


def find_in_module(
    module: Module, name: str, sources: Sources, seen: frozenset = frozenset()
) -> Definition | External | None:
    """What `name` is bound to at the top of a module, through the imports that lead to it."""
    if (module.file, name) in seen:
        return None
    seen |= {(module.file, name)}
    bound = bindings(module).get(name)
    if bound is None:
        return None
    if isinstance(bound, str):
        target, _, attribute = bound.rpartition(":")
        other = sources.module(target) if target.split(".")[0] == PACKAGE else None
        other = other or (_beside(module, target) if "." not in target else None)
        if other is None:
            return External(f"{target}.{attribute}" if attribute else target)
        if not attribute:
            return Definition(other, name, None)
        submodule = sources.module(f"{target}.{attribute}")
        found = find_in_module(other, attribute, sources, seen)
        return Definition(submodule, name, None) if found is None and submodule else found
    return Definition(module, name, bound if isinstance(bound, Statement) else None)


def _beside(module: Module, name: str) -> Module | None:
    """A module in the folder of another (recipes import each other's files so)."""
    if module.name.split(".")[0] == PACKAGE:
        return None
    return _module_file(name, module.file.parent / name)


def bindings(module: Module) -> dict[str, Statement | str | ast.AST]:
    """Names bound at the top of a module: to a definition, another value, or `module:name` for an import."""
    return _bindings(module, os.stat(module.file).st_mtime_ns)


@lru_cache(maxsize=512)
def _bindings(module: Module, _: int) -> dict[str, Statement | str | ast.AST]:
    tree = parse(module.file)
    return dict(_bound(tree.body, module))


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file. Raises `NameMissing` with file and line where it has none."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        raise NameMissing(f"{file}:{error.lineno or 1} is not valid Python: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise NameMissing(f"{file} cannot be read: {error}") from None


def _bound(body: Iterable[ast.stmt], module: Module) -> Iterable[tuple[str, Statement | str | ast.AST]]:
    for item in body:
        if isinstance(item, Statement):
            yield item.name, item
        elif isinstance(item, ast.Assign | ast.AnnAssign):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        yield name.id, item
        elif isinstance(item, ast.Import):
            for alias in item.names:
                yield (
                    (alias.asname, f"{alias.name}:")
                    if alias.asname
                    else (alias.name.split(".")[0], f"{alias.name.split('.')[0]}:")
                )
        elif isinstance(item, ast.ImportFrom):
            source = _absolute(item, module)
            for alias in item.names:
                yield alias.asname or alias.name, f"{source}:{alias.name}"
        elif isinstance(item, ast.If | ast.Try):
            for part in (item.body, item.orelse, *(h.body for h in getattr(item, "handlers", []))):
                yield from _bound(part, module)


def _absolute(item: ast.ImportFrom, module: Module) -> str:
    if not item.level:
        return item.module or ""
    package = module.package.split(".")
    base = package[: len(package) - item.level + 1]
    return ".".join([*base, *((item.module or "").split(".") if item.module else [])])


def dotted_name(expression: ast.expr) -> str:
    """`a.b.C` of an expression, looking through subscripts (`Generic[T]`); "" for anything else."""
    if isinstance(expression, ast.Subscript):
        return dotted_name(expression.value)
    if isinstance(expression, ast.Attribute):
        inner = dotted_name(expression.value)
        return f"{inner}.{expression.attr}" if inner else ""
    return expression.id if isinstance(expression, ast.Name) else ""


def resolve_expression(name: str, module: Module, sources: Sources) -> Definition | External | None:
    """What a (dotted) name means inside a module."""
    head, *rest = name.split(".")
    found = find_in_module(module, head, sources)
    if found is None:
        return External(f"builtins.{name}")
    if isinstance(found, External):
        return External(".".join((found.name, *rest)))
    if rest and found.statement is None:  # a module of ours
        return resolve_expression(".".join(rest), found.module, sources)
    return found if not rest else None


def top_level_exists(name: str) -> bool:
    """Whether a module of that name could be imported; nothing is."""
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def top_level_names(sources: Sources) -> list[str]:
    """Modules that a YAML may mean by the first part of a name."""
    own = [path.stem for path in sources.recipe_folder.glob("*.py")] if sources.recipe_folder else []
    return [PACKAGE, "torch", "torchaudio", "lhotse", *own]


def public_names(room: str) -> dict[str, str]:
    """The names that a room's `__init__.py` imports, and the module of the room that each comes from."""
    module = Sources().module(f"{PACKAGE}.{room}")
    if module is None:
        return {}
    found = {}
    for name, bound in bindings(module).items():
        if isinstance(bound, str) and not name.startswith("_"):
            found[name] = bound.partition(":")[0]
    return found


def _module_file(name: str, base: Path) -> Module | None:
    package = base / "__init__.py"
    if package.is_file():
        return Module(name, package)
    file = base.parent / f"{base.name}.py"
    return Module(name, file) if file.is_file() else None
