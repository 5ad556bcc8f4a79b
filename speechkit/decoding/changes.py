"""What of a search is not as it is by default, for a report."""

import inspect
from collections.abc import Collection


def tell_changes(part: object, told: Collection[str] = ()) -> str:
    """The arguments of a part that are not at their defaults, as it keeps them in attributes of their names.

    told: the names of those that are told elsewhere.

    >>> from speechkit.decoding import CTCBeam
    >>> tell_changes(CTCBeam(n_best=3, n_tokens=20, blank_skip=0.99), told=["n_best"])
    ', n_tokens 20, blank_skip 0.99'
    """
    changes = ""
    for name, parameter in inspect.signature(type(part)).parameters.items():
        value = getattr(part, name, parameter.default)
        if name in told or parameter.default is parameter.empty or value == parameter.default:
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        changes += f", {name} {value:.12g}" if is_number else f", {name} {value}"
    return changes
