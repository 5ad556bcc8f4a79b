"""Arithmetic in the text of a reference, as hyperpyyaml does it: numbers with + - * / // ** %."""

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

MAX_DIGITS = 300
MAX_TEXT = 20_000
SPACED = re.compile(r"<[^>]*>\s+([-+/])|([-+/])\s+<[^>]*>")
TIGHT = re.compile(r"<[^>]*>\s*(\*\*?|//|%)|(\*\*?|//|%)\s*<[^>]*>")


class ArithmeticRefused(ValueError):
    """The text is arithmetic, but its value cannot be had; the message says why."""


def evaluate(text: str) -> Any:
    """The value of `text` if it is arithmetic, else `text` itself.

    >>> evaluate("2 * 6"), evaluate("runs/3"), evaluate("7 // 2 + 0.5")
    (12, 'runs/3', 3.5)
    """
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, KeyError):
        return text
    except ZeroDivisionError:
        raise ArithmeticRefused("division by zero") from None
    except (OverflowError, MemoryError, RecursionError, ValueError) as error:
        if isinstance(error, ArithmeticRefused):
            raise
        raise ArithmeticRefused("the number is too large, or the text cannot be read") from None
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ArithmeticRefused(f"the result is a {type(value).__name__}, not a plain number")
    return value


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    raise TypeError(node)


def _power(base: Any, exponent: Any) -> Any:
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and abs(exponent) * len(str(abs(base))) > MAX_DIGITS
    ):
        raise ArithmeticRefused("the number is too large")
    return base**exponent


def _times(left: Any, right: Any) -> Any:
    for text, n in ((left, right), (right, left)):
        if isinstance(text, str | bytes) and isinstance(n, int) and len(text) * n > MAX_TEXT:
            raise ArithmeticRefused("the text is too long")
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes):
        raise TypeError("text")
    return left % right


OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: _power,
    ast.Mod: _modulo,
}


def left_over(template: str, text: str, values: list[Any]) -> str:
    """Why the text that a template became was surely meant as something else, or "" if it may be meant.

    `values` are those of the template's references, in order.

    >>> left_over("max(<a>, 3)", "max(2, 3)", [2])
    'max(2, 3) is text here: only numbers with + - * / // ** % are reckoned'
    >>> left_over("<folder>/x", "runs/x", ["runs"])
    ''
    """
    if text[:1] + text[-1:] in ("[]", "{}"):
        return f"{text} is text here, not a list or a mapping: write it as YAML, with a !ref for each item"
    numbers = all(isinstance(value, int | float) for value in values)
    if _is_meant(template, text, numbers):
        return ""
    return f"{text} is text here: only numbers with + - * / // ** % are reckoned"


def _calls(node: ast.AST | None) -> bool:
    """Whether an expression is a call, or arithmetic with one; `x(3).txt` is a name of a file."""
    if isinstance(node, ast.BinOp):
        return _calls(node.left) or _calls(node.right)
    return isinstance(node, ast.Call) or (isinstance(node, ast.UnaryOp) and _calls(node.operand))


def _is_meant(template: str, text: str, numbers: bool) -> bool:
    try:
        tree: ast.AST | None = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is not None:
        nodes = list(ast.walk(tree))
        leaves = [node for node in nodes if isinstance(node, ast.Constant | ast.Name)]
        reckons = any(isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp) for node in nodes)
        constant = all(isinstance(node, ast.Constant) for node in leaves)
        body = getattr(tree, "body", None)
        if _calls(body) or (reckons and constant and not isinstance(body, ast.Tuple)):
            return False
    if TIGHT.search(template):
        return False
    if numbers and re.fullmatch(r"[\d\s.eE+\-*/%()]+", text) and re.search(r"\s|[+*%(]|[-/]$", text.strip()):
        return text.strip().startswith("(") and text.strip().endswith(")")
    return not (numbers and SPACED.search(template))
