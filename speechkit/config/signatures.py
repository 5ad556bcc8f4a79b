"""Which arguments a class or function takes, read off its source; of other libraries, off the object."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

from speechkit.config.names import Definition, External, Sources, dotted_name, resolve_expression

KINDS = inspect.Parameter
EMPTY_BASES = {
    "builtins.object",
    "abc.ABC",
    "typing.Generic",
    "typing.Protocol",
    "torch.nn.Module",
    "torch.nn.modules.module.Module",
}
ANYTHING = inspect.Signature([KINDS("args", KINDS.VAR_POSITIONAL), KINDS("kwargs", KINDS.VAR_KEYWORD)])
Inspect = Callable[[str], inspect.Signature]


def signature_of(definition: Definition, sources: Sources, inspect_external: Inspect) -> inspect.Signature:
    """The arguments that calling a definition takes; `inspect_external` tells those of other libraries.

    Keyword arguments of a base count where `__init__` passes its `**kwargs` on to it.
    """
    statement = definition.statement
    if isinstance(statement, ast.ClassDef):
        return inspect.Signature(_class_parameters(definition, sources, inspect_external, frozenset()))
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return inspect.Signature(function_parameters(statement.args))
    return ANYTHING


def function_parameters(arguments: ast.arguments, *, skip: int = 0) -> list[inspect.Parameter]:
    """The parameters of a `def`; annotations and defaults are their source text."""
    found = []
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    for index, argument in enumerate(positional):
        kind = KINDS.POSITIONAL_ONLY if index < len(arguments.posonlyargs) else KINDS.POSITIONAL_OR_KEYWORD
        default = arguments.defaults[index - first_default] if index >= first_default else None
        if index >= skip:
            found.append(_parameter(argument, kind, default))
    if arguments.vararg:
        found.append(_parameter(arguments.vararg, KINDS.VAR_POSITIONAL, None))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(_parameter(argument, KINDS.KEYWORD_ONLY, default))
    if arguments.kwarg:
        found.append(_parameter(arguments.kwarg, KINDS.VAR_KEYWORD, None))
    return found


def _parameter(argument: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    return inspect.Parameter(
        argument.arg,
        kind,
        default=inspect.Parameter.empty if default is None else ast.unparse(default),
        annotation=ast.unparse(argument.annotation) if argument.annotation else inspect.Parameter.empty,
    )


def _class_parameters(
    definition: Definition, sources: Sources, inspect_external: Inspect, seen: frozenset
) -> list[inspect.Parameter]:
    statement = definition.statement
    if not isinstance(statement, ast.ClassDef) or statement in seen:
        return list(ANYTHING.parameters.values())
    seen |= {statement}

    def of_base() -> list[inspect.Parameter]:
        return _base_parameters(definition, sources, inspect_external, seen)

    init = next(
        (
            item
            for item in reversed(statement.body)
            if isinstance(item, ast.FunctionDef) and item.name == "__init__"
        ),
        None,
    )
    if init is not None:
        own = function_parameters(init.args, skip=1)
        if init.args.kwarg and passes_kwargs_on(init):
            return _joined(own, of_base())
        return own
    if is_dataclass(statement):
        return _dataclass_parameters(definition, sources, inspect_external, seen)
    return of_base()


def _base_parameters(
    definition: Definition, sources: Sources, inspect_external: Inspect, seen: frozenset
) -> list[inspect.Parameter]:
    for found in bases(definition, sources):
        if isinstance(found, Definition):
            return _class_parameters(found, sources, inspect_external, seen)
        if found is None:
            return list(ANYTHING.parameters.values())
        if found.name not in EMPTY_BASES:
            return list(inspect_external(found.name).parameters.values())
    return []


def bases(definition: Definition, sources: Sources) -> list[Definition | External | None]:
    """The bases of a class; None for one whose expression is no name."""
    statement = definition.statement
    if not isinstance(statement, ast.ClassDef):
        return []
    names = [dotted_name(base) for base in statement.bases]
    return [resolve_expression(name, definition.module, sources) if name else None for name in names]


def passes_kwargs_on(init: ast.FunctionDef) -> bool:
    """Whether an `__init__` calls `super().__init__(..., **kwargs)` with its own `**kwargs`."""
    name = init.args.kwarg.arg if init.args.kwarg else ""
    for call in ast.walk(init):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "__init__"
        ):
            for keyword in call.keywords:
                if keyword.arg is None and isinstance(keyword.value, ast.Name) and keyword.value.id == name:
                    return True
    return False


def _joined(own: list[inspect.Parameter], base: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Own parameters, with those of the base that can be given by name in place of `**kwargs`."""
    names = {parameter.name for parameter in own}
    kept = [parameter for parameter in own if parameter.kind is not KINDS.VAR_KEYWORD]
    rest = []
    for parameter in base:
        if parameter.kind is KINDS.VAR_KEYWORD:
            rest.append(parameter)
        elif (
            parameter.kind in (KINDS.POSITIONAL_OR_KEYWORD, KINDS.KEYWORD_ONLY)
            and parameter.name not in names
        ):
            kept.append(parameter.replace(kind=KINDS.KEYWORD_ONLY))
    return kept + rest


def is_dataclass(statement: ast.ClassDef) -> bool:
    names = [
        dotted_name(item.func if isinstance(item, ast.Call) else item) for item in statement.decorator_list
    ]
    return any(name.split(".")[-1] == "dataclass" for name in names)


def _dataclass_parameters(
    definition: Definition, sources: Sources, inspect_external: Inspect, seen: frozenset
) -> list[inspect.Parameter]:
    fields: dict[str, inspect.Parameter] = {}
    for base in reversed(bases(definition, sources)):
        if (
            isinstance(base, Definition)
            and isinstance(base.statement, ast.ClassDef)
            and is_dataclass(base.statement)
        ):
            for parameter in _dataclass_parameters(base, sources, inspect_external, seen):
                fields[parameter.name] = parameter
    assert isinstance(definition.statement, ast.ClassDef)
    for item in definition.statement.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            options = _field_options(item.value)
            if "ClassVar" in annotation or options.get("init") == "False":
                continue
            has_default = item.value is not None and (
                not options or bool({"default", "default_factory"} & set(options))
            )
            fields[item.target.id] = inspect.Parameter(
                item.target.id,
                KINDS.KEYWORD_ONLY if options.get("kw_only") == "True" else KINDS.POSITIONAL_OR_KEYWORD,
                default=ast.unparse(item.value) if has_default and item.value else inspect.Parameter.empty,
                annotation=annotation,
            )
    return sorted(fields.values(), key=lambda each: each.kind)


def _field_options(value: ast.expr | None) -> dict[str, str]:
    if isinstance(value, ast.Call) and dotted_name(value.func).split(".")[-1] == "field":
        return {str(keyword.arg): ast.unparse(keyword.value) for keyword in value.keywords} | {"": ""}
    return {}


def signature_of_object(value: Any) -> inspect.Signature:
    """The arguments that an object of another library takes; anything where it does not tell."""
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError):
        return ANYTHING
    return signature
