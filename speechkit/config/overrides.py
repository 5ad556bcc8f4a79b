"""What the command line changes: `--a.b 3`, `--a.b=3`, lists, null, into objects, lists and includes."""

import datetime
import difflib
from collections.abc import Callable, Iterable
from collections.abc import Mapping as PlainMapping
from dataclasses import dataclass
from typing import Any

from speechkit.config.nodes import (
    Broken,
    Call,
    Include,
    Mapping,
    Node,
    Path,
    Placeholder,
    Problems,
    Reference,
    Scalar,
    Scope,
    Sequence,
    children,
    dotted,
    walk,
)
from speechkit.config.scalars import shorten
from speechkit.config.text import compose
from speechkit.errors import Place

COMMAND_LINE = "command line"
STRUCTURE = ("!", "[", "{", "(")  # with these begins what is not plain text
NULL = ("null", "~", "Null", "NULL")
Resolve = Callable[[Node], Node]


@dataclass(eq=False)
class Override:
    """One change: the path of keys, and either text as typed or a value from Python."""

    path: tuple[str, ...]
    place: Place
    text: str | None = None
    value: Any = None

    @property
    def flag(self) -> str:
        return "--" + ".".join(self.path)


def read_overrides(overrides: Iterable[str] | PlainMapping[str, Any], problems: Problems) -> list[Override]:
    """Overrides from arguments as on a command line, or from a mapping of dotted keys to values.

    >>> [(o.flag, o.text) for o in read_overrides(["--a.b", "3", "--c=[1, 2]"], Problems())]
    [('--a.b', '3'), ('--c', '[1, 2]')]
    """
    if isinstance(overrides, PlainMapping):
        return [
            Override(tuple(str(key).split(".")), Place(COMMAND_LINE, 1, index), value=value)
            for index, (key, value) in enumerate(overrides.items(), start=1)
        ]
    found = []
    arguments = [str(argument) for argument in overrides]
    index = 0
    while index < len(arguments):
        argument, place = arguments[index], Place(COMMAND_LINE, 1, index + 1)
        flag, equals, text = argument.partition("=")
        path = tuple(flag[2:].split("."))
        index += 1
        if not flag.startswith("--") or not all(path):
            problems.add(None, f"{shorten(argument)!r}: expected --key VALUE or --key=VALUE", place=place)
            continue
        if not equals:
            if index == len(arguments) or arguments[index].startswith("--"):
                problems.add(None, f"{flag} has no value; expected {flag} VALUE", place=place, path=path)
                continue
            text = arguments[index]
            index += 1
        found.append(Override(path, place, text))
    return found


def apply_override(root: Node, override: Override, parts: Path, problems: Problems, resolve: Resolve) -> None:
    """Change `root` at `parts`. `resolve` tells the old value, whose type the new one must have."""
    node, depth = root, 0
    while True:
        if isinstance(node, Include):
            node.overrides.append((override, parts[depth:]))
            return
        part: Any = parts[depth]
        holder = node.arguments if isinstance(node, Call) else node
        if isinstance(node, Call) and holder is None:
            holder = node.arguments = Mapping(node.place, node.path)
        if isinstance(holder, Sequence) and str(part).isdigit() and int(part) < len(holder.items):
            part = int(part)
            old: Node | None = holder.items[part]
        elif isinstance(holder, Mapping):
            part = next((key for key in holder.entries if str(key) == part), part)
            old = holder.entries.get(part)
        else:
            problems.add(
                None, _no_keys(node, override, parts, depth), place=override.place, path=override.path
            )
            return
        if depth + 1 == len(parts):
            if old is None and not isinstance(node, Call):
                problems.add(
                    None, _unknown(root, node, override, part), place=override.place, path=override.path
                )
                return
            _put(holder, part, old, override, problems, resolve)
            return
        if old is None:
            problems.add(None, _unknown(root, node, override, part), place=override.place, path=override.path)
            return
        node, depth = old, depth + 1


def add_key(root: Mapping, override: Override, problems: Problems) -> None:
    """Add a top-level key that the file does not have, of which a schema says that it can be given."""
    _put(root, override.path[0], None, override, problems, lambda node: node)


def _put(
    holder: Mapping | Sequence,
    part: Any,
    old: Node | None,
    override: Override,
    problems: Problems,
    resolve: Resolve,
) -> None:
    path = (*holder.path, part)
    known = resolve(old) if old is not None and not isinstance(old, Include | Placeholder) else old
    new = _new_node(override, path, known, problems)
    if new is None:
        return
    if isinstance(new, Mapping) and isinstance(old, Mapping | Call | Include):
        for key, child in new.entries.items():
            below = Override((*override.path, str(key)), override.place, value=child)
            apply_override(old, below, (str(key),), problems, resolve)
        return
    expected = _expected(known, new)
    if expected:
        problems.add(
            None, f"expected {expected}, found {_describe(new)}", place=override.place, path=override.path
        )
        return
    if isinstance(holder, Mapping):
        holder.entries[part] = new
        holder.key_places[part] = override.place
    else:
        holder.items[part] = new


