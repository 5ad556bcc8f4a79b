"""Whether a graph is being written out, for torch.export or ONNX."""

import torch


def is_exporting() -> bool:
    """Whether this call's operations go into a graph that is exported, and so for inference.

    torch's function of the name says yes to torch.compile too, whose graphs are for training as well.

    >>> is_exporting()
    False
    """
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
