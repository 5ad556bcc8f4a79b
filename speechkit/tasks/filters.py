"""Filters that a model has learned, in a form from which a report draws them."""

from typing import Any

from speechkit import report
from speechkit.training import Brain


def write_filters(brain: Brain) -> None:
    """Write `filters.json`: what every module with a `describe_filters()` tells; nothing where there is none.

    Called by all processes together: a sharded model is put together for it.
    """
    named: list[tuple[str, Any]] = list(brain.modules.named_modules())
    layers = [
        {"name": name, **module.describe_filters()}
        for name, module in named
        if hasattr(module, "describe_filters")
    ]
    if layers and brain.processes.is_main:
        content = report.replace_nonfinite({"schema": report.SCHEMA, "layers": layers})
        report.write_json(brain.output_folder / "filters.json", content, "filters")


def mark_start(brain: Brain) -> None:
    """Tell every module with a `mark_start()` that training begins with the weights it has now."""
    modules: list[Any] = list(brain.modules.modules())
    for module in modules:
        if hasattr(module, "mark_start"):
            module.mark_start()
