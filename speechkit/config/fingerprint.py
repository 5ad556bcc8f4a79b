"""One number for what a YAML means, and what differs between two of them."""

import hashlib
from collections.abc import Collection
from typing import Any

from speechkit.config.nodes import Attribute, Call, Mapping, Node, Scalar, Sequence, dotted

MAX_DIFFERENCES = 20


def digest(root: Mapping, free: frozenset[str]) -> str:
    """sha256 of a resolved tree without its free (dotted) keys.

    What is made from a top-level free key counts as the text of its reference, not as its value. A node that
    stands in several places counts in each like an equal one.
    """
    named = _free_nodes(root, free)
    done: dict[int, str] = {}

    def sign(node: Node) -> str:
        if id(node) not in done:
            done[id(node)] = hashlib.sha256(_content(node).encode()).hexdigest()
        return done[id(node)]

    def _content(node: Node) -> str:
        if id(node) in named:
            return f"free {named[id(node)]}"
        if isinstance(node, Scalar):
            if node.reads & free:
                return f"free {node.template}"
            return f"{type(node.value).__name__} {node.value!r}"
        if isinstance(node, Mapping):
            kept = [(key, child) for key, child in node.entries.items() if _counts(node, key, free)]
            if node is root:
                kept.sort(key=lambda pair: str(pair[0]))
            return "mapping " + " ".join(f"{key!r}={sign(child)}" for key, child in kept)
        if isinstance(node, Sequence):
            return "list " + " ".join(sign(child) for child in node.items)
        if isinstance(node, Call):
            return f"{node.kind} {node.target} {sign(node.arguments) if node.arguments else ''}"
        if isinstance(node, Attribute):
            return f"attribute {node.name} {sign(node.owner)}"
        return "nothing"

    return sign(root)


def free_paths(root: Mapping, free: frozenset[str]) -> set[str]:
    """The dotted keys that are free, or whose value is made from a free key."""
    named = _free_nodes(root, free)
    found = set(free)
    seen: set[int] = set()
    stack: list[tuple[tuple, Node]] = [((), root)]
    while stack:
        path, node = stack.pop()
        if id(node) in named or (isinstance(node, Scalar) and node.reads & free):
            found.add(dotted(path))
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        holder = node.arguments if isinstance(node, Call) else node
        if isinstance(holder, Mapping):
            stack += [((*path, key), child) for key, child in holder.entries.items()]
        elif isinstance(holder, Sequence):
            stack += [((*path, index), child) for index, child in enumerate(holder.items)]
    return found


def _free_nodes(root: Mapping, free: frozenset[str]) -> dict[int, str]:
    """Lists, mappings and objects that are the value of a free key, wherever else they stand."""
    return {
        id(node): key for key, node in root.entries.items() if key in free and not isinstance(node, Scalar)
    }


def _counts(node: Mapping, key: Any, free: frozenset[str]) -> bool:
    path = (*node.path, key)
    return dotted(path) not in free and not (len(path) == 1 and str(key).startswith("__"))


def compare_trees(old: Any, new: Any, *, ignore: Collection[str] = ()) -> list[str]:
    """What differs between two `resolved()` trees, one line a dotted key; at most 20.

    >>> compare_trees({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}, "d": None})
    ['b.c: 2 -> 3', 'd: (absent) -> None']
    """
    found: list[str] = []
    _compare(old, new, (), found, frozenset(ignore), set())
    return found[:MAX_DIFFERENCES]


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


def _compare(old: Any, new: Any, path: tuple, found: list[str], ignore: frozenset[str], seen: set) -> None:
    pair = (id(old), id(new))
    if (
        dotted(path) in ignore
        or len(found) > MAX_DIFFERENCES
        or (isinstance(new, dict | list) and pair in seen)
    ):
        return
    seen.add(pair)
    if _called(old) != _called(new):
        found.append(f"{dotted(path)}: {_short(old)} -> {_short(new)}")
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            below = path if str(key).startswith("!") else (*path, key)
            _compare(old.get(key, _Absent()), new.get(key, _Absent()), below, found, ignore, seen)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (first, second) in enumerate(zip(old, new, strict=True)):
            _compare(first, second, (*path, index), found, ignore, seen)
    elif type(old) is not type(new) or repr(old) != repr(new):
        found.append(f"{dotted(path)}: {_short(old)} -> {_short(new)}")


def _called(value: Any) -> str:
    """The tag and name of a call in a `resolved()` tree, "" for anything else."""
    name = str(next(iter(value))) if isinstance(value, dict) and len(value) == 1 else ""
    return name if name.startswith("!") else ""


def _short(value: Any) -> str:
    text = _called(value) or repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
