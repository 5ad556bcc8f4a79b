"""What a command line may change of a run whose weights are used again: the search, say, never the model."""

from collections.abc import Collection

from speechkit import config
from speechkit.errors import UserError


def refuse_other_changes(document: config.Document, allowed: Collection[str], found: str) -> None:
    """Raise UserError for an override of another top-level key than those that are allowed.

    found: why not. Where the key's value also stands at or below an allowed key, the error tells where: what
    a run wrote down no longer knows which value was made from which.
    """
    for key in sorted({key.split(".")[0] for key in document.overrides} - {*allowed}):
        places = _places_of(document, key, allowed)
        do = f"to change what was made from it: --{' VALUE, --'.join(places)} VALUE" if places else ""
        raise UserError(found, expected=f"changes of {', '.join(sorted(allowed))} alone", do=do, key=key)


def find_serving_keys(document: config.Document, served: Collection[str], read: Collection[str]) -> set[str]:
    """The top-level keys that only serve others: of all that is read, nothing but `served` refers to them.

    served: keys that may be changed. read: all keys that something reads by their name.
    """
    keys = document.keys()
    return {
        key
        for key in keys
        if key not in read and (readers := document.keys_read_by(key) & {*read}) and readers <= {*served}
    }


def _places_of(document: config.Document, key: str, allowed: Collection[str]) -> list[str]:
    """Where below the allowed keys the value stands that the key had; numbers only under the same name."""
    value = config.read(document.file).resolved().get(key)
    if not isinstance(value, str | int | float) or value == "":
        return []
    found = {place for name in allowed for place in document.keys_of(value, name)}
    return sorted(
        place
        for place in found
        if place.split(".")[0] in allowed and (isinstance(value, str) or place.split(".")[-1] == key)
    )
