"""Everything about a YAML that can be told without building it."""

import inspect
import os
from collections.abc import Iterable
from collections.abc import Mapping as PlainMapping
from pathlib import Path
from typing import Any

from speechkit.config.allowed import refusal_of_name, refusal_of_recipe_definition
from speechkit.config.arguments import check_call, check_value
from speechkit.config.attributes import missing_attribute
from speechkit.config.document import Document, read_document
from speechkit.config.names import Definition, External, NameMissing, Sources, locate
from speechkit.config.nodes import Attribute, Call, Problem, Problems, Scalar, walk
from speechkit.config.objects import NotAllowed, import_object
from speechkit.config.schema import Schema, find_train_file
from speechkit.config.signatures import ANYTHING, signature_of, signature_of_object
from speechkit.errors import Place, suggest


def check(
    path: str | os.PathLike[str],
    overrides: Iterable[str] | PlainMapping[str, Any] = (),
    *,
    schema: Schema | None = None,
    trust: bool = False,
) -> list[Problem]:
    """All mistakes and oddities of a YAML that show without building it, in the order of the text.

    First the text, references, overrides, and the names and signatures of speechkit and of the recipe's own
    files, read without importing them. Then the names and signatures of other libraries, which are imported
    where a YAML names them and the allow-list permits it (`trust` permits all).
    """
    problems = Problems()
    document = read_document(path, overrides, problems, schema)
    if document is not None:
        train_file = schema.train_file if schema else find_train_file(path)
        check_document(
            document,
            problems,
            schema=schema,
            trust=trust,
            recipe_folder=train_file.parent if train_file else None,
        )
    return in_order(problems, os.fspath(path))


def check_document(
    document: Document,
    problems: Problems,
    *,
    schema: Schema | None = None,
    trust: bool = False,
    recipe_folder: Path | None = None,
) -> None:
    """Note what is wrong with the calls and the keys of a document."""
    sources = Sources(recipe_folder)
    for node in walk(document.root):
        if isinstance(node, Call):
            _check_target(node, sources, trust, problems)
        elif isinstance(node, Attribute):
            _check_attribute(node, sources, trust, problems)
    if schema is not None:
        _check_keys(document, schema, problems)
    _warn_about_blanks(document, problems)


def in_order(problems: Problems, file: str) -> list[Problem]:
    """The main file's problems first, each file's by line."""
    files = {file: 0}
    for problem in problems:
        files.setdefault(problem.place.file, len(files))
    return sorted(problems, key=lambda each: (files[each.place.file], each.place.line, each.place.column))


def _check_target(call: Call, sources: Sources, trust: bool, problems: Problems) -> None:
    try:
        is_class, is_function, signature = _signature(call.target, sources, trust)
    except (NameMissing, NotAllowed) as error:
        problems.add(call, str(error))
        return
    if call.kind == "new" and not is_class:
        problems.add(
            call,
            f"!new: makes an object of a class, and {call.target} is "
            + ("a function; use !apply: or !name:" if is_function else "none"),
        )
    elif call.kind == "apply" and not is_function:
        problems.add(
            call,
            f"!apply: calls a function, and {call.target} is "
            + ("a class; use !new:" if is_class else "none"),
        )
    elif call.kind != "name" or call.arguments is not None:
        check_call(call, signature, problems)


def _signature(name: str, sources: Sources, trust: bool) -> tuple[bool, bool, inspect.Signature]:
    """Whether a name is a class, whether it is a function, and what it takes."""
    found = _locate_allowed(name, sources, trust)
    if isinstance(found, Definition):
        signature = signature_of(found, sources, lambda base: _signature_of_base(base))
        return found.is_class, found.is_function, signature
    value = import_object(name, sources, trust=trust)
    return inspect.isclass(value), inspect.isroutine(value), signature_of_object(value)


def _locate_allowed(name: str, sources: Sources, trust: bool) -> Definition | External:
    """Where a name is defined. A name that does not exist is said so even if it were not allowed."""
    refusal = "" if trust else refusal_of_name(name, sources)
    found = locate(name, sources)
    if not trust and not refusal and sources.is_recipes(name.split(".")[0]):
        refusal = refusal_of_recipe_definition(name, found)
    if refusal:
        raise NotAllowed(refusal)
    return found


def _signature_of_base(name: str) -> inspect.Signature:
    """The signature of a class of another library, from which a class of ours takes its `__init__`."""
    try:
        return signature_of_object(import_object(name, Sources(), trust=True))
    except NameMissing:
        return ANYTHING


def _check_attribute(node: Attribute, sources: Sources, trust: bool, problems: Problems) -> None:
    try:
        found = _locate_allowed(node.owner.target, sources, trust)
    except (NameMissing, NotAllowed):
        return  # said at the owner
    if (
        node.owner.kind == "new"
        and isinstance(found, Definition)
        and (hint := missing_attribute(found, node.name, sources)) is not None
    ):
        name = node.owner.target.rpartition(".")[2]
        problems.add(node, f"<{node.owner.key}.{node.name}>: {name} has no attribute {node.name!r}{hint}")


def _warn_about_blanks(document: Document, problems: Problems) -> None:
    """A key with nothing after it is null: rarely meant."""
    told = {problem.place for problem in problems}
    for node in walk(document.root):
        if isinstance(node, Scalar) and node.origin is None and node.is_blank and node.place not in told:
            message = "no value is given here; write null if none is meant"
            problems.add(node, message, warning=True)


def _check_keys(document: Document, schema: Schema, problems: Problems) -> None:
    """Keys that the recipe needs and that are not there; keys of another type; keys that nobody reads."""
    present = document.root.entries
    referred = document.keys_referred_to()
    unread = [
        key for key in present if key not in schema.names and key not in referred and not key.startswith("_")
    ]
    for key in schema.required:
        if key not in present:
            problems.add(
                None,
                f"the key {key!r} is missing; {schema.brain} needs it{suggest(key, unread)}",
                place=Place(document.file, 1, 1),
                path=(key,),
            )
    for key, node in present.items():
        if key in schema.parameters:
            check_value(node, schema.parameters[key], schema.brain, problems)
    if not schema.open_ended:
        free = [name for name in schema.names if name not in present]
        for key in unread:
            asked = [name for name in document.missing if suggest(key, [name])]
            near = f" (a reference asks for {asked[0]!r})" if asked else suggest(key, free)
            message = f"nobody reads this key{near}"
            problems.add(None, message, place=document.place(key), path=(key,), warning=True)
