"""A YAML file read, with its includes, overrides and references resolved and checked."""

import os
from collections.abc import Iterable
from collections.abc import Mapping as PlainMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from speechkit.config.dump import dump_tree
from speechkit.config.files import read_text
from speechkit.config.fingerprint import compare_trees, digest, free_paths
from speechkit.config.nodes import (
    Attribute,
    Broken,
    Call,
    Mapping,
    Node,
    Placeholder,
    Problem,
    Problems,
    Scalar,
    Scope,
    Sequence,
    dotted,
    walk,
)
from speechkit.config.overrides import COMMAND_LINE, Override, add_key, apply_override, read_overrides
from speechkit.config.references import FINDER, Resolver
from speechkit.config.text import compose
from speechkit.errors import Place, suggest

if TYPE_CHECKING:
    from speechkit.config.schema import Schema


@dataclass(eq=False)
class Document:
    """What a YAML file means, every node with its place.

    `root` is the resolved tree; `overrides` the changes from the command line; `warnings` what is odd in it.
    """

    file: str
    root: Mapping
    overrides: dict[str, Any]
    warnings: list[Problem]
    edges: dict[str, set[str]]
    missing: set[str] = field(default_factory=set)

    def keys(self) -> list[str]:
        """The top-level keys, but for those with `__` before them, which only serve references."""
        return [key for key in self.root.entries if not key.startswith("__")]

    def place(self, key: str) -> Place:
        """Where a top-level key stands; the start of the file where it does not."""
        return self.root.key_places.get(key, Place(self.file, 1, 1))

    def find(self, key: str) -> Node | None:
        """The node at a dotted key, or None."""
        node: Node | None = self.root
        for part in key.split("."):
            node = node.arguments if isinstance(node, Call) else node
            if isinstance(node, Mapping):
                node = next((child for name, child in node.entries.items() if str(name) == part), None)
            elif isinstance(node, Sequence) and part.isdigit() and int(part) < len(node.items):
                node = node.items[int(part)]
            else:
                return None
        return node

    def is_overridden(self, key: str) -> bool:
        """Whether the value at a dotted key comes from the command line."""
        node = self.find(key)
        return node is not None and node.place.file == COMMAND_LINE

    def keys_of(self, value: Any, within: str) -> list[str]:
        """The dotted keys, at or below the top-level key `within`, where such a plain value stands."""
        nodes = walk(self.root.entries[within]) if within in self.root.entries else ()
        return [
            node.key
            for node in nodes
            if isinstance(node, Scalar) and type(node.value) is type(value) and node.value == value
        ]

    def resolved(self) -> dict[str, Any]:
        """The tree of plain values; a call is `{"!new:speechkit.nnet.Linear": arguments}`."""
        done: dict[int, Any] = {}
        return {key: _plain(self.root.entries[key], done) for key in self.keys()}

    def put(self, key: str, value: Any) -> None:
        """Give a top-level key another plain value. What was made from the old one stays as it is."""
        node = self.root.entries.get(key)
        place, path = (self.place(key), (key,)) if node is None else (node.place, node.path)
        self.root.entries[key] = Scalar(place, path, value, str(value))

    def move_paths(self, before: str, now: str, within: str = "") -> None:
        """Let texts that name a folder, or what lies in it, name it at another place.

        within: a top-level key, at or below which alone it is done. What was overridden stays as given.
        """
        root = self.root if not within else self.root.entries.get(within)
        folder = before.rstrip("/")
        for node in walk(root) if root is not None and folder else ():
            if not isinstance(node, Scalar) or node.place.file == COMMAND_LINE:
                continue
            if isinstance(text := node.value, str) and (text == folder or text.startswith(f"{folder}/")):
                node.value = node.text = now + text[len(folder) :]

    def dump(self) -> str:
        """The YAML as resolved, with overrides and includes in it; it loads again alone."""
        return dump_tree(self.root)

    def keys_read_by(self, key: str) -> set[str]:
        """The top-level keys whose value refers to `key`, also by way of others."""
        found: set[str] = set()
        fresh = {key}
        while fresh:
            fresh = {name for name, read in self.edges.items() if read & fresh} - found
            found |= fresh
        return found - {key}

    def keys_referred_to(self) -> set[str]:
        """The top-level keys that some other key refers to."""
        return {target for name, read in self.edges.items() for target in read if target != name}

    def sha256(self) -> str:
        """Of the resolved tree: the same for the same values, however they were written."""
        return digest(self.root, frozenset())

    def fingerprint(self, free_keys: Iterable[str] = ()) -> str:
        """sha256 of the resolved tree without the free (dotted) keys and what is made from them."""
        return digest(self.root, frozenset(free_keys))

    def differences(self, old: PlainMapping[str, Any], free_keys: Iterable[str] = ()) -> list[str]:
        """What differs from the `resolved()` tree of another run; free keys, and what they make, aside."""
        free = free_paths(self.root, frozenset(free_keys))
        return compare_trees(dict(old), self.resolved(), ignore=free)


