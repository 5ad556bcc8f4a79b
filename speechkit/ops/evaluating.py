"""Trying a module without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it a module is in eval mode; behind it modes, part by part, and the random state are as before.

    >>> model = nn.Sequential(nn.Linear(2, 2).eval(), nn.Dropout())
    >>> with evaluating(model):
    ...     model[1].training
    False
    >>> [part.training for part in model]
    [False, True]
    """
    modes = [(part, part.training) for part in module.modules()]
    gpus = {weight.device for weight in module.parameters() if weight.device.type == "cuda"}
    module.eval()
    try:
        with torch.random.fork_rng(devices=list(gpus)):
            yield
    finally:
        for part, training in modes:
            part.training = training
