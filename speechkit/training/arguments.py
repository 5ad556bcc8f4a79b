"""What a Brain is given, checked where its keys of the YAML are known."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from speechkit.errors import UserError, suggest


def as_module_dict(modules: Mapping[str, nn.Module], required: tuple[str, ...]) -> nn.ModuleDict:
    for name in required:
        if name not in modules:
            raise UserError(
                f"modules has no {name!r}", expected=f"modules named {', '.join(required)}", key="modules"
            )
    for name, module in modules.items():
        if not isinstance(module, nn.Module):
            raise UserError(f"a {type(module).__name__}", expected="a torch module", key=f"modules.{name}")
    try:
        return nn.ModuleDict(dict(modules))
    except KeyError as error:
        raise UserError(str(error), do="give the module another name", key="modules") from error


def check_criterion(criterion: Sequence[str]) -> tuple[str, str]:
    if isinstance(criterion, str) or len(criterion) != 2 or criterion[1] not in ("min", "max"):
        raise UserError(f"criterion is {criterion!r}", expected="such as [loss, min]", key="criterion")
    return criterion[0], criterion[1]


def check_metric(name: str, metrics: Mapping[str, float]) -> None:
    """That the criterion is among what validation measures."""
    if name not in metrics:
        found = f"no metric {name!r} to choose epochs by" + suggest(name, metrics)
        raise UserError(found, expected=f"one of {', '.join(sorted(metrics))}", key="criterion")


def check_parallel(parallel: str, optimizer: Any) -> None:
    """Losses of their own for several optimizers are differentiated for whole weights only."""
    if parallel == "shards" and isinstance(optimizer, Mapping):
        found = "several optimizers over a sharded model"
        raise UserError(found, expected="one optimizer, or parallel: replicas", key="parallel")


def check_positive(**numbers: float | None) -> None:
    for key, value in numbers.items():
        if value is not None and value <= 0:
            raise UserError(f"{key} is {value}", expected="a positive number", key=key)


def check_all_weights_in(modules: nn.ModuleDict, attributes: Mapping[str, Any]) -> None:
    """A module with weights that is used from elsewhere would be neither trained nor saved."""
    known = {id(weight) for weight in modules.parameters()}
    for name, value in attributes.items():
        if isinstance(value, nn.Module) and any(id(weight) not in known for weight in value.parameters()):
            raise UserError(f"{name} has weights but is not in modules", do="add it to modules", key=name)
