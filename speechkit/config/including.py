"""Included files: found, read, given their parent's values; cycles and objects passed in are mistakes."""

import os
from collections.abc import Callable

from speechkit.config.files import read_text
from speechkit.config.nodes import (
    Attribute,
    Call,
    Include,
    Mapping,
    Node,
    Problems,
    Reference,
    Scope,
    Sequence,
    holds_object,
)
from speechkit.config.overrides import apply_given, apply_override
from speechkit.config.text import compose
from speechkit.errors import Place, suggest

Resolve = Callable[[Node], Node]


def load_included(
    node: Include, problems: Problems, resolve: Resolve, resolve_quietly: Resolve
) -> Mapping | None:
    """The tree of an included file, with what its parent and the command line give; not resolved.

    `resolve` resolves the parent's nodes; `resolve_quietly` tells the old values that overrides replace.
    """
    scope = _scope(node)
    if _is_cycle(node, scope, problems):
        return None
    if not os.path.exists(scope.real):
        problems.add(node, f"there is no file {scope.file} to include{_near_file(scope.real)}")
        return None
    text = read_text(scope, problems)
    root = compose(text, scope, problems) if text is not None else None
    if not isinstance(root, Mapping):
        if text is not None and not any(problem.place.file == scope.file for problem in problems):
            what = "is empty" if root is None else "does not hold a mapping of keys"
            message = f"the included file {what}"
            problems.add(None, message, place=Place(scope.file, 1, 1), path=node.path)
        return None
    scope.root = root
    if node.given is not None:
        _refuse_objects(node.given, problems, resolve, set())
        apply_given(root, node.given, problems)
    for override, parts in node.overrides:
        apply_override(root, override, parts, problems, resolve_quietly)
    return root


def _scope(node: Include) -> Scope:
    folder = os.path.dirname(os.path.realpath(node.scope.real))
    shown = os.path.normpath(os.path.join(os.path.dirname(node.scope.file), node.file))
    real = os.path.realpath(os.path.join(folder, node.file))
    if os.path.realpath(shown) != real:
        shown = real
    return Scope(shown, real, node.path, None, node.scope)


def _is_cycle(node: Include, scope: Scope, problems: Problems) -> bool:
    names = [scope.file]
    above: Scope | None = node.scope
    while above is not None:
        names.append(above.file)
        if above.real == scope.real:
            problems.add(node, f"a cycle of includes: {' -> '.join(reversed(names))}")
            return True
        above = above.parent
    return False


def _near_file(real: str) -> str:
    folder, name = os.path.split(real)
    return suggest(name, os.listdir(folder)) if os.path.isdir(folder) else ""


def _refuse_objects(node: Node, problems: Problems, resolve: Resolve, seen: set[int]) -> None:
    """A reference to an object, given to an include, would be a second object in hyperpyyaml."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Reference) and not node.copy:
        target = resolve(node)
        if not isinstance(target, Attribute) and holds_object(target):
            problems.add(
                node,
                f"{node.text} is an object; an included file takes values only "
                "(give it the values from which it builds its own)",
            )
    for child in _below(node):
        _refuse_objects(child, problems, resolve, seen)


def _below(node: Node) -> list[Node]:
    if isinstance(node, Call):
        return [node.arguments] if node.arguments else []
    if isinstance(node, Mapping):
        return list(node.entries.values())
    return node.items if isinstance(node, Sequence) else []
