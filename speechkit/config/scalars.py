"""Plain values from their text: numbers, booleans, null, dates and tuples, as hyperpyyaml reads them.

hyperpyyaml reads a file with ruamel (YAML 1.2: `yes` and `off` are text), writes it out and reads it again
with one more rule: text in parentheses is a tuple, whose inside PyYAML reads (YAML 1.1: `(yes, 1)` is
`(True, 1)`). We do the same with instances of our own, without PyYAML's unsafe loader and without tags.
"""

import re
from functools import lru_cache
from typing import Any

import ruamel.yaml
import yaml

TUPLE = re.compile(r"\(.*\)")
# What ruamel does not write without quotes: in any place, and inside [...] and {...}.
ENDS_PLAIN = re.compile(
    r":\s|\s#|[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
ENDS_FLOW = re.compile(r"[,\[\]{}]")
TAG = "tag:yaml.org,2002:"


class ScalarError(ValueError):
    """The text of a value cannot be read; the message says why."""


@lru_cache(maxsize=1)
def _reader() -> ruamel.yaml.YAML:
    return ruamel.yaml.YAML(typ="safe", pure=True)


def read_scalar(text: str, *, quoted: bool = False, flow: bool = False, tag: str = "") -> Any:
    """The value of a scalar; `tag` is one of `str int float bool null` where the user wrote it.

    >>> read_scalar("3"), read_scalar("1e-3"), read_scalar("yes"), read_scalar("(1, a)")
    (3, 0.001, 'yes', (1, 'a'))
    """
    if is_tuple(text, flow=flow) and not tag:
        return read_tuple(text)
    reader = _reader()
    if quoted or tag == "str":
        return text
    implicit = reader.resolver.resolve(ruamel.yaml.nodes.ScalarNode, text, (True, False))
    name = TAG + tag if tag else str(implicit)
    if name in (TAG + "merge", TAG + "value", TAG + "yaml"):
        raise ScalarError(f"{text!r} means something else in YAML; put it in quotes if it is text")
    if name == "!tuple":  # hyperpyyaml, loaded in the same process, adds this to ruamel's own table
        return text
    try:
        return reader.constructor.construct_object(
            ruamel.yaml.nodes.ScalarNode(ruamel.yaml.tag.Tag(suffix=name), text), deep=True
        )
    except (ruamel.yaml.error.YAMLError, ValueError, KeyError, IndexError, OverflowError, AttributeError):
        raise ScalarError(f"{shorten(text)!r} is not a {name.removeprefix(TAG)} that can be read") from None


def is_tuple(text: str, *, flow: bool = False) -> bool:
    """Whether text is read as a tuple: in parentheses, and such that YAML could write it without quotes.

    >>> is_tuple("(1, 2)"), is_tuple("(1, 2)", flow=True), is_tuple("(a: 1)"), is_tuple("(1")
    (True, False, False, False)
    """
    return bool(TUPLE.fullmatch(text)) and not (ENDS_PLAIN.search(text) or (flow and ENDS_FLOW.search(text)))


def read_tuple(text: str) -> tuple:
    """The tuple that `text`, in parentheses, stands for; its items are YAML without tags.

    >>> read_tuple("(1, 2.5, [a, null])")
    (1, 2.5, ['a', None])
    """
    inside = f"[{text[1:-1]}]"
    try:
        for event in yaml.parse(inside, Loader=yaml.SafeLoader):
            if getattr(event, "tag", None) or getattr(event, "anchor", None):
                raise ScalarError(f"tags and anchors are not read inside a tuple: {shorten(text)}")
        items = yaml.load(inside, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as error:
        if isinstance(error, ScalarError):
            raise
        raise ScalarError(f"{shorten(text)} is not a tuple that can be read") from None
    if any(isinstance(item, str) and re.match(r"\(|.*\)$", item) for item in items):
        raise ScalarError(
            f"a tuple inside a tuple is not read: {shorten(text)}; write the inner one as a list"
        )
    return tuple(items)


def shorten(text: str, n_max: int = 60) -> str:
    """Text for a message: one line, not long."""
    line = " ".join(text.split())
    return line if len(line) <= n_max else line[: n_max - 3] + "..."
