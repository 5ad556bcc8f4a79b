"""From a checked document to objects."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechkit.config.document import Document
from speechkit.config.names import NameMissing, Sources
from speechkit.config.nodes import Attribute, Call, Mapping, Node, Scalar, Sequence
from speechkit.config.objects import NotAllowed, import_object
from speechkit.errors import Place, UserError, UserErrors


@dataclass(eq=False)
class Built:
    """The objects of a YAML: `values` by top-level key."""

    values: dict[str, Any]
    _made: dict[int, tuple[Any, Node]] = field(default_factory=dict)

    def place_of(self, obj: Any, *names: str) -> tuple[Place, str] | None:
        """Where in the YAML an object was made: its place and dotted key; None for an object from elsewhere.

        `names` descend into its arguments, as far as they go: the place of a layer of a Sequential is
        `place_of(sequential, "conv1")`.
        """
        if id(obj) not in self._made:
            return None
        node = self._made[id(obj)][1]
        place, key = node.place, node.key
        for name in names:
            holder = node.arguments if isinstance(node, Call) else node
            if isinstance(holder, Mapping) and name in holder.entries:
                place, node = holder.key_place(name), holder.entries[name]
            elif isinstance(holder, Sequence) and name.isdigit() and int(name) < len(holder.items):
                node = holder.items[int(name)]
                place = node.place
            else:
                break
            key = f"{key}.{name}"
        return place, key


def build(
    document: Document,
    *,
    trust: bool = False,
    recipe_folder: str | os.PathLike[str] | None = None,
    only: Iterable[str] | None = None,
) -> Built:
    """Build the objects of a document: all top-level keys, or `only` some and what they refer to.

    Only names on the allow-list are imported, until `trust`; the classes of the .py files in
    `recipe_folder` are on it. Raises `UserError` with the place of each key whose name is refused or missing,
    or whose constructor raises.
    """
    builder = _Builder(Sources(Path(recipe_folder).resolve() if recipe_folder else None), trust)
    keys = document.keys() if only is None else list(only)
    if only is None:
        entries = document.root.entries
    else:
        absent = [key for key in keys if key not in document.root.entries]
        if absent:
            raise UserErrors(
                UserError(f"there is no key {key!r}", place=document.place(key), key=key) for key in absent
            )
        entries = {key: document.root.entries[key] for key in keys}
    values: dict[str, Any] = {}
    errors: list[UserError] = []
    for key, node in entries.items():
        try:
            values[key] = builder.build(node)
        except UserError as error:
            if error not in errors:  # what several keys refer to fails once
                errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else UserErrors(errors)
    return Built({key: values[key] for key in keys}, builder.made)


class _Builder:
    """Builds each node once."""

    def __init__(self, sources: Sources, trust: bool) -> None:
        self.sources, self.trust = sources, trust
        self.done: dict[int, Any] = {}
        self.failed: dict[int, UserError] = {}
        self.made: dict[int, tuple[Any, Node]] = {}

    def build(self, node: Node) -> Any:
        if isinstance(node, Scalar):
            return node.value
        if id(node) in self.failed:
            raise self.failed[id(node)]
        if id(node) not in self.done:
            try:
                value = self._value(node)
            except UserError as error:
                self.failed[id(node)] = error
                raise
            self.done[id(node)] = value
            if not isinstance(node, Attribute):
                self.made.setdefault(id(value), (value, node))
        return self.done[id(node)]

    def _value(self, node: Node) -> Any:
        if isinstance(node, Mapping):
            return {key: self.build(child) for key, child in node.entries.items()}
        if isinstance(node, Sequence):
            return [self.build(child) for child in node.items]
        if isinstance(node, Attribute):
            owner = self.build(node.owner)
            try:
                return getattr(owner, node.name)
            except Exception as error:
                raise UserError(
                    f"<{node.owner.key}.{node.name}>: {error}", place=node.place, key=node.key
                ) from error
        assert isinstance(node, Call), node
        return self._call(node)

    def _call(self, call: Call) -> Any:
        target = self._target(call)
        arguments: Any = self.build(call.arguments) if call.arguments is not None else None
        positional: list[Any] = arguments if isinstance(call.arguments, Sequence) else []
        named: dict[str, Any] = arguments if isinstance(call.arguments, Mapping) else {}
        if call.kind == "name":
            return functools.partial(target, *positional, **named) if positional or named else target
        try:
            return target(*positional, **named)
        except UserErrors as errors:
            raise UserErrors(located(error, call) for error in errors.errors) from errors
        except UserError as error:
            raise located(error, call) from error
        except Exception as error:
            raise UserError(
                f"{call.target} raised {type(error).__name__}: {_said(error)}", place=call.place, key=call.key
            ) from error

    def _target(self, call: Call) -> Any:
        try:
            target = import_object(call.target, self.sources, trust=self.trust)
        except (NameMissing, NotAllowed) as error:
            raise UserError(str(error), place=call.place, key=call.key) from error
        wanted: dict[str, tuple[Callable[[Any], bool], str]] = {
            "new": (inspect.isclass, "a class"),
            "apply": (inspect.isroutine, "a function"),
            "name": (lambda value: call.arguments is None or callable(value), "a class or function"),
        }
        fits, words = wanted[call.kind]
        if not fits(target):
            raise UserError(
                f"{call.target} is not {words}, as !{call.kind}: asks for", place=call.place, key=call.key
            )
        return target


def located(error: UserError, call: Call) -> UserError:
    """A constructor's own error, at the place of the argument that its key names, or at the call's."""
    place, node, path = call.place, call, call.key
    for part in error.key.split(".") if error.key else []:
        holder = node.arguments if isinstance(node, Call) else node
        path = f"{path}.{part}"
        if isinstance(holder, Mapping) and part in holder.entries:
            place, node = holder.key_place(part), holder.entries[part]  # type: ignore[assignment]
        elif isinstance(holder, Sequence) and part.isdigit() and int(part) < len(holder.items):
            node = holder.items[int(part)]  # type: ignore[assignment]
            place = node.place
    if isinstance(node, Scalar) and node.origin is not None:  # a reference: where the value itself is written
        place = node.origin.place
    found = error.found
    if error.place is not None:
        found = f"{error.place}: {found}"
    return UserError(found, expected=error.expected, do=error.do, place=place, key=path)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:397] + "..."
