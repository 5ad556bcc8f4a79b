"""What a YAML file says, as a tree in which every node knows its place."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from speechkit.errors import Place, UserError, UserErrors

Path = tuple[Any, ...]


def dotted(path: Path) -> str:
    """A path of keys as a user writes it after `--`.

    >>> dotted(("train_data", "transforms", 0, "low"))
    'train_data.transforms.0.low'
    """
    return ".".join(str(part) for part in path)


@dataclass(frozen=True)
class Problem:
    """A mistake (or, as a warning, an oddity) with its place; `str` is the line that a user reads.

    >>> print(Problem(Place("a.yaml", 3, 5), "model.width", "there is no such key"))
    a.yaml:3:5 model.width: there is no such key
    """

    place: Place
    key: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        key = f" {self.key}" if self.key else ""
        return f"{self.place}{key}: {'warning: ' if self.warning else ''}{self.message}"

    def as_error(self) -> UserError:
        """The same as an exception."""
        return UserError(self.message, place=self.place, key=self.key)


class Problems:
    """Collects problems, each said once."""

    def __init__(self) -> None:
        self.found: dict[tuple[Place, str, str], Problem] = {}

    def add(
        self,
        node: "Node | None",
        message: str,
        *,
        place: Place | None = None,
        path: Path | None = None,
        warning: bool = False,
    ) -> None:
        """Note `message` at a node, or at the place and the path given instead of the node's."""
        place = place or (node.place if node else Place("", 1))
        key = dotted(node.path if node and path is None else path or ())
        self.found.setdefault((place, key, message), Problem(place, key, message, warning))

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found.values())

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self if not problem.warning]

    def raise_errors(self) -> None:
        """Raise all errors at once, if there are any."""
        if self.errors:
            raise UserErrors(problem.as_error() for problem in self.errors)


@dataclass(eq=False)
class Node:
    """A node of the tree. Nodes are compared by identity: a shared node is a shared object."""

    place: Place
    path: Path

    @property
    def key(self) -> str:
        return dotted(self.path)


@dataclass(eq=False)
class Scalar(Node):
    """A plain value. `text` is how it was written.

    Where a reference made it, `template` is the text of that, `reads` are the top-level keys that it was made
    from, and `origin` is the value referred to, if it was taken as it is.
    """

    value: Any
    text: str = ""
    template: str = ""
    reads: frozenset[str] = frozenset()
    origin: "Scalar | None" = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all was written where a value can stand."""
        return self.value is None and not self.text


@dataclass(eq=False)
class Sequence(Node):
    items: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Mapping(Node):
    entries: dict[Any, Node] = field(default_factory=dict)
    key_places: dict[Any, Place] = field(default_factory=dict)

    def key_place(self, key: Any) -> Place:
        return self.key_places.get(key) or self.entries[key].place


@dataclass(eq=False)
class Call(Node):
    """`!new:`, `!name:` or `!apply:` with the dotted name of its target and its arguments."""

    kind: str
    target: str
    arguments: Sequence | Mapping | None = None


@dataclass(eq=False)
class Reference(Node):
    """`!ref` or `!copy` with its text, read in the file `scope`."""

    text: str
    copy: bool
    scope: "Scope"
    flow: bool = False


@dataclass(eq=False)
class Include(Node):
    """`!include:` with the values that the parent gives, and what the command line changes inside."""

    file: str
    given: Mapping | None
    scope: "Scope"
    overrides: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class Placeholder(Node):
    """`!PLACEHOLDER`: a value that the user has to give."""


@dataclass(eq=False)
class Attribute(Node):
    """The attribute of an object that is yet to be built, as in `!ref <model.n_outputs>`."""

    owner: Call
    name: str


@dataclass(eq=False)
class Broken(Node):
    """Stands for a node whose mistake is already noted."""


@dataclass(eq=False)
class Scope:
    """A file whose keys its references see: as shown to the user, as opened, and who included it."""

    file: str
    real: str
    path: Path = ()
    root: Mapping | None = None
    parent: "Scope | None" = None

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1


def children(node: Node) -> list[tuple[Any, Node]]:
    """What lies directly under a node, with its key or index."""
    if isinstance(node, Mapping):
        return list(node.entries.items())
    if isinstance(node, Sequence):
        return list(enumerate(node.items))
    if isinstance(node, Call):
        return children(node.arguments) if node.arguments else []
    if isinstance(node, Attribute):
        return [(node.name, node.owner)]
    return []


def walk(root: Node) -> Iterator[Node]:
    """Every node below (and with) `root` once, parents first, in the order of the text."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        stack.extend(child for _, child in reversed(children(node)))


def holds_object(root: Node) -> bool:
    """Whether building `root` makes an object (`!new` or `!apply`)."""
    return any(isinstance(node, Call) and node.kind != "name" for node in walk(root))


def copy_tree(node: Node, done: dict[int, Node]) -> Node:
    """A deep copy: what was shared inside stays shared inside."""
    if id(node) in done:
        return done[id(node)]
    result: Node
    if isinstance(node, Mapping):
        result = Mapping(node.place, node.path, {}, node.key_places)
        done[id(node)] = result
        result.entries = {key: copy_tree(child, done) for key, child in node.entries.items()}
    elif isinstance(node, Sequence):
        result = Sequence(node.place, node.path, [copy_tree(child, done) for child in node.items])
    elif isinstance(node, Call):
        arguments = copy_tree(node.arguments, done) if node.arguments else None
        assert arguments is None or isinstance(arguments, Sequence | Mapping)
        result = Call(node.place, node.path, node.kind, node.target, arguments)
    elif isinstance(node, Attribute):
        owner = copy_tree(node.owner, done)
        assert isinstance(owner, Call)
        result = Attribute(node.place, node.path, owner, node.name)
    else:
        result = node
    done[id(node)] = result
    return result
