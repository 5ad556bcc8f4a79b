"""From the text of a YAML file to a tree of nodes with places; what the text alone gets wrong is noted."""

import re
from collections.abc import Iterator
from typing import Any

import ruamel.yaml

from speechkit.config.nodes import (
    Broken,
    Call,
    Mapping,
    Node,
    Path,
    Problems,
    Scalar,
    Scope,
    Sequence,
)
from speechkit.config.scalars import TAG, ScalarError, read_scalar
from speechkit.config.syntax import describe_syntax_error, nearest_key, place_after_tag
from speechkit.config.tags import TagError, apply_tag, look_at_text
from speechkit.errors import Place, suggest

MAX_DEPTH = 60


class Stop(Exception):
    """The rest of the text cannot be read; the problem is noted."""


def compose(text: str, scope: Scope, problems: Problems, *, tags: bool = True) -> Node | None:
    """The tree of the one document in `text`; None where the text cannot be read or is empty.

    Without `tags` (on the command line) every tag is refused.
    """
    try:
        return _Composer(text, scope, problems, tags).document()
    except Stop:
        return None
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as error:
        place, key, message = describe_syntax_error(error, text, scope.file)
        problems.add(None, message, place=place, path=(*scope.path, *key))
        return None


class _Composer:
    """Builds nodes from the events of ruamel's parser."""

    def __init__(self, text: str, scope: Scope, problems: Problems, tags: bool) -> None:
        self.scope, self.problems, self.tags, self.text = scope, problems, tags, text
        # not the round-trip scanner: it leaves marks of its own (BEL) in folded text
        self.events: Iterator[Any] = iter(ruamel.yaml.YAML(typ="safe", pure=True).parse(text))
        self.anchors: dict[str, Node | None] = {}
        self.anchor_places: dict[str, tuple[Place, Path]] = {}
        self.used: set[str] = set()
        self.depth = 0

    def document(self) -> Node | None:
        root = None
        for event in self.events:
            if isinstance(event, ruamel.yaml.events.DocumentStartEvent):
                if root is not None:
                    self.stop(event, self.scope.path, "a second document begins here; one is expected")
                if event.version not in (None, (1, 2)):
                    self.stop(event, self.scope.path, "only YAML 1.2 is read; take the %YAML line out")
                root = self.node(next(self.events), self.scope.path, flow=False)
        for anchor in self.anchors.keys() - self.used:
            place, path = self.anchor_places[anchor]
            message = f"the anchor &{anchor} is never used"
            self.problems.add(None, message, place=place, path=path, warning=True)
        return root

    def place(self, event: Any) -> Place:
        return Place(self.scope.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def note(self, event: Any, path: Path, message: str) -> Broken:
        place = self.place(event)
        path = path or nearest_key(self.text, place.line)
        self.problems.add(None, message, place=place, path=path)
        return Broken(place, path)

    def stop(self, event: Any, path: Path, message: str) -> None:
        self.note(event, path, message)
        raise Stop

    def node(self, event: Any, path: Path, *, flow: bool) -> Node:
        if isinstance(event, ruamel.yaml.events.AliasEvent):
            return self.alias(event, path)
        anchor = event.anchor
        if anchor:
            self.anchors[anchor] = None
            self.anchor_places[anchor] = (self.place(event), path)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.stop(event, path[:8], f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, ruamel.yaml.events.ScalarEvent):
            content: Node = Scalar(self.place(event), path, None, event.value)
        elif isinstance(event, ruamel.yaml.events.SequenceStartEvent):
            content = self.sequence(event, path, flow=flow or bool(event.flow_style))
        else:
            content = self.mapping(event, path, flow=flow or bool(event.flow_style))
        self.depth -= 1
        node = self.tagged(event, content, flow)
        if anchor:
            self.anchors[anchor] = node
        return node

    def alias(self, event: Any, path: Path) -> Node:
        if event.anchor not in self.anchors:
            near = suggest(event.anchor, self.anchors)
            return self.note(event, path, f"there is no anchor &{event.anchor} before this{near}")
        self.used.add(event.anchor)
        node = self.anchors[event.anchor]
        if node is None:
            return self.note(event, path, f"*{event.anchor} stands inside &{event.anchor} itself: a cycle")
        return node

    def sequence(self, event: Any, path: Path, *, flow: bool) -> Sequence:
        sequence = Sequence(self.place(event), path)
        while not isinstance(item := next(self.events), ruamel.yaml.events.SequenceEndEvent):
            sequence.items.append(self.node(item, (*path, len(sequence.items)), flow=flow))
        return sequence

    def mapping(self, event: Any, path: Path, *, flow: bool) -> Mapping:
        mapping = Mapping(self.place(event), path)
        merges: list[Node] = []
        while not isinstance(head := next(self.events), ruamel.yaml.events.MappingEndEvent):
            if _is_merge(head):
                merges.append(self.node(next(self.events), (*path, "<<"), flow=flow))
                continue
            known, key = self.read_key(head, path)
            place = self.place(head)
            value = self.node(next(self.events), (*path, key), flow=flow)
            if not known:
                continue
            if isinstance(value, Scalar) and value.is_blank:
                value.place = place  # the parser puts what is not there at the next thing
            if key in mapping.entries:
                first = mapping.key_place(key).line
                self.problems.add(
                    None,
                    f"the key {key!r} is given twice, first on line {first}",
                    place=place,
                    path=(*path, key),
                )
                continue
            mapping.entries[key] = value
            mapping.key_places[key] = place
        self.merge(mapping, merges)
        return mapping

    def read_key(self, event: Any, path: Path) -> tuple[bool, Any]:
        """Whether a key can be used, and the key."""
        if not isinstance(event, ruamel.yaml.events.ScalarEvent) or event.tag or event.anchor:
            self.note(event, (*path, "?"), "a key is a plain word; found something else")
            if not isinstance(event, ruamel.yaml.events.AliasEvent | ruamel.yaml.events.ScalarEvent):
                self.node(event, (*path, "?"), flow=True)
            return False, "?"
        try:
            key = read_scalar(event.value, quoted=not event.implicit[0])
            hash(key)
        except (ScalarError, TypeError) as error:
            self.note(event, (*path, "?"), str(error))
            return False, "?"
        if key is None:
            self.note(event, (*path, "?"), "there is no key before the ':'")
            return False, "?"
        return True, key

    def merge(self, mapping: Mapping, merges: list[Node]) -> None:
        """Fill in the entries of `<<`, earlier ones first; entries of the mapping itself stand."""
        for value in merges:
            sources = value.items if isinstance(value, Sequence) else [value]
            for source in sources:
                source = source.arguments if isinstance(source, Call) and source.arguments else source
                if not isinstance(source, Mapping):
                    if not isinstance(source, Broken):
                        self.problems.add(
                            source, "<< takes a mapping, as in `<<: *name`", path=(*mapping.path, "<<")
                        )
                    continue
                for key, node in source.entries.items():
                    if key not in mapping.entries:
                        mapping.entries[key] = node
                        mapping.key_places[key] = source.key_place(key)

    def tagged(self, event: Any, content: Node, flow: bool) -> Node:
        """The node that the event's tag makes of its content."""
        tag = str(event.tag) if event.tag else ""
        if tag and not self.tags:
            return self.note(event, content.path, f"tags ({tag.replace(TAG, '!!')}) are not read here")
        if not tag and not isinstance(content, Scalar):
            return content
        try:
            node = apply_tag(tag, content, self.scope, quoted=not tag and not event.implicit[0], flow=flow)
        except (TagError, ScalarError) as error:
            return self.note(event, content.path, str(error))
        if isinstance(node, Call) and isinstance(content, Scalar) and content.text:
            return self.text_after_call(event, content, tag)
        if isinstance(node, Scalar) and event.style is None:
            look_at_text(node, self.problems, flow=flow)
        return node

    def text_after_call(self, event: Any, content: Scalar, tag: str) -> Node:
        """Text where the arguments of a call are expected: mostly a key whose ':' is missing."""
        line, column = place_after_tag(self.text, event.start_mark.line, event.start_mark.column)
        word = re.match(r"[\w-]+", content.text)
        path = (*content.path, word[0]) if word else content.path
        message = (
            f"{content.text.split()[0]!r} is not read: arguments of {tag} are lines `name: value`, or a list"
        )
        self.problems.add(None, message, place=Place(self.scope.file, line, column), path=path)
        return Broken(content.place, content.path)


def _is_merge(event: Any) -> bool:
    return (
        isinstance(event, ruamel.yaml.events.ScalarEvent)
        and event.value == "<<"
        and event.implicit[0]
        and not event.tag
    )
