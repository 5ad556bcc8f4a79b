"""What a recognised text is worth beside its reference, as a record tells it."""

from collections.abc import Sequence
from typing import Any

from speechkit.errors import UserError
from speechkit.metrics import TextNormalizer, align, count_operations, edit_distance
from speechkit.tasks.targets import Tokenizer


def describe_texts(
    tokenizer: Tokenizer,
    reference: str,
    tokens: Sequence[int],
    normalizer: TextNormalizer | None = None,
    unit: str = "word",
) -> dict[str, Any]:
    """Both texts, how they differ, and counts to sum up; for the unit "phone" by the tokenizer's phones."""
    hypothesis = tokenizer.decode(tokens) if tokens else ""
    if unit == "phone":
        try:
            reference = tokenizer.decode(tokenizer.encode(reference))
        except UserError:
            return dict.fromkeys(("hypothesis", "alignment", "counts")) | {"skipped": "unknown symbol"}
    said, heard = (normalizer(each) if normalizer else each for each in (reference, hypothesis))
    alignment = align(said.split(), heard.split())
    counts = _count_words(said, heard) if unit == "word" else {"phones": len(said.split())}
    texts = {"reference": reference, "hypothesis": hypothesis}
    return texts | {"alignment": alignment, "counts": count_operations(alignment) | counts, "skipped": None}


def _count_words(reference: str, hypothesis: str) -> dict[str, int]:
    """Characters with one space between words, as no ear hears two."""
    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    characters = {"characters": len(reference), "character_errors": edit_distance(reference, hypothesis)}
    return {"words": len(reference.split())} | characters
