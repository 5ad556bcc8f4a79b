"""A resolved tree as YAML that reads again to the same tree, with shared nodes still shared."""

import datetime
import json
import re
from typing import Any

from speechkit.config.nodes import Attribute, Call, Mapping, Node, Scalar, Sequence, walk
from speechkit.config.scalars import TUPLE, is_tuple, read_scalar

PLAIN = re.compile(r"[A-Za-z_./~][\w./+~ -]*")
LOOKS_OTHERWISE = re.compile(r"y|n|yes|no|on|off|true|false|null|~", re.IGNORECASE)
MAX_LINE = 100


def dump_tree(root: Mapping) -> str:
    """The YAML of a resolved tree. A node that stands in several places is written at the first, and
    referred to by `!ref` at the others; one that a reference cannot name gets a key `__shared_1` of its own
    (keys with `__` before them are taken off after reading)."""
    return _Writer(root).text()


class _Writer:
    def __init__(self, root: Mapping) -> None:
        self.names: dict[int, str] = {}  # how references call the nodes written so far
        self.lines: list[str] = []
        self.n_hoisted = 0
        self.entries = {key: node for key, node in root.entries.items() if not key.startswith("__")}
        self.first: dict[int, str] = {}
        self.shared = self._shared(Mapping(root.place, (), self.entries))

    def text(self) -> str:
        for key, node in self.entries.items():
            for inner in self._visit(node, key if _nameable(key) else ""):
                if id(inner) in self.shared and not self.first[id(inner)]:
                    self._hoist(inner)
            self._write(f"{write_text(key)}:", node, 0, key if _nameable(key) else "")
        return "\n".join(self.lines or ["{}"]) + "\n"

    def _shared(self, root: Mapping) -> set[int]:
        """The nodes that stand in several places, or of which attributes are read."""
        count: dict[int, int] = {}
        for node in walk(root):
            for child in _below(node):
                known = 1 if isinstance(node, Attribute) else 0
                count[id(child)] = count.get(id(child), known) + 1
                count[id(child)] += known
        return {key for key, n in count.items() if n > 1}

    def _visit(self, node: Node, name: str) -> list[Node]:
        """The nodes met for the first time, inner ones first; `first` keeps how references call them."""
        if id(node) in self.first or isinstance(node, Scalar):
            return []
        self.first[id(node)] = name
        found: list[Node] = []
        if isinstance(node, Attribute):
            found += self._visit(node.owner, "")
        holder = node.arguments if isinstance(node, Call) else node
        if isinstance(holder, Mapping):
            for key, child in holder.entries.items():
                found += self._visit(child, _under(name, key))
        elif isinstance(holder, Sequence):
            for child in holder.items:
                found += self._visit(child, "")
        return [*found, node]

    def _hoist(self, node: Node) -> None:
        """Give a node that no reference can reach a top-level key of its own, after what it needs."""
        if id(node) in self.names:
            return
        for inner in walk(node):
            if isinstance(inner, Attribute) and inner is not node:
                self._hoist(inner.owner)
        if isinstance(node, Attribute):
            self._hoist(node.owner)
        self.n_hoisted += 1
        self._write(f"__shared_{self.n_hoisted}:", node, 0, f"__shared_{self.n_hoisted}")

    def _write(self, head: str, node: Node, indent: int, name: str) -> None:
        """The lines of `head` and a node. `name` is how references call the node, "" if they cannot."""
        pad = "  " * indent
        if id(node) in self.names:
            self.lines.append(f"{pad}{head} !ref <{self.names[id(node)]}>")
            return
        if isinstance(node, Scalar):
            self.lines.append(f"{pad}{head} {write_scalar(node)}".rstrip())
            return
        if name:
            self.names[id(node)] = name
        if isinstance(node, Attribute):
            self.lines.append(f"{pad}{head} !ref <{self.names[id(node.owner)]}.{node.name}>")
            return
        tag = f" !{node.kind}:{node.target}" if isinstance(node, Call) else ""
        holder = node.arguments if isinstance(node, Call) else node
        if holder is None:
            self.lines.append(f"{pad}{head}{tag}")
        elif isinstance(holder, Mapping | Sequence) and (flow := _flow(holder)):
            self.lines.append(f"{pad}{head}{tag} {flow}")
        elif isinstance(holder, Mapping):
            self.lines.append(f"{pad}{head}{tag}")
            for key, child in holder.entries.items():
                self._write(f"{write_key(key)}:", child, indent + 1, _under(name, key))
        elif isinstance(holder, Sequence):
            self.lines.append(f"{pad}{head}{tag}")
            for child in holder.items:
                self._write("-", child, indent + 1, "")


def _below(node: Node) -> list[Node]:
    if isinstance(node, Attribute):
        return [node.owner]
    holder = node.arguments if isinstance(node, Call) else node
    if isinstance(holder, Mapping):
        return list(holder.entries.values())
    return holder.items if isinstance(holder, Sequence) else []


def _nameable(key: Any) -> bool:
    return isinstance(key, str) and bool(re.fullmatch(r"[A-Za-z_][\w-]*", key)) and read_scalar(key) == key


def _under(name: str, key: Any) -> str:
    return f"{name}[{key}]" if name and _nameable(key) else ""


def _flow(node: Mapping | Sequence) -> str:
    """A short list of plain values on one line; an empty list or mapping."""
    if not (node.entries if isinstance(node, Mapping) else node.items):
        return "{}" if isinstance(node, Mapping) else "[]"
    if isinstance(node, Mapping) or not all(isinstance(item, Scalar) for item in node.items):
        return ""
    values = [item for item in node.items if isinstance(item, Scalar)]
    if any(TUPLE.fullmatch(item.text) or _is_odd(item.value) for item in values):
        return ""
    line = f"[{', '.join(write_scalar(item) for item in values)}]"
    return line if len(line) <= MAX_LINE else ""


def _is_odd(value: Any) -> bool:
    return isinstance(value, tuple) or (isinstance(value, str) and bool(TUPLE.fullmatch(value)))


def write_key(key: Any) -> str:
    """A key as YAML."""
    return write_scalar(Scalar(None, (), key, str(key)))  # type: ignore[arg-type]


def write_scalar(node: Scalar) -> str:
    """A plain value as YAML 1.2."""
    value = node.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return node.text
    return write_text(str(value))


def write_text(text: str) -> str:
    """Text as YAML that every reader takes for text.

    >>> write_text("runs/1"), write_text("yes"), write_text("3")
    ('runs/1', '"yes"', '"3"')
    """
    if is_tuple(text):
        return f"!!str {_quoted(text)}"
    if PLAIN.fullmatch(text) and not LOOKS_OTHERWISE.fullmatch(text) and text == text.strip():
        try:
            if read_scalar(text) == text:
                return text
        except ValueError:
            pass
    return _quoted(text)


def _quoted(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(
        char if char.isprintable() and char != "\ufeff" else f"\\U{ord(char):08x}" for char in escaped
    )
