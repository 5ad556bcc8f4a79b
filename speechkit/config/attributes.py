"""Which attributes the objects of a class have, read off its source."""

import ast

from speechkit.config.names import Definition, Sources
from speechkit.config.signatures import EMPTY_BASES, bases
from speechkit.errors import suggest

REGISTERING = ("register_buffer", "register_parameter", "register_module", "add_module", "setattr")


def missing_attribute(definition: Definition, name: str, sources: Sources) -> str | None:
    """None where objects of the class may have the attribute; else a hint at the one meant, or ""."""
    known = known_attributes(definition, sources)
    if known is None or name in known:
        return None
    return suggest(name, [each for each in known if not each.startswith("_")])


def known_attributes(definition: Definition, sources: Sources, depth: int = 0) -> set[str] | None:
    """Methods, fields and what methods set on `self`, over the bases; None if not all can be known."""
    statement = definition.statement
    if not isinstance(statement, ast.ClassDef) or depth > 20:
        return None
    known: set[str] = set()
    for base in bases(definition, sources):
        if isinstance(base, Definition):
            inherited = known_attributes(base, sources, depth + 1)
            if inherited is None:
                return None
            known |= inherited
        elif base is None or base.name not in EMPTY_BASES:
            return None
        elif base.name.startswith("torch.nn."):
            known |= MODULE_ATTRIBUTES
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in REGISTERING:
                return None
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            known.add(node.attr)
    for item in statement.body:
        if isinstance(item, ast.FunctionDef):
            if item.name in ("__getattr__", "__getattribute__", "__setattr__"):
                return None
            known.add(item.name)
        elif isinstance(item, ast.AnnAssign | ast.Assign):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            known |= {target.id for target in targets if isinstance(target, ast.Name)}
    return known


# What a user may want of any torch.nn.Module, known without importing torch.
MODULE_ATTRIBUTES = {
    "training",
    "forward",
    "parameters",
    "named_parameters",
    "buffers",
    "named_buffers",
    "children",
    "modules",
    "named_children",
    "named_modules",
    "state_dict",
    "load_state_dict",
    "train",
    "eval",
    "to",
    "float",
    "double",
    "half",
    "cpu",
    "cuda",
    "requires_grad_",
    "zero_grad",
    "apply",
    "type",
    "extra_repr",
    "get_submodule",
    "get_parameter",
    "get_buffer",
}
