"""Functions that torch.compile is kept from."""

import subprocess
import sys

import pytest
import torch

from speechkit.ops.graphs import outside_graphs


def test_a_compiled_function_calls_it():
    seen = []

    @outside_graphs
    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(torch.compiler.is_compiling())
        return x + 1

    compiled = torch.compile(lambda x: look(2 * x) * 3, backend="eager")
    assert compiled(torch.ones(2)).tolist() == [9, 9]
    assert compiled(torch.ones(2)).tolist() == [9, 9]
    assert seen == [False, False]  # twice: not taken into the graph as what it gave at first


@pytest.mark.integration
def test_the_compiler_is_not_imported_before_it_is_used():
    command = "import sys, speechkit.tasks; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
