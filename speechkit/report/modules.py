"""The tree of a model's modules, from `model.json`: rows for the page, lines for the terminal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from speechkit.report.text import format_input

CUT = "..."
SHORTEST = 20  # characters that the first column keeps
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
COLUMNS = ("module", "output shape", "parameters", "mult-adds")


@dataclass(frozen=True)
class Module:
    """A row of the table of modules: one of them, or several equal ones, each with these figures.

    name: the last part of the path; of several the first and the last, "0 to 7". depth: 0 for a key of the
    YAML's `modules`. repeats: how many equal neighbours the row stands for.
    """

    name: str
    depth: int
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int | None
    is_frozen: bool = False
    repeats: int = 1


@dataclass
class _Node:
    name: str
    row: dict[str, Any] = field(default_factory=dict)
    children: list["_Node"] = field(default_factory=list)


def list_modules(model: dict[str, Any] | None, *, unfolded: bool = False) -> list[Module]:
    """The tree of modules as rows, each before its children.

    model: the value of a `model.json`. Neighbours of one kind, whose names differ in a number only and which
    are equal in all that is known of them and of their children, are one row, unless `unfolded`.

    >>> row = {"class": "Linear", "parameters": 6, "trainable": 6, "output_shape": [1, 2], "multiply_adds": 4}
    >>> model = {"modules": [{"name": f"layers.{n}", **row} for n in range(8)]}
    >>> [(module.name, module.repeats) for module in list_modules(model)]
    [('layers', 1), ('0 to 7', 8)]
    """
    root = _Node("")
    for row in (model or {}).get("modules", []):
        _place(root, [part for part in row["name"].split(".") if part], row)
    rows: list[Module] = [_make_row(root, 0)] if root.row else []  # of a model that is described as one
    for first, last, count in _group(root.children, unfolded):
        rows += _list(first, last, count, 0, unfolded)
    return rows


def format_model(model: dict[str, Any], *, width: int = 80, unfolded: bool = False) -> str:
    """A model as a tree in plain text: names, classes, output shapes, parameters, multiply-adds, totals.

    model: the value of a `model.json`. width: columns, for which long classes are cut. Equal neighbours are
    one line, "x 8", with the figures of each, unless `unfolded`.

    >>> row = {"name": "net", "class": "Linear", "parameters": 6, "trainable": 6}
    >>> totals = {"parameters": 6, "trainable": 6, "multiply_adds": 4, "input": {"seconds": 1.0}}
    >>> print(format_model({"modules": [row | {"output_shape": [1, 2], "multiply_adds": 4}]} | totals))
    module       output shape  parameters  mult-adds
    net: Linear           1x2           6          4
    <BLANKLINE>
    6 parameters, all trained; 4 multiply-adds for 1 s of audio
    <BLANKLINE>
    """
    modules = list_modules(model, unfolded=unfolded)
    cells = [COLUMNS, *(_write_cells(module) for module in modules)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    widths[0] = max(SHORTEST, min(widths[0], width - sum(widths[1:]) - 2 * len(widths[1:])))
    lines = [
        "  ".join([_cut(tree, widths[0]).ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]).rstrip()
        for tree, *numbers in cells
    ]
    folded = any(module.repeats > 1 for module in modules)
    note = ["x N: N equal modules, with the figures of each; --all lists them"] if folded else []
    return "\n".join([*lines, "", _describe_totals(model), *note]) + "\n"


def format_count(number: int) -> str:
    """A number in three digits and a prefix, as short as it can be.

    >>> format_count(640), format_count(12_563_520), format_count(4_000), format_count(999_999)
    ('640', '12.6 M', '4 k', '1 M')
    """
    value = float(f"{number:.3g}")
    for size, prefix in PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{number}"


def _place(root: _Node, path: Sequence[str], row: dict[str, Any]) -> None:
    node = root
    for part in path:
        found = next((child for child in node.children if child.name == part), None)
        if found is None:
            node.children.append(found := _Node(part))
        node = found
    node.row = row


def _group(nodes: Sequence[_Node], unfolded: bool) -> list[tuple[_Node, _Node, int]]:
    """Neighbours that are equal, as (first, last, how many)."""
    groups: list[tuple[_Node, _Node, int]] = []
    for node in nodes:
        if groups and not unfolded and _are_alike(groups[-1][1], node):
            groups[-1] = (groups[-1][0], node, groups[-1][2] + 1)
        else:
            groups.append((node, node, 1))
    return groups


def _are_alike(first: _Node, second: _Node) -> bool:
    stems = [re.sub(r"\d+", "#", node.name) for node in (first, second)]
    return stems[0] == stems[1] and "#" in stems[0] and _are_equal(first, second)


def _are_equal(first: _Node, second: _Node) -> bool:
    """In all but their own names."""
    rows = [{key: value for key, value in node.row.items() if key != "name"} for node in (first, second)]
    children = first.children, second.children
    return (
        rows[0] == rows[1]
        and [child.name for child in children[0]] == [child.name for child in children[1]]
        and all(_are_equal(*pair) for pair in zip(*children, strict=True))
    )


def _list(first: _Node, last: _Node, count: int, depth: int, unfolded: bool) -> list[Module]:
    row = _make_row(first, depth)
    rows = [replace(row, name=f"{first.name} to {last.name}", repeats=count) if count > 1 else row]
    for group in _group(first.children, unfolded):
        rows += _list(*group, depth + 1, unfolded)
    return rows


def _make_row(node: _Node, depth: int) -> Module:
    row = node.row
    return Module(
        name=node.name or "(all)",
        depth=depth,
        kind=row.get("class", ""),
        shape=tuple(row.get("output_shape") or ()),
        parameters=row.get("parameters", 0),
        multiply_adds=row.get("multiply_adds"),
        is_frozen=row.get("trainable", 0) < row.get("parameters", 0) and not row.get("trainable"),
    )


def _write_cells(module: Module) -> tuple[str, ...]:
    times = f" x {module.repeats}" if module.repeats > 1 else ""
    frozen = " (frozen)" if module.is_frozen else ""
    return (
        f"{'  ' * module.depth}{module.name}{times}: {module.kind}{frozen}",
        "x".join(map(str, module.shape)),
        f"{module.parameters:,}" if module.parameters else "",
        "" if module.multiply_adds is None else format_count(module.multiply_adds),
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(CUT)] + CUT


def _describe_totals(model: dict[str, Any]) -> str:
    n, trained = model["parameters"], model["trainable"]
    parts = [f"{n:,} parameters, {'all' if trained == n else f'{trained:,} of them'} trained"]
    if model["multiply_adds"] is not None:
        parts.append(f"{model['multiply_adds']:,} multiply-adds for {format_input(model['input'])}")
    return "; ".join(parts)
