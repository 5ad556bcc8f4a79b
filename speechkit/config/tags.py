"""What the tags of HyperPyYAML make of the nodes under them; which tags are not read, and why."""

from speechkit.config.nodes import (
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
)
from speechkit.config.scalars import TAG, read_scalar, shorten
from speechkit.errors import suggest

PLAIN_TAGS = ("str", "int", "float", "bool", "null")
CALLS = ("!new:", "!name:", "!apply:")
KNOWN_TAGS = ("!ref", "!copy", "!PLACEHOLDER", "!tuple", *CALLS, "!include:")


class TagError(ValueError):
    """A tag cannot be read here; the message says why."""


def apply_tag(tag: str, content: Node, scope: Scope, *, quoted: bool, flow: bool) -> Node:
    """The node that `tag` ("" for a plain scalar) makes of `content`.

    Raises `TagError`, or `ScalarError` for a value that cannot be read.
    """
    if tag.startswith(CALLS):
        return _call(tag, content)
    if tag.startswith("!include:"):
        return _include(content, tag.removeprefix("!include:"), scope)
    standard = tag.removeprefix(TAG)
    if isinstance(content, Scalar):
        if tag in ("!ref", "!copy"):
            return Reference(content.place, content.path, content.text, tag == "!copy", scope, flow)
        if tag == "!PLACEHOLDER":
            return Placeholder(content.place, content.path)
        if standard in (*PLAIN_TAGS, "", "!tuple"):
            kind = "" if tag == "!tuple" else standard
            content.value = read_scalar(content.text, quoted=quoted, flow=flow, tag=kind)
            return content
    if standard == {Sequence: "seq", Mapping: "map"}.get(type(content)):
        return content
    raise TagError(_refusal(tag, content))


def _call(tag: str, content: Node) -> Call:
    kind, target = tag[1:].split(":", 1)
    if not target or not all(part.isidentifier() for part in target.split(".")):
        raise TagError(f"{tag!r} needs the dotted name of a class or function, as in !{kind}:torch.nn.ReLU")
    arguments = content if isinstance(content, Sequence | Mapping) else None
    wrong = (
        [key for key in arguments.entries if not isinstance(key, str)]
        if isinstance(arguments, Mapping)
        else []
    )
    if wrong:
        raise TagError(f"the name of an argument is text, found {wrong[0]!r}")
    return Call(content.place, content.path, kind, target, arguments)


def _include(content: Node, file: str, scope: Scope) -> Include:
    given = content if isinstance(content, Mapping) else None
    if isinstance(content, Scalar) and content.text and not file:
        raise TagError(f"the file follows without a space: !include:{content.text}")
    if given is None and not (isinstance(content, Scalar) and not content.text):
        raise TagError("under !include: stands a mapping of values, or nothing")
    if not file:
        raise TagError("!include: needs a file, as in !include:features.yaml")
    return Include(content.place, content.path, file, given, scope)


def _refusal(tag: str, content: Node) -> str:
    """Why a tag is not read."""
    if tag.startswith((TAG + "python", "!!python")):
        return "!!python tags run code and are not read; use !new:, !name: or !apply:"
    if tag.startswith("!applyref"):
        return "!applyref: runs before anything is checked and is not read; use !apply: and !ref"
    if tag.startswith("!module"):
        return "!module: is not read; name the class or the function itself with !name:"
    shown = tag.replace(TAG, "!!")
    if tag in KNOWN_TAGS or tag.removeprefix(TAG) in (*PLAIN_TAGS, "seq", "map"):
        kind = {Scalar: "a plain value", Sequence: "a list", Mapping: "a mapping"}[type(content)]
        return f"{shown} does not go with {kind}"
    if tag in ("!new", "!name", "!apply", "!include"):
        return f"{tag} is followed by ':' and a name, without a space, as in {tag}:name"
    head = tag.split(":", 1)[0] + ":" if ":" in tag else tag
    return f"there is no tag {shown}{suggest(head, KNOWN_TAGS)}"


def look_at_text(node: Scalar, problems: Problems, *, flow: bool) -> None:
    """Note unquoted text that was surely meant as something else."""
    text = node.text
    if not isinstance(node.value, str):
        return
    if flow and text[:1] == "(" and ")" not in text:
        problems.add(
            node, "inside [...] and {...} a ',' ends '(': write the tuple on a line of its own, or a list"
        )
    elif text[:1] == "(" and ")" not in text and "," in text:
        problems.add(node, f"'(' without ')' in {shorten(text)!r}: this is text, not a tuple")
    elif text.endswith(("]", ")", "}")) and not any(opening in text for opening in "[({"):
        problems.add(node, f"{text[-1]!r} without its opening bracket in {shorten(text)!r}")