def read(
    path: str | os.PathLike[str],
    overrides: Iterable[str] | PlainMapping[str, Any] = (),
    *,
    schema: "Schema | None" = None,
) -> Document:
    """Read a YAML file: text, includes, overrides and references are checked, nothing is imported or run.

    `overrides` is a list as on the command line, `["--a.b", "3", "--c=[1, 2]"]`, or a mapping of dotted
    keys to plain values. With a `schema`, an override may add a top-level key that the schema knows.

    Raises `UserErrors` with all mistakes that can be told at once.
    """
    problems = Problems()
    document = read_document(path, overrides, problems, schema)
    problems.raise_errors()
    assert document is not None
    document.warnings = [problem for problem in problems if problem.warning]
    return document


def find_placeholders(
    path: str | os.PathLike[str], overrides: Iterable[str] | PlainMapping[str, Any] = ()
) -> list[str]:
    """The top-level keys whose value a user has still to give, `!PLACEHOLDER`; none of an unreadable file."""
    problems = Problems()
    scope = _scope_of(path)
    text = read_text(scope, problems)
    root = None if text is None else compose(text, scope, problems)
    given = {change.path[0] for change in read_overrides(overrides, problems) if len(change.path) == 1}
    entries = root.entries if isinstance(root, Mapping) else {}
    return [key for key, node in entries.items() if isinstance(node, Placeholder) and key not in given]


def read_document(
    path: str | os.PathLike[str],
    overrides: Iterable[str] | PlainMapping[str, Any],
    problems: Problems,
    schema: "Schema | None" = None,
) -> Document | None:
    """As `read`, with mistakes noted in `problems`; None where no tree could be had at all."""
    scope = _scope_of(path)
    changes = read_overrides(overrides, problems)
    text = read_text(scope, problems)
    if text is None:
        return None
    root = compose(text, scope, problems)
    if not isinstance(root, Mapping):
        if not problems.errors:
            what = "the file is empty" if root is None or _is_null(root) else "the file is no mapping of keys"
            problems.add(None, f"{what}; expected lines `key: value`", place=Place(scope.file, 1, 1))
        return None
    for key in [key for key in root.entries if not isinstance(key, str)]:
        problems.add(None, f"a top-level key is text, found {key!r}", place=root.key_place(key), path=(key,))
        del root.entries[key]
    scope.root = root
    _change(root, changes, problems, schema)
    resolver = Resolver(problems)
    resolved = resolver.resolve(root)
    assert isinstance(resolved, Mapping)
    _warn_about_text(resolved, problems)
    given = {
        dotted(change.path): change.text if change.text is not None else change.value for change in changes
    }
    return Document(scope.file, resolved, given, [], resolver.edges, resolver.missing)


def _scope_of(path: str | os.PathLike[str]) -> Scope:
    file = os.fspath(path)
    return Scope(file, os.path.realpath(file) if "\0" not in file else file)


def _change(root: Mapping, changes: list[Override], problems: Problems, schema: "Schema | None") -> None:
    for change in changes:
        key = change.path[0]
        if key not in root.entries and schema is not None and len(change.path) == 1 and key in schema.names:
            add_key(root, change, problems)
        elif key not in root.entries and schema is not None and (near := suggest(key, schema.names)):
            problems.add(
                None, f"there is no key {key!r} to change{near}", place=change.place, path=change.path
            )
        else:
            apply_override(root, change, change.path, problems, Resolver(Problems()).resolve)


def _warn_about_text(root: Mapping, problems: Problems) -> None:
    """Text with `<key>` in it but no !ref stays text: rarely meant."""
    for node in walk(root):
        if isinstance(node, Scalar) and isinstance(node.value, str) and not node.template:
            for match in FINDER.findall(node.value):
                if match[1:-1].split("[")[0] in root.entries:
                    problems.add(node, f"{match} is only text without !ref before it", warning=True)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _plain(node: Node, done: dict[int, Any]) -> Any:
    if id(node) in done:
        return done[id(node)]
    result: Any
    if isinstance(node, Mapping):
        result = done[id(node)] = {}
        result.update({key: _plain(child, done) for key, child in node.entries.items()})
    elif isinstance(node, Sequence):
        result = [_plain(child, done) for child in node.items]
    elif isinstance(node, Call):
        result = {f"!{node.kind}:{node.target}": _plain(node.arguments, done) if node.arguments else None}
    elif isinstance(node, Attribute):
        result = {f"!attribute:{node.name}": _plain(node.owner, done)}
    elif isinstance(node, Broken):
        result = None
    else:
        assert isinstance(node, Scalar)
        result = node.value
    done[id(node)] = result
    return result
