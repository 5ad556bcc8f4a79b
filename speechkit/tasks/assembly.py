"""A Brain from what a YAML built, and what of it can be told wrong before anything runs."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechkit import config
from speechkit.errors import UserError, UserErrors
from speechkit.ops.random import derive_seed, seed_torch
from speechkit.tasks.dry_run import WhereIs
from speechkit.tasks.recipe import importing_only
from speechkit.training import Brain, choose_device


def build_brain(
    brain_class: type[Brain], train_file: Path, document: config.Document, *, trust: bool
) -> tuple[config.Built, Brain]:
    """All objects of a document, and the Brain made of them."""
    # Initial weights are drawn while building: from the YAML's own seed.
    seed_torch(derive_seed(document.resolved().get("seed", 0), "build"), choose_device("cpu"))
    with importing_only():  # the YAML may name classes of train.py itself
        built = config.build(document, trust=trust, recipe_folder=train_file.parent)
    return built, make_brain(brain_class, built.values)


def finder(built: config.Built) -> WhereIs:
    """Where in the YAML the modules stand."""
    return lambda name, *children: built.place_of(built.values["modules"][name], *children)


def make_brain(brain_class: type[Brain], values: Mapping[str, Any]) -> Brain:
    """The Brain, made of those top-level values that it has arguments for."""
    known = _argument_names(brain_class)
    brain = brain_class(**{name: value for name, value in values.items() if name in known})
    _check_data("train_data", brain.train_data)
    _check_data("valid_data", brain.valid_data)
    for subset, data in brain.test_data.items():
        _check_subset(subset)
        _check_data(f"test_data.{subset}", data)
    return brain


def refuse_nulls(document: config.Document, schema: config.Schema) -> None:
    """Any override may be null; an argument without that among its types is told before it is used."""
    values = document.resolved()
    wrong = [
        UserError("null", expected=f"{parameter.annotation}", key=key)
        for key, parameter in schema.parameters.items()
        if key in values and values[key] is None and not _may_be_null(parameter)
    ]
    if wrong:
        raise wrong[0] if len(wrong) == 1 else UserErrors(wrong)


@contextmanager
def placed(document: config.Document) -> Iterator[None]:
    """An error that names a key of the YAML, but no place, gets the place of that key."""
    try:
        yield
    except UserError as error:
        for each in error.errors if isinstance(error, UserErrors) else [error]:
            top = each.key.split(".")[0]
            if each.place is None and top in document.root.entries:
                node = document.find(each.key)
                each.place = document.place(top) if node is None else node.place
        raise


def _may_be_null(parameter: inspect.Parameter) -> bool:
    # By ast: annotations and defaults are text.
    annotation = "Any" if parameter.annotation is inspect.Parameter.empty else str(parameter.annotation)
    words = annotation.replace("[", " ").replace("]", " ").replace("|", " ").split()
    return bool({"Any", "None", "Optional"} & set(words)) or str(parameter.default) == "None"


def _argument_names(brain_class: type[Brain]) -> set[str]:
    """The keyword arguments of a Brain, over its bases: each passes on what it does not know."""
    signatures = [
        inspect.signature(vars(each)["__init__"]) for each in brain_class.__mro__ if "__init__" in vars(each)
    ]
    return {name for signature in signatures[:-1] for name in signature.parameters}


def _check_data(key: str, data: Any) -> None:
    lacking = [name for name in ("iterate", "n_cuts") if not callable(getattr(data, name, None))]
    if lacking:
        found = "null" if data is None else f"a {type(data).__name__}, which has no {lacking[0]}()"
        raise UserError(found, expected="batches, such as speechkit.data.CutBatches", key=key)


def _check_subset(name: Any) -> None:
    """A subset's name becomes a file's."""
    kept = isinstance(name, str) and name and name.replace("-", "").replace("_", "").replace(".", "")
    if not (kept and kept.isalnum() and not name.startswith(".")):
        raise UserError(f"a subset named {name!r}", expected="letters, digits, '-', '_'", key="test_data")
