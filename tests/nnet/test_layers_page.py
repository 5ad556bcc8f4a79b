"""docs/layers.md, done as it says: its Python from top to bottom, with what it tells behind each `#`."""

import ast
import re
from pathlib import Path

import pytest
import torch

from speechkit.config import build, check, read

FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "layers.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(page) if match["kind"] == kind]


def plain(value: object) -> object:
    """Shapes are told as tuples."""
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def run(block: str, names: dict) -> int:
    """Run a block; every expression of it must tell its value in a comment. The number of these."""
    lines, told = block.splitlines(), 0
    for statement in ast.parse(block).body:
        code = ast.get_source_segment(block, statement)
        if not isinstance(statement, ast.Expr):
            exec(code, names)
            continue
        value, comment = eval(code, names), lines[statement.end_lineno - 1].partition("  # ")[2]
        if comment or "shape" in code:
            assert plain(value) == ast.literal_eval(comment), code
            told += 1
    return told


def test_every_block_gives_what_the_page_tells(page: str) -> None:
    names: dict = {}
    told = [run(block, names) for block in blocks(page, "python") if "onnx" not in block]
    assert all(told)
    assert sum(told) > 50


@pytest.mark.integration  # a graph takes seconds
def test_the_block_that_writes_onnx(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from speechkit.nnet import CLSTM

    (block,) = (block for block in blocks(page, "python") if "onnx" in block)
    assert run(block, {"torch": torch, "CLSTM": CLSTM}) == 1


def test_a_mistake_in_the_page_is_found() -> None:
    with pytest.raises(AssertionError):
        run("import torch\ntorch.zeros(2, 3).shape  # (2, 4)", {})
    with pytest.raises(SyntaxError):
        run("import torch\ntorch.zeros(2, 3).shape", {})


@pytest.mark.parametrize(
    ("kind", "width"), [("Q", 40), ("C", 40), ("", 40)], ids=["quaternion", "complex", "real"]
)
def test_the_yaml_is_content_and_its_names_can_be_swapped(
    page: str, tmp_path: Path, kind: str, width: int
) -> None:
    (text,) = blocks(page, "yaml")
    path = tmp_path / "net.yaml"
    path.write_text(re.sub(r"nnet\.Q(?=[A-Z])", f"nnet.{kind}", text))
    assert check(path) == []
    net = build(read(path)).values["model"]
    first = type(net.recurrent).__name__
    assert first == f"{kind}LSTM"
    n = {"Q": 4, "C": 2, "": 1}[kind]
    assert net.conv(torch.randn(2, 9, width)).shape == (2, 9, 16 * n)
    assert net(torch.randn(2, 9, width), torch.tensor([9, 5])).shape == (2, 9, 30)
