"""The arguments of a call held against a signature."""

import ast
import inspect
from typing import Any

from speechkit.config.nodes import Attribute, Broken, Call, Mapping, Node, Problems, Scalar, Sequence
from speechkit.errors import suggest

KINDS = inspect.Parameter
NAMED = (KINDS.POSITIONAL_OR_KEYWORD, KINDS.KEYWORD_ONLY)
LISTS = {"list", "List", "Sequence", "tuple", "Tuple", "Iterable", "Collection", "set", "Set"}
MAPPINGS = {"dict", "Dict", "Mapping"}
PLAIN: dict[str, list[type]] = {"int": [int], "float": [float], "str": [str], "bool": [bool], "NoneType": []}
FACTORY = type  # stands for what !name: gives
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    FACTORY: "a function or factory (!name:)",
}


def check_call(call: Call, signature: inspect.Signature, problems: Problems) -> None:
    """Note the arguments that a call must not have, lacks, or has of another type.

    For `!name:` what is lacking may come when the factory is called.
    """
    parameters = list(signature.parameters.values())
    given = call.arguments
    name = call.target.rpartition(".")[2]
    taken: set[str] = set()
    if isinstance(given, Sequence):
        positional = [
            each for each in parameters if each.kind in (KINDS.POSITIONAL_ONLY, KINDS.POSITIONAL_OR_KEYWORD)
        ]
        variable = any(each.kind is KINDS.VAR_POSITIONAL for each in parameters)
        if len(given.items) > len(positional) and not variable:
            n, n_given = len(positional), len(given.items)
            takes = f"{name} takes {n} argument{'s' * (n != 1)} by position"
            problems.add(call, f"{takes}, {n_given} are given")
        for parameter, node in zip(positional, given.items, strict=False):
            taken.add(parameter.name)
            check_value(node, parameter, name, problems)
    elif isinstance(given, Mapping):
        taken = _check_named(call, given, parameters, name, problems)
    if call.kind == "name":
        return
    missing = [
        each.name
        for each in parameters
        if each.default is KINDS.empty
        and each.name not in taken
        and each.kind in (KINDS.POSITIONAL_ONLY, *NAMED)
    ]
    if missing:
        plural = "arguments" if len(missing) > 1 else "the argument"
        problems.add(call, f"{name} needs {plural} {', '.join(map(repr, missing))}")


def _check_named(
    call: Call, given: Mapping, parameters: list[inspect.Parameter], name: str, problems: Problems
) -> set[str]:
    named = {each.name: each for each in parameters if each.kind in NAMED}
    open_ended = any(each.kind is KINDS.VAR_KEYWORD for each in parameters)
    taken = set(given.entries)
    for key, node in given.entries.items():
        if key in named:
            check_value(node, named[key], name, problems)
        elif not open_ended:
            left = [each for each in named if each not in taken]
            near = suggest(key, left)
            taken |= {each for each in left if repr(each) in near}  # what was meant is not missing as well
            hint = near or (f"; it takes {', '.join(left)}" if 0 < len(left) <= 12 else "")
            problems.add(
                None,
                f"{name} has no argument {key!r}{hint}",
                place=given.key_place(key),
                path=(*call.path, key),
            )
    return taken


def check_value(node: Node, parameter: inspect.Parameter, name: str, problems: Problems) -> None:
    """Note a plain value that its parameter's annotation surely does not take, where the value is written."""
    annotation = parameter.annotation
    if isinstance(node, Scalar):
        node = node.origin or node
        if node.is_blank and parameter.default is KINDS.empty and "None" not in str(annotation):
            problems.add(node, f"{parameter.name!r} of {name} has no value")
            return
    if annotation is KINDS.empty:
        return
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    if expected := unfit(node, text):
        problems.add(node, f"{parameter.name!r} of {name} is {expected}, found {_shown(node)}")


def unfit(node: Node, annotation: str) -> str:
    """What an annotation asks for, where the node is surely something else; "" where it fits or may fit."""
    if isinstance(node, Call | Attribute | Broken) or (isinstance(node, Scalar) and node.value is None):
        return ""
    try:
        tree = ast.parse(annotation, mode="eval").body
        kinds = _kinds(tree)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    if kinds is None:
        return ""
    if any(_fits(node, kind) for kind in kinds):
        return _unfit_items(node, tree) if isinstance(node, Sequence) else ""
    choices = [kind for kind in kinds if not isinstance(kind, type)]
    words = [WORDS[kind] for kind in kinds if isinstance(kind, type) and kind in WORDS]
    if choices:
        value = str(node.value) if isinstance(node, Scalar) else ""
        words.append(f"one of {', '.join(map(repr, choices))}{suggest(value, map(str, choices))}")
    return " or ".join(dict.fromkeys(words))


def _unfit_items(node: Sequence, tree: ast.expr) -> str:
    """As `unfit`, for the items of a list."""
    if not isinstance(tree, ast.Subscript) or _head(tree.value) not in LISTS:
        return ""
    inner = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    inner = [each for each in inner if not (isinstance(each, ast.Constant) and each.value is ...)]
    for index, item in enumerate(node.items):
        each = inner[index] if index < len(inner) else inner[-1] if inner else None
        if each is not None and (expected := unfit(item, ast.unparse(each))):
            return f"a list in which item {index + 1} is {expected}"
    return ""


def _fits(node: Node, kind: Any) -> bool:
    if isinstance(node, Mapping):
        return kind is dict
    if isinstance(node, Sequence):
        return kind is list
    assert isinstance(node, Scalar)
    value = node.value
    if not isinstance(kind, type):
        return type(value) is type(kind) and bool(value == kind)
    if isinstance(value, tuple):
        return kind is list
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _kinds(node: ast.expr) -> list[Any] | None:
    """The plain types and literal values that an annotation allows; None where it may allow anything."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if isinstance(node, ast.Constant):
        return [] if node.value is None else None
    if isinstance(node, ast.Subscript):
        return _subscript_kinds(node)
    word = _head(node)
    if isinstance(node, ast.Name) and word in PLAIN:
        return list(PLAIN[word])
    if word in LISTS:
        return [list]
    if word in ("Path", "PathLike"):
        return [str]
    if word in MAPPINGS:
        return [dict]
    return [FACTORY] if word == "Callable" else [object] if word == "Tensor" else None


def _union(members: list[ast.expr]) -> list[Any] | None:
    found: list[Any] = []
    for member in members:
        kinds = _kinds(member)
        if kinds is None:
            return None
        found += kinds
    return found


def _head(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _subscript_kinds(node: ast.Subscript) -> list[Any] | None:
    head = _head(node.value)
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if head == "Literal":
        values = [item.value for item in items if isinstance(item, ast.Constant)]
        return values if len(values) == len(items) else None
    if head in ("Optional", "Union"):
        return _union(items)
    return _kinds(node.value) if head in LISTS | MAPPINGS or head == "Callable" else None


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return f"{node.value!r}"
    return "a list" if isinstance(node, Sequence) else "a mapping"
