"""What a YAML may build before the user says --trust-config: names, rooms and libraries."""

import inspect
from pathlib import Path
from typing import Any

from speechkit.config.names import PACKAGE, Definition, External, Sources, public_names
from speechkit.errors import suggest

# Rooms of speechkit of which every public name may be used.
WHOLE_ROOMS = ("nnet", "models", "features", "losses", "decoding", "metrics")
# Rooms of which only what these modules define may be used, and of that only classes.
# Nothing that writes files, and nothing that runs an experiment.
PARTS_OF_ROOMS = {
    "training": ("schedules",),
    "data": (
        "batches",
        "mixtures",
        "text_batches",
        "augmentation",
        "transforms",
        "reverberation",
        "tokenizers",
        "sentence_piece",
        "lexicon",
        "samplers",
        "sampler",
    ),
    "tasks": ("trained_lm",),
}
# Functions of other rooms for `!apply:`: plain values of plain values, and several data sets of one setting.
FUNCTIONS = ("speechkit.data.batches_by_subset", "speechkit.data.speech_commands_labels")
# Libraries of which every class defined below these names may be used.
LIBRARIES = ("torch.nn", "torch.optim", "torchaudio.transforms")
# Classes of Lhotse that yield batches of the cuts they are given. Not StatelessSampler, which opens manifests
# itself, unchecked, and writes an index.
SAMPLERS = (
    "SimpleCutSampler",
    "DynamicCutSampler",
    "DynamicBucketingSampler",
    "BucketingSampler",
    "RoundRobinSampler",
    "ZipSampler",
    "WeightedSimpleCutSampler",
    "CutPairsSampler",
    "DynamicCutPairsSampler",
)
LHOTSE = tuple(f"lhotse.dataset.{part}{name}" for part in ("", "sampling.") for name in SAMPLERS)

TRUST = "--trust-config allows it"


def refusal_of_name(name: str, sources: Sources) -> str:
    """Why a dotted name may not be built, or "" if it may; nothing is imported for it."""
    parts = name.split(".")
    if any(part.startswith("_") for part in parts):
        return f"{name}: names that begin with '_' are not for use; {TRUST}"
    if sources.is_recipes(parts[0]):
        return "" if len(parts) == 2 else f"{name}: only a class of {parts[0]}.py itself may be used; {TRUST}"
    if parts[0] == PACKAGE:
        return _refusal_of_own(name, parts)
    if name in LHOTSE or any(name.startswith(f"{library}.") for library in LIBRARIES):
        return ""
    near = suggest(name, LHOTSE) if parts[0] == "lhotse" else suggest(".".join(parts[:-1]), LIBRARIES)
    return f"{name} is not on the list of what a YAML may build{near}; {TRUST}"


def _refusal_of_own(name: str, parts: list[str]) -> str:
    if len(parts) == 3:
        room, word = parts[1:]
        if room in WHOLE_ROOMS or name in FUNCTIONS:
            return ""
        if room in PARTS_OF_ROOMS:
            allowed = names_of_part(room)
            if word in allowed:
                return ""
            return f"{name} is not on the list of what a YAML may build{suggest(word, allowed)}; {TRUST}"
    if len(parts) > 3 and parts[-1] in public_names(parts[1]):
        return f"{name}: use the public name, {PACKAGE}.{parts[1]}.{parts[-1]}"
    return f"{name} is not on the list of what a YAML may build; {TRUST}"


def names_of_part(room: str) -> list[str]:
    """The public names of a room that come from its modules in `PARTS_OF_ROOMS`."""
    return [
        name
        for name, module in public_names(room).items()
        if module.removeprefix(f"{PACKAGE}.{room}.").split(".")[0] in PARTS_OF_ROOMS[room]
    ]


def refusal_of_recipe_definition(name: str, found: Definition | External) -> str:
    """Why what a recipe's name leads to may not be built: it is no class of the recipe's own files."""
    if isinstance(found, Definition) and found.is_class:
        return ""
    what = found.name if isinstance(found, External) else "no class"
    return f"{name} is {what}; of a recipe only its own classes may be used; {TRUST}"


def refusal_of_object(name: str, value: Any, sources: Sources) -> str:
    """Why the object that a name led to may not be used: it was defined elsewhere than the name says."""
    home = str(getattr(value, "__module__", None) or "")
    where = f"{name} is {_describe(value)}"
    parts = name.split(".")
    if sources.is_recipes(parts[0]):
        good = inspect.isclass(value) and _is_of_recipe(value, sources)
        return "" if good else f"{where}; of a recipe only its own classes may be used; {TRUST}"
    if parts[0] == PACKAGE:
        callable_ = parts[1] in WHOLE_ROOMS or name in FUNCTIONS
        kinds = inspect.isclass(value) or (inspect.isfunction(value) and callable_)
        good = kinds and (home == PACKAGE or home.startswith(f"{PACKAGE}."))
        return "" if good else f"{where}, not a class or function of speechkit; {TRUST}"
    library = next((each for each in LIBRARIES if name.startswith(f"{each}.")), "lhotse")
    good = inspect.isclass(value) and (home == library or home.startswith(f"{library}."))
    return "" if good else f"{where}, not a class of {library}; {TRUST}"


def _is_of_recipe(value: type, sources: Sources) -> bool:
    """Whether a class is defined in a .py file of the recipe's folder."""
    try:
        folder = Path(inspect.getfile(value)).resolve().parent
    except (TypeError, OSError):
        return False
    return sources.recipe_folder is not None and folder == sources.recipe_folder.resolve()


def _describe(value: Any) -> str:
    home = getattr(value, "__module__", "") or ""
    name = getattr(value, "__qualname__", "") or getattr(value, "__name__", "")
    kind = (
        "class"
        if inspect.isclass(value)
        else "module"
        if inspect.ismodule(value)
        else ("function" if inspect.isroutine(value) else f"value of type {type(value).__name__}")
    )
    return f"the {kind} {'.'.join(part for part in (home, name) if part)}".rstrip()
