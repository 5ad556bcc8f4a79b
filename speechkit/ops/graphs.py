"""Functions and the graphs that torch.compile, torch.export and ONNX make of them."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def is_exporting() -> bool:
    """Whether this call's operations go into a graph that is exported, and so for inference.

    torch's function of the name says yes to torch.compile too, whose graphs are for training as well.

    >>> is_exporting()
    False
    """
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()


def outside_graphs(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which torch.compile calls instead of looking into it.

    As `torch.compiler.disable`, which imports the compiler where it decorates: 1.4 of the 3.8 s that the
    package would take to start (`python -X importtime -c "import speechkit.tasks"`). torch's own optimizers
    are decorated in this way too.

    >>> outside_graphs(lambda x: x + 1)(1)
    2
    """
    return torch._disable_dynamo(function)
