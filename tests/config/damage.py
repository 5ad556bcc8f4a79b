"""Damages to a YAML such as a user's hand makes, each on one line."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Damaged:
    """A text with one line of it damaged (from 1; of a line that stands twice now, both), and how."""

    text: str
    lines: tuple[int, ...]
    kind: str


Change = Callable[[str, random.Random], str | None]


def split_comment(line: str) -> tuple[str, str]:
    """The part of a line that means something, and its comment."""
    match = re.search(r"\s+#|^#", line)
    return (line[: match.start()], line[match.start() :]) if match else (line, "")


def _letter(word: str, rng: random.Random) -> str:
    """A word with one slip of the finger."""
    index = rng.randrange(len(word))
    slip = rng.choice(["drop", "double", "swap", "other"])
    if slip == "drop":
        return word[:index] + word[index + 1 :]
    if slip == "double":
        return word[:index] + word[index] + word[index:]
    if slip == "swap" and index + 1 < len(word):
        return word[:index] + word[index + 1] + word[index] + word[index + 2 :]
    return word[:index] + rng.choice("aeiourstlnx") + word[index + 1 :]


def _inside(pattern: str) -> Change:
    """A slip inside what a pattern's group 1 matches."""

    def change(line: str, rng: random.Random) -> str | None:
        matches = [match for match in re.finditer(pattern, line) if match[1]]
        if not matches:
            return None
        match = rng.choice(matches)
        return line[: match.start(1)] + _letter(match[1], rng) + line[match.end(1) :]

    return change


def _replace(pattern: str, *replacements: str) -> Change:
    """One occurrence of a pattern replaced."""

    def change(line: str, rng: random.Random) -> str | None:
        matches = list(re.finditer(pattern, line))
        if not matches:
            return None
        match = rng.choice(matches)
        return line[: match.start()] + match.expand(rng.choice(replacements)) + line[match.end() :]

    return change


def _indent(line: str, rng: random.Random) -> str | None:
    width = len(line) - len(line.lstrip())
    return (
        " " * rng.choice([w for w in (width + 1, width + 2, width - 1, width - 3) if w >= 0]) + line.lstrip()
    )


KINDS: dict[str, Change] = {
    "a character anywhere": lambda line, rng: _letter(line, rng),
    "a letter in a key": _inside(r"^\s*(?:- )?([\w-]+):"),
    "a letter in a reference": _inside(r"<([^>]*)>"),
    "a letter in a class or module": _inside(r"!(?:new|name|apply):([\w.]+)"),
    "a letter in a tag": _inside(r"!(\w+)"),
    "a bracket of a reference dropped": _replace(r"[<>]", ""),
    "both brackets of a reference dropped": _replace(r"<([^>]*)>", r"\1"),
    "!ref dropped": _replace(r"!ref ", ""),
    "indentation": _indent,
    "a tab for the indentation": lambda line, rng: "\t" + line.lstrip() if line[:1] == " " else None,
    "a colon dropped": _replace(r":(?= |$)", ""),
    "no space after the colon": _replace(r": (?=\S)", ":"),
    "a bracket dropped": _replace(r"[\[\](){}]", ""),
    "a comma dropped": _replace(r", ?", " ", ""),
    "a quote opened": _replace(r": (?=\S)", ': "', ": '"),
    "another tag": _replace(
        r"!(new|name|ref|apply|include):?", "!new:", "!ref ", "!apply:", "!nwe:", "!new "
    ),
    "a number mistyped": _replace(r"(?<=: )(\d[\d.]*)", r"\1x", r"\1,5", "o", "ten", ""),
    "a value dropped": _replace(r": \S.*$", ":"),
    "the line twice": lambda line, rng: f"{line}\n{line}",
    "a stray character": lambda line, rng: (lambda i: line[:i] + rng.choice("]})>@%&*") + line[i:])(
        rng.randrange(len(line) + 1)
    ),
}


def damage(text: str, rng: random.Random) -> Damaged:
    """A copy of `text` with one damage; blank lines and comments are left alone."""
    lines = text.split("\n")
    while True:
        index = rng.randrange(len(lines))
        code, comment = split_comment(lines[index])
        kind = rng.choice(list(KINDS))
        if not code.strip():
            continue
        changed = KINDS[kind](code, rng)
        if changed is None or changed.rstrip() == code.rstrip():
            continue
        result = [*lines[:index], changed + comment, *lines[index + 1 :]]
        count = changed.count("\n") + 1
        return Damaged("\n".join(result), tuple(range(index + 1, index + 1 + count)), kind)
