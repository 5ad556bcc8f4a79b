"""What of a text counts when it is scored: case, punctuation, blanks."""

import unicodedata
from typing import Literal

from speechkit.errors import UserError

Case = Literal["keep", "lower", "upper"]
Punctuation = Literal["keep", "remove"]
APOSTROPHES = str.maketrans("’ʼ＇", "'''")


class TextNormalizer:
    """`normalize_text` with its choices, and in words what they are, for a report to state.

    >>> normalizer = TextNormalizer(case="lower", punctuation="remove")
    >>> normalizer("Well-known: don’t!")
    "well known don't"
    >>> normalizer.rule
    'Unicode NFC; lower case; punctuation removed, but for apostrophes in words; one space between words'
    """

    def __init__(self, case: Case = "keep", punctuation: Punctuation = "keep") -> None:
        if case not in ("keep", "lower", "upper"):
            raise UserError(f"case: {case!r}", expected="keep, lower or upper", key="case")
        if punctuation not in ("keep", "remove"):
            raise UserError(f"punctuation: {punctuation!r}", expected="keep or remove", key="punctuation")
        self.case, self.punctuation = case, punctuation

    @property
    def rule(self) -> str:
        """What is done to references and hypotheses alike."""
        case = "case kept" if self.case == "keep" else f"{self.case} case"
        removed = "punctuation removed, but for apostrophes in words"
        punctuation = "punctuation kept" if self.punctuation == "keep" else removed
        return f"Unicode NFC; {case}; {punctuation}; one space between words"

    def __call__(self, text: str) -> str:
        return normalize_text(text, self.case, self.punctuation)


def normalize_text(text: str, case: Case = "keep", punctuation: Punctuation = "keep") -> str:
    """A text in the form in which it is scored; that of a normal text is itself.

    Always: Unicode's NFC (é is one character), one space between words and none around.
    case: "keep", or all "lower" or "upper".
    punctuation: "keep", or "remove" what Unicode calls punctuation or symbols, each in favour of a blank, so
        that parts of a hyphenated word are words. Apostrophes between letters or digits stay, typographic
        ones as '.

    >>> normalize_text(" Rock 'n' roll -  that's it. ", punctuation="remove")
    "Rock n roll that's it"
    """
    text = unicodedata.normalize("NFC", text)
    if case != "keep":
        text = unicodedata.normalize("NFC", text.lower() if case == "lower" else text.upper())
    if punctuation == "remove":
        text = text.translate(APOSTROPHES)
        text = "".join(sign if _is_kept(text, at) else " " for at, sign in enumerate(text))
    return " ".join(text.split())


def _is_kept(text: str, at: int) -> bool:
    """Letters, their marks, digits; an apostrophe with such on both sides."""
    if text[at] == "'":
        return 0 < at < len(text) - 1 and _is_of_word(text[at - 1]) and _is_of_word(text[at + 1])
    return unicodedata.category(text[at])[0] not in "PS"


def _is_of_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMN"
