"""References, arithmetic and includes resolved: from the tree as written to the tree as meant."""

import re
from contextlib import suppress
from typing import Any

from speechkit.config.arithmetic import MAX_TEXT, ArithmeticRefused, evaluate, left_over
from speechkit.config.including import load_included
from speechkit.config.nodes import (
    Attribute,
    Broken,
    Call,
    Include,
    Mapping,
    Node,
    Placeholder,
    Problems,
    Reference,
    Scalar,
    Scope,
    Sequence,
    copy_tree,
    dotted,
)
from speechkit.config.scalars import ScalarError, is_tuple, read_tuple, shorten
from speechkit.errors import suggest

FINDER = re.compile(r"<[^>]*>")
MAX_OPEN = 120
MAX_INCLUDES = 500


class Resolver:
    """Resolves nodes, each once; a node that many refer to stays one node.

    `edges` tells which top-level keys of the main file refer to which others; `missing` are the top-level
    keys that references ask for and that do not exist.
    """

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.edges: dict[str, set[str]] = {}
        self.missing: set[str] = set()
        self._done: dict[int, Node] = {}
        self._open: list[Node] = []
        self._included: dict[int, Mapping | None] = {}
        self._keep: list[Node] = []  # ids stay those of the nodes met

    def resolve(self, node: Node) -> Node:
        """The node that `node` stands for, with all below it resolved."""
        if id(node) in self._done:
            return self._done[id(node)]
        if not self._enter(node):
            return Broken(node.place, node.path)
        self._keep.append(node)
        result = self._resolve(node)
        self._open.pop()
        self._done[id(node)] = result
        return result

    def _resolve(self, node: Node) -> Node:
        if isinstance(node, Mapping):
            entries = {key: self.resolve(child) for key, child in node.entries.items()}
            return Mapping(node.place, node.path, entries, node.key_places)
        if isinstance(node, Sequence):
            return Sequence(node.place, node.path, [self.resolve(child) for child in node.items])
        if isinstance(node, Call):
            arguments = self.resolve(node.arguments) if node.arguments else None
            assert arguments is None or isinstance(arguments, Sequence | Mapping)
            return Call(node.place, node.path, node.kind, node.target, arguments)
        if isinstance(node, Reference):
            return self._reference(node)
        if isinstance(node, Include):
            root = self.included(node)
            return self.resolve(root) if root is not None else Broken(node.place, node.path)
        if isinstance(node, Placeholder):
            flag = f"--{node.key} VALUE"
            return self._broken(node, f"a value must be given: {flag}, or in place of !PLACEHOLDER")
        return node

    def _enter(self, node: Node) -> bool:
        """Put a node on the stack of those being resolved; False and a problem where it is there already."""
        for index, other in enumerate(self._open):
            if other is node:
                references = [item for item in self._open[index:] if isinstance(item, Reference)]
                cycle: list[Node] = [*references] or [node]
                names = " -> ".join([*(item.key for item in cycle), cycle[0].key])
                self.problems.add(cycle[0], f"a cycle of references: {names}")
                return False
        if len(self._open) > MAX_OPEN:
            self.problems.add(node, f"references are chained more than {MAX_OPEN} deep")
            return False
        self._open.append(node)
        return True

    def _broken(self, node: Node, message: str) -> Broken:
        self.problems.add(node, message)
        return Broken(node.place, node.path)

    def _reference(self, node: Reference) -> Node:
        text = node.text
        if not FINDER.search(text):
            near = suggest(text.strip(" <>"), self._names(node.scope))
            word = text.strip(" <>").split("/")[0].split("[")[0] or "key"
            return self._broken(
                node,
                f"!{'copy' if node.copy else 'ref'} without <...>: {shorten(text)!r} is "
                f"only text; write <{word}>, or leave the tag out{near}",
            )
        if "<" in FINDER.sub("", text) or ">" in FINDER.sub("", text):
            return self._broken(node, f"'<' and '>' do not pair in {shorten(text)!r}")
        if FINDER.fullmatch(text):
            return self._whole(node, text)
        return self._interpolated(node, text)

    def _whole(self, node: Reference, text: str) -> Node:
        """A reference that is all of its text keeps the type, and the identity, of what it names."""
        target = self.lookup(node, text)
        if target is None:
            return Broken(node.place, node.path)
        if not isinstance(target, Scalar):
            return copy_tree(target, {}) if node.copy else target
        if isinstance(target.value, str) and FINDER.search(target.value) and not node.copy:
            return self._nested(node, target)
        reads = self._reads(node, [target])
        origin = target.origin or target
        return Scalar(node.place, node.path, target.value, target.text, node.text, reads, origin)

    def _nested(self, node: Reference, target: Scalar) -> Node:
        """Text that holds `<key>` itself is read once more, as hyperpyyaml does."""
        again = Reference(node.place, node.path, target.value, False, node.scope, node.flow)
        if sum(isinstance(other, Reference) and other.text == again.text for other in self._open) > 1:
            return self._broken(node, f"{target.value!r} refers to itself")
        return self.resolve(again)

    def _interpolated(self, node: Reference, text: str) -> Node:
        targets = [self.lookup(node, match) for match in FINDER.findall(text)]
        if any(target is None or isinstance(target, Broken) for target in targets):
            return Broken(node.place, node.path)
        values = []
        for match, target in zip(FINDER.findall(text), targets, strict=True):
            known, value = _plain(target)
            if not known:
                return self._broken(node, f"{match} is an object or a mapping and cannot stand inside text")
            values.append(value)
        pieces = iter(values)
        said = FINDER.sub(lambda match: str(next(pieces)), text)
        if len(said) > MAX_TEXT:
            return self._broken(node, f"the text grows beyond {MAX_TEXT} characters")
        scalars = [target for target in targets if isinstance(target, Scalar)]
        if FINDER.search(said):
            return self._nested(node, Scalar(node.place, node.path, said))
        self._warn_of_order(node, text, said, scalars)
        return self._reckoned(node, text, said, values, scalars)

    def _warn_of_order(self, node: Reference, text: str, said: str, scalars: list[Scalar]) -> None:
        """Of a sum that stands further below, hyperpyyaml puts the text, not the value, into this one."""
        below = {
            id(each): each.text
            for each in scalars
            if each.template and each.origin is None and each.place.line > node.place.line
        }
        if len(scalars) < len(FINDER.findall(text)) or not below:
            return
        pieces = iter(below.get(id(each), str(each.value)) for each in scalars)
        theirs = FINDER.sub(lambda match: next(pieces), text)
        with suppress(ArithmeticRefused):
            ours, other = evaluate(said), evaluate(theirs)
            if ours != other:
                message = f"{text} comes to {ours!r} here, but to {other!r} in hyperpyyaml"
                self.problems.add(node, f"{message}: move what it refers to above it", warning=True)

    def _reckoned(self, node: Reference, text: str, said: str, values: list, scalars: list[Scalar]) -> Node:
        """The scalar that the text comes to: a number, a tuple, or text that is meant as text."""
        try:
            value = evaluate(said)
            if isinstance(value, str):
                if is_tuple(value, flow=node.flow):
                    value = read_tuple(value)
                elif why := left_over(text, value, values):
                    return self._broken(node, shorten(why, 120))
        except (ArithmeticRefused, ScalarError) as error:
            return self._broken(node, f"{shorten(said)}: {error}")
        return Scalar(node.place, node.path, value, said, node.text, self._reads(node, scalars))

    def _reads(self, node: Reference, targets: list[Scalar]) -> frozenset[str]:
        own = {re.split(r"[\[.]", match.strip("<>"))[0] for match in FINDER.findall(node.text)}
        own = own if node.scope.parent is None else set()
        return frozenset(own).union(*(target.reads for target in targets))

    def lookup(self, node: Reference, match: str) -> Node | None:
        """What `<key[sub].attribute>` names, resolved; None with the problem noted where it names nothing."""
        name, _, attribute = match.strip("<>").partition(".")
        parts = _parts(name)
        if not parts or (attribute == "" and match.endswith(".>")):
            self.problems.add(node, f"{match} is not a reference; write <key>, <key[sub]> or <key.attribute>")
            return None
        if node.scope.parent is None:
            self.edges.setdefault(str(node.path[0]), set()).add(parts[0])
        raw = self._descend(node, match, parts)
        if raw is None:
            return None
        target = self.resolve(raw)
        return self._attribute(node, match, target, attribute) if attribute else target

    def _descend(self, node: Reference, match: str, parts: list[str]) -> Node | None:
        branch: Node | None = node.scope.root
        for index, part in enumerate(parts):
            branch = self._follow(branch) if branch is not None else None
            if branch is None or isinstance(branch, Broken | Placeholder):
                if isinstance(branch, Placeholder):
                    self.resolve(branch)
                return None
            entries = _entries(branch)
            if part not in entries:
                self.missing |= set() if index or node.scope.parent else {part}
                self.problems.add(node, self._unknown(node, match, parts, index, branch))
                return None
            branch = entries[part]
        return branch

    def _follow(self, node: Node) -> Node | None:
        """The node whose keys a reference sees behind `node`: through references and includes, unresolved."""
        if isinstance(node, Include):
            return self.included(node)
        if not isinstance(node, Reference):
            return node
        if not FINDER.fullmatch(node.text) or "." in node.text or node.copy:
            return self.resolve(node)
        if not self._enter(node):
            return None
        parts = _parts(node.text.strip("<>"))
        raw = self._descend(node, node.text, parts) if parts else None
        result = self._follow(raw) if raw is not None else None
        self._open.pop()
        return result

    def _unknown(self, node: Reference, match: str, parts: list[str], index: int, branch: Node) -> str:
        where = dotted(tuple(parts[:index]))
        if isinstance(branch, Sequence):
            return f"{match}: {where} is a list, whose items cannot be referred to"
        if not _entries(branch) and index:
            return f"{match}: {where} has no keys"
        near = suggest(parts[index], [str(key) for key in _entries(branch)])
        inside = (
            "" if node.scope.parent is None or index else " in this file; an included file sees its own keys"
        )
        of = f" under {where}" if index else ""
        return f"{match}: there is no key {parts[index]!r}{of}{inside}{near}"

    def _attribute(self, node: Reference, match: str, target: Node, attribute: str) -> Node | None:
        if isinstance(target, Broken):
            return target
        names = attribute.split(".")
        if not isinstance(target, Call):
            key = match.strip("<>").partition(".")[0]
            self.problems.add(
                node,
                f"{match}: {key} is a plain value without attributes; "
                f"write <{key}[{attribute}]> for a key below it",
            )
            return None
        if len(names) > 1 or not names[0].isidentifier() or names[0].startswith("_"):
            self.problems.add(
                node, f"{match}: one attribute, not beginning with '_', is read; found {attribute!r}"
            )
            return None
        return Attribute(node.place, node.path, target, attribute)

    def _names(self, scope: Scope) -> list[str]:
        return [str(key) for key in scope.root.entries] if scope.root else []

    def included(self, node: Include) -> Mapping | None:
        """The tree of an included file, with what its parent and the command line give; not resolved."""
        if id(node) not in self._included:
            self._keep.append(node)
            self._included[id(node)] = None
            if len(self._included) > MAX_INCLUDES:
                self.problems.add(node, f"more than {MAX_INCLUDES} files are included")
            else:
                root = load_included(node, self.problems, self.resolve, Resolver(Problems()).resolve)
                self._included[id(node)] = root
        return self._included[id(node)]


def _parts(name: str) -> list[str]:
    """`key[sub][sub2]` as its parts; empty where it is not written so."""
    match = re.fullmatch(r"([^\[\]]+)((?:\[[^\[\]]+\])*)", name)
    return [match[1], *re.findall(r"\[([^\[\]]+)\]", match[2])] if match else []


def _entries(node: Node) -> dict[Any, Node]:
    node = node.arguments if isinstance(node, Call) and node.arguments else node
    return node.entries if isinstance(node, Mapping) else {}


def _plain(node: Node | None) -> tuple[bool, Any]:
    """Whether a node can be written inside text, and its value: a scalar or a list of scalars."""
    if isinstance(node, Scalar):
        return True, node.value
    if isinstance(node, Sequence) and all(isinstance(item, Scalar) for item in node.items):
        return True, [item.value for item in node.items if isinstance(item, Scalar)]
    return False, None
