"""What a value read from JSON must look like, and all the ways in which it does not.

A shape is written as the value looks: a type, `None`, a tuple of alternatives, `[shape]` for a list, a
dict of keys (`"key?"` may be absent, other keys are allowed), `Row(shapes)` for a list of as many items, or
`MapOf(shape)` for a mapping with keys of any name.
`NUMBER` is a finite number, `LOSSY` a number that may also be NaN or infinite.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import call
from typing import Any


@dataclass(frozen=True)
class MapOf:
    """A mapping of strings to values of one shape."""

    shape: Any


@dataclass(frozen=True)
class Row:
    """A list with one item for each of the shapes."""

    shapes: tuple[Any, ...]


@dataclass(frozen=True)
class Number:
    """A number, not a truth value; whole where `whole` is set."""

    name: str
    whole: bool = False
    finite: bool = True
    low: float = -math.inf

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        try:
            return (math.isfinite(value) or not self.finite) and not value < self.low
        except OverflowError:  # a whole number beyond any float
            return False


NUMBER = Number("a number")
LOSSY = Number("a number", finite=False)
COUNT = Number("a whole number from 0 on", whole=True, low=0)
AMOUNT = Number("a number from 0 on", low=0)


@dataclass(frozen=True)
class Misfit:
    """One place of a value that has not the expected shape."""

    key: str
    found: str
    expected: str


Check = Callable[[Any], bool]
_ABSENT = object()
# Shapes as functions, by id; a shape is kept beside its function, so that its id is no other's.
_CHECKS: dict[int, tuple[Any, Check]] = {}


def find_misfits(value: Any, shape: Any, key: str = "") -> Iterator[Misfit]:
    """All places where `value` has not the shape.

    >>> [misfit.key for misfit in find_misfits({"a": 1, "b": ["x", 2]}, {"a": str, "b": [str], "c?": int})]
    ['a', 'b[1]']
    """
    if fits(value, shape):
        return
    parts = _split(value, shape, key)
    if parts is None:
        yield Misfit(key, describe(value), name_shape(shape))
        return
    for inner_key, item, inner_shape in parts:
        yield from find_misfits(item, inner_shape, inner_key)


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has the shape; quick, since nearly all values do.

    >>> fits([1, 2.5], [NUMBER]), fits({"a": None}, {"a": (str, None), "b?": str}), fits(True, NUMBER)
    (True, True, False)
    """
    known = _CHECKS.get(id(shape))
    if known is None:
        known = _CHECKS[id(shape)] = (shape, make_check(shape))
    return known[1](value)


def make_check(shape: Any) -> Check:
    """The shape as one function: a test set of 100,000 texts has ten million values to check.

    >>> check = make_check({"a": [("S", "D")]})
    >>> check({"a": ["S", "S"]}), check({"a": ["X"]}), check({})
    (True, False, False)
    """
    if isinstance(shape, Number):
        return shape.holds
    if isinstance(shape, tuple):
        return _check_any(shape)
    if shape is None:
        return lambda value: value is None
    if isinstance(shape, type):
        if shape is bool or not issubclass(bool, shape):
            return lambda value: isinstance(value, shape)
        return lambda value: isinstance(value, shape) and not isinstance(value, bool)
    if isinstance(shape, list):
        item = make_check(shape[0])
        return lambda value: isinstance(value, (list, tuple)) and all(map(item, value))
    if isinstance(shape, Row):
        checks = [make_check(each) for each in shape.shapes]
        n = len(checks)
        return lambda value: (
            isinstance(value, (list, tuple)) and len(value) == n and all(map(call, checks, value))
        )
    if isinstance(shape, MapOf):
        inner = make_check(shape.shape)
        return lambda value: isinstance(value, dict) and all(map(inner, value.values()))
    if isinstance(shape, dict):
        return _check_mapping(shape)
    return lambda value: bool(value == shape and type(value) is type(shape))


def _check_any(shapes: tuple[Any, ...]) -> Check:
    if all(isinstance(shape, str) for shape in shapes):
        names = frozenset(shapes)
        return lambda value: type(value) is str and value in names
    checks = [make_check(shape) for shape in shapes]
    if len(checks) == 2:  # nearly all are something or null
        first, second = checks
        return lambda value: first(value) or second(value)
    return lambda value: any(check(value) for check in checks)


def _check_mapping(shape: dict[str, Any]) -> Check:
    checks = [
        (name.removesuffix("?"), name.endswith("?"), make_check(inner)) for name, inner in shape.items()
    ]

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return all(
            item_fits(value[name]) if name in value else may_be_absent
            for name, may_be_absent, item_fits in checks
        )

    return check


def _split(value: Any, shape: Any, key: str) -> list[tuple[str, Any, Any]] | None:
    """The parts of a value with their keys and shapes; None where it is not such a container."""
    if isinstance(shape, tuple):  # the container that it was meant to be, so that its inner mistakes are told
        found = (_split(value, alternative, key) for alternative in shape)
        return next((parts for parts in found if parts is not None), None)
    if isinstance(shape, list) and isinstance(value, (list, tuple)):
        return [(f"{key}[{position}]", item, shape[0]) for position, item in enumerate(value)]
    if isinstance(shape, Row) and isinstance(value, (list, tuple)) and len(value) == len(shape.shapes):
        pairs = zip(value, shape.shapes, strict=True)
        return [(f"{key}[{position}]", item, inner) for position, (item, inner) in enumerate(pairs)]
    if isinstance(shape, MapOf) and isinstance(value, dict):
        return [(_join(key, str(name)), item, shape.shape) for name, item in value.items()]
    if isinstance(shape, dict) and isinstance(value, dict):
        named = [(name.removesuffix("?"), name, inner) for name, inner in shape.items()]
        return [
            (_join(key, bare), value.get(bare, _ABSENT), inner)
            for bare, name, inner in named
            if bare in value or bare == name
        ]
    return None


def name_shape(shape: Any) -> str:
    """A shape in words.

    >>> name_shape((str, None))
    'text or null'
    """
    if isinstance(shape, tuple):
        return " or ".join(name_shape(alternative) for alternative in shape)
    if isinstance(shape, Number):
        return shape.name
    if isinstance(shape, MapOf | dict):
        return "a mapping"
    if isinstance(shape, Row):
        return f"a list of {len(shape.shapes)}"
    if isinstance(shape, list):
        return "a list"
    if shape is None:
        return "null"
    names = {str: "text", bool: "true or false"}
    return names.get(shape) or (shape.__name__ if isinstance(shape, type) else repr(shape))


def describe(value: Any) -> str:
    """A value in a message, cut where it is long.

    >>> describe({"a": 1}), describe(None), describe("x" * 100)[-9:]
    ('a mapping', 'null', "xxxxx...'")
    """
    if value is _ABSENT:
        return "nothing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return str(value)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
