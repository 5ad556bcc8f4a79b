"""Resolved YAMLs side by side: their values by dotted key, read as text. Nothing is built or executed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from speechkit.errors import UserError
from speechkit.report.result import PATH, PATH_KEYS

SEED = "seed"
MAX_KEYS = 20_000  # of a YAML; aliases of aliases, which a stranger may write, grow without end
# What says how a run was done, not what was done: it changes no figure.
WITHOUT_EFFECT = ("n_workers", "log_steps", "bar", "device")


def read_settings(text: str, file: str) -> dict[str, str]:
    """The values of a resolved YAML by dotted key, in its order; paths are left out.

    An object has its class under its own key, and its arguments below: `model: BCResNet`,
    `model.n_mels: 40`. A list of plain values is one value.

    Raises:
        UserError: no YAML, or one of over 20,000 keys.

    >>> read_settings("model: !new:speechkit.models.BCResNet\\n  bands: [20, 40]\\ndata_folder: x", "a.yaml")
    {'model': 'BCResNet', 'model.bands': '[20, 40]'}
    """
    from ruamel.yaml import YAML, YAMLError  # 50 ms, which --help does not need

    try:
        root = YAML(typ="safe").compose(text)
    except YAMLError as error:
        raise UserError(f"{file} is not YAML ({str(error).splitlines()[0]})") from None
    settings: dict[str, str] = {}
    for key, value in _walk(root, "", 0) if root is not None else ():
        if len(settings) >= MAX_KEYS:
            raise UserError(f"{file} has more than {MAX_KEYS:,} keys")
        if key and key.split(".")[-1] not in PATH_KEYS and PATH.search(value) is None:
            settings[key] = value
    return settings


def _walk(node: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    tag = "" if node.tag is None else str(getattr(node.tag, "suffix", None) or node.tag)
    is_own = tag.startswith("!") and not tag.startswith("!!")
    if isinstance(node.value, str):
        yield (
            key,
            f"{_name_class(tag)} {node.value}".strip()
            if is_own and not tag.startswith("!ref")
            else node.value,
        )
    elif depth > 100:
        raise UserError(f"{key[:80]}... is nested more than 100 deep")
    else:
        if is_own:
            yield key, _name_class(tag)
        yield from _walk_list(node, key, depth) if node.id == "sequence" else _walk_mapping(node, key, depth)


def _walk_mapping(node: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    for name, child in node.value:
        yield from _walk(child, f"{key}.{name.value}" if key else str(name.value), depth + 1)


def _walk_list(node: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if all(isinstance(child.value, str) for child in node.value):
        yield key, f"[{', '.join(child.value for child in node.value)}]"
        return
    for number, child in enumerate(node.value):
        yield from _walk(child, f"{key}[{number}]", depth + 1)


def _name_class(tag: str) -> str:
    """`!new:speechkit.models.BCResNet` -> `BCResNet`; other tags as they are."""
    kind, _, path = tag.partition(":")
    return path.rsplit(".", 1)[-1] if kind in ("!new", "!name", "!apply") and path else tag


def list_differences(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys whose values are not the same in all; those without effect are left out.

    Those that all have come first, then what only some have, as arguments of a class that others lack; seeds
    come last.

    >>> list_differences([{"seed": "1", "lr": "0.1", "n": "3"}, {"seed": "2", "lr": "0.3", "n": "3"}])
    ['lr', 'seed']
    """
    keys = dict.fromkeys(key for each in settings for key in each)
    differing = [key for key in keys if len({each.get(key) for each in settings}) > 1]
    counted = [key for key in differing if key.split(".")[-1] not in WITHOUT_EFFECT]
    return sorted(counted, key=lambda key: (is_seed(key), not all(key in each for each in settings)))


def is_seed(key: str) -> bool:
    """Whether a key is the seed, of the run or of a part of it."""
    return key.split(".")[-1] == SEED
