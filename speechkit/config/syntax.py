"""Errors of YAML's grammar in a user's words: the place to mend, the key nearest to it, what is wrong."""

import re
from typing import Any

from speechkit.errors import Place

KEY = re.compile(r"^(\s*)(?:- +)*[*&!'\"]?(\w[\w.-]*)['\"]?\s*(?::|$| )")
AT_START = (
    "simple key",
    "quoted scalar",
    "flow sequence",
    "flow mapping",
    "alias",
    "anchor",
    "tag",
    "directive",
)


NOT_HERE = "a ':' where none can be: the line before has a value already, or the indentation is wrong"
NO_FIT = "the indentation fits no line above, or a bracket or quote is wrong"


def describe_syntax_error(error: Exception, text: str, file: str) -> tuple[Place, tuple, str]:
    """Where to look, below which key, and what is wrong."""
    line, column = _position(error, text)
    message = _message(error)
    if blamed := _other_line(message, error, text, line):
        line, message = blamed
        column = len(_leading(_line(text, line))) + 1
    if "\t" in _leading(_line(text, line)):
        line, column = line, _line(text, line).index("\t") + 1
        message = "a tab indents this line; YAML indents with spaces"
    return Place(file, line, column), nearest_key(text, line), message


def nearest_key(text: str, line: int) -> tuple:
    """The path of keys at a line (from 1), read off the indentation; for text that does not parse.

    >>> nearest_key("a:\\n  b: 1\\n  c 2\\nd: 3", 3)
    ('a', 'c')
    """
    path: list[tuple[int, str]] = []
    for number, content in enumerate(text.split("\n")[:line], start=1):
        match = KEY.match(content)
        if not match or (number < line and ":" not in content):
            continue
        indent = len(match[1])
        path = [part for part in path if part[0] < indent] + [(indent, match[2])]
    return tuple(key for _, key in path)


def _position(error: Exception, text: str) -> tuple[int, int]:
    """Line and column from 1. Of the two marks that ruamel gives, the one where something is to mend."""
    position = getattr(error, "position", None)
    if position is not None:  # a character that YAML does not allow
        before = text[:position]
        return before.count("\n") + 1, position - before.rfind("\n")
    context: Any = getattr(error, "context_mark", None)
    problem: Any = getattr(error, "problem_mark", None)
    said = str(getattr(error, "context", "") or "")
    mark = context if context is not None and any(word in said for word in AT_START) else problem or context
    if mark is None:
        return 1, 1
    n_lines = text.count("\n") + 1
    return min(mark.line + 1, n_lines), mark.column + 1


def _message(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if getattr(error, "position", None) is not None:
        character = getattr(error, "character", "")
        shown = chr(character) if isinstance(character, int) else character
        return f"the character {shown!r} is not allowed in YAML"
    problem = str(getattr(error, "problem", None) or error)
    said = str(getattr(error, "context", "") or "")
    if "could not find expected ':'" in problem:
        return "a ':' is missing after the key"
    if "mapping values are not allowed" in problem:
        return NOT_HERE
    if "expected <block end>" in problem:
        return NO_FIT
    if "flow sequence" in said:
        return "a list opened here with '[' is not closed with ']', or a ',' is missing"
    if "flow mapping" in said:
        return "a mapping opened here with '{' is not closed with '}', or a ',' is missing"
    if "quoted scalar" in said:
        return "a quote opened here is not closed"
    if "cannot start any token" in problem:
        return f"{problem}: put the value in quotes"
    return " ".join(f"{said} {problem}".split())


def place_after_tag(text: str, line: int, column: int) -> tuple[int, int]:
    """Line and column (from 1) of what follows the tags at a mark (from 0).

    >>> place_after_tag("a: !new:b.C\\n\\n  d 1", 0, 3)
    (3, 3)
    """
    lines = text.split("\n")
    rest = lines[line][column:]
    after = re.match(r"(?:[!&]\S*\s*)*", rest)
    width = after.end() if after else 0
    if rest[width:].strip() and rest[width] != "#":
        return line + 1, column + width + 1
    for number in range(line + 1, len(lines)):
        if _says(lines[number]):
            return number + 1, len(_leading(lines[number])) + 1
    return line + 1, column + 1


def _other_line(message: str, error: Exception, text: str, line: int) -> tuple[int, str] | None:
    """A line above that is more likely to blame than the one where the parser stopped, and why."""
    lines = text.split("\n")
    above = [number for number in range(1, line) if _says(lines[number - 1])]
    if not above:
        return None
    if "document start" in message:
        first = above[0]
        return (first, "the first key is indented") if _leading(lines[first - 1]) else None
    if message not in (NOT_HERE, NO_FIT) or line > len(lines):
        return None
    unit = _indent_unit(lines)
    if len(_leading(lines[line - 1])) % unit:
        return None
    before = lines[above[-1] - 1]
    if message == NOT_HERE and not re.match(r"\s*(?:- +)*[^\s:][^:]*:(?:\s|$)", before):
        word = re.match(r"\s*([\w.-]+)\s*(?:!|$|[\w'\"\[{(-])", before)
        if word and not before.lstrip().startswith("-"):
            return above[-1], f"a ':' is missing after {word[1]!r}"
    odd = [number for number in above[-12:] if len(_leading(lines[number - 1])) % unit]
    if odd:
        return odd[-1], f"the indentation fits no other line (it goes by {unit} spaces elsewhere)"
    if message == NOT_HERE and re.search(r"!(ref|copy)\s", before):
        return above[-1], "after !ref there can be no keys, and the line below is one (did you mean !new: ?)"
    return None


def _indent_unit(lines: list[str]) -> int:
    """How many spaces a file indents by: 4 if nearly all lines fit that, else 2."""
    widths = [len(_leading(line)) for line in lines if _says(line) and _leading(line)]
    fours = sum(width % 4 == 0 for width in widths)
    return 4 if widths and fours >= 0.8 * len(widths) else 2


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _line(text: str, line: int) -> str:
    lines = text.split("\n")
    return lines[line - 1] if line <= len(lines) else ""


def _leading(content: str) -> str:
    return content[: len(content) - len(content.lstrip())]