def _new_node(override: Override, path: Path, old: Node | None, problems: Problems) -> Node | None:
    """The new value as a node; text stays text where the old value is text."""
    if override.text is None:
        if isinstance(override.value, Node):
            return _moved(override.value, path, override.place)
        return _from_python(override.value, path, override.place, problems)
    text = override.text
    if (
        isinstance(old, Scalar)
        and isinstance(old.value, str)
        and text not in NULL
        and text[:1] not in STRUCTURE
    ):
        return Scalar(override.place, path, text, text)
    scope = Scope(COMMAND_LINE, COMMAND_LINE, path)
    own = Problems()
    node = compose(text, scope, own, tags=False)
    if node is None and not own.errors:
        return Scalar(override.place, path, "", "")
    for problem in own:
        problems.add(None, problem.message, place=override.place, path=override.path)
    return None if own.errors or node is None else _moved(node, path, override.place)


def _moved(node: Node, path: Path, place: Place) -> Node:
    for each in walk(node):
        each.place = place
        if isinstance(each, Mapping):
            each.key_places = dict.fromkeys(each.entries, place)
    node.path = path
    for key, child in children(node):
        _moved(child, (*path, key), place)
    return node


def _from_python(value: Any, path: Path, place: Place, problems: Problems) -> Node | None:
    if value is None or isinstance(value, bool | int | float | str | datetime.date):
        return Scalar(place, path, value, str(value))
    if isinstance(value, tuple):
        return Scalar(place, path, value, repr(value))
    if isinstance(value, list):
        items = [_from_python(item, (*path, index), place, problems) for index, item in enumerate(value)]
        return Sequence(place, path, [item for item in items if item is not None])
    if isinstance(value, PlainMapping):
        pairs = {key: _from_python(item, (*path, key), place, problems) for key, item in value.items()}
        return Mapping(place, path, {key: item for key, item in pairs.items() if item is not None})
    problems.add(None, f"a plain value is expected, found {type(value).__name__}", place=place, path=path)
    return None


def apply_given(root: Mapping, given: Mapping, problems: Problems) -> None:
    """Put the values that a parent gives under its `!include:` in place of the included file's own."""
    for key, value in given.entries.items():
        old = root.entries.get(key)
        if old is None:
            near = difflib.get_close_matches(str(key), [str(name) for name in root.entries], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.add(
                None,
                f"the included file has no key {key!r}{hint}",
                place=given.key_place(key),
                path=(*given.path, key),
            )
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            apply_given(old, value, problems)
        elif (
            isinstance(value, Mapping) and isinstance(old, Call) and isinstance(old.arguments, Mapping | None)
        ):
            if old.arguments is None:
                old.arguments = Mapping(old.place, old.path)
            old.arguments.entries.update(value.entries)
            old.arguments.key_places.update({name: value.key_place(name) for name in value.entries})
        elif isinstance(value, Mapping) and isinstance(old, Include):
            if old.given is None:
                old.given = Mapping(value.place, old.path)
            old.given.entries.update(value.entries)
            old.given.key_places.update({name: value.key_place(name) for name in value.entries})
        else:
            root.entries[key] = value
            root.key_places[key] = given.key_place(key)


def _expected(old: Node | None, new: Node) -> str:
    """What the old value's type asks for, where the new one is not it; else ""."""
    if (isinstance(new, Scalar) and new.value is None) or isinstance(old, Placeholder | Broken | None):
        return ""
    if isinstance(old, Call):
        if old.kind == "apply":  # what a function gives may be of any type
            return ""
        return f"null, or a change of its arguments (--{old.key}.ARGUMENT VALUE)"
    if isinstance(old, Sequence):
        return "" if isinstance(new, Sequence) else "a list, as in '[1, 2]'"
    if isinstance(old, Mapping):
        return "" if isinstance(new, Mapping) else "a mapping, as in '{a: 1}'"
    if isinstance(old, Include):
        return f"null, or a change of its keys (--{old.key}.KEY VALUE)"
    if not isinstance(old, Scalar) or old.value is None:
        return ""
    value = new.value if isinstance(new, Scalar) else new
    kind = type(old.value)
    fits = type(value) in (int, float) if kind is float else type(value) is kind
    return "" if fits else NAMES.get(kind, f"a {kind.__name__}")


NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a tuple, as in '(1, 2)'",
}


def _describe(node: Node) -> str:
    if isinstance(node, Scalar):
        return f"{NAMES.get(type(node.value), type(node.value).__name__).split(',')[0]} {node.value!r}"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _no_keys(node: Node, override: Override, parts: Path, depth: int) -> str:
    if isinstance(node, Reference):
        name = node.text.strip("<>").replace("[", ".").replace("]", "")
        return f"{node.key} is a reference to {node.text}; change --{name}.{dotted(parts[depth:])}"
    if isinstance(node, Sequence) or (isinstance(node, Call) and isinstance(node.arguments, Sequence)):
        return f"{node.key} is a list; after it comes a number below its length, found {parts[depth]!r}"
    return f"{node.key or 'the file'} has no keys below it"


def _unknown(root: Node, node: Node, override: Override, part: Any) -> str:
    names = {str(key): key for key, _ in children(node)}
    near = difflib.get_close_matches(str(part), list(names), n=1)
    hint = ""
    if near:
        hint = f" (did you mean --{'.'.join((*override.path[:-1], near[0]))}?)" if near else ""
    else:
        deeper = [each.key for each in walk(root) if each.path and str(each.path[-1]) == override.path[-1]]
        hint = f" (did you mean --{deeper[0]}?)" if deeper else ""
    return f"there is no key {str(part)!r} to change{hint}"
