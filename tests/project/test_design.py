"""The pages of docs/design.md are what a user can write."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[2]
DESIGN = PROJECT / "docs" / "design.md"
RECIPE = PROJECT / "recipes" / "SpeechCommands" / "kws"
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def page(title: str) -> dict[str, str]:
    """The blocks under a heading of the third level, by the kind of their fence."""
    text = DESIGN.read_text(encoding="utf-8")
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    bodies = {
        heading.split(" (")[0].strip(): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    body = re.split(r"^## ", bodies[title], flags=re.MULTILINE)[0]
    return {match["kind"]: match["body"] for match in FENCE.finditer(body)}


def test_the_keyword_page_is_the_recipe_itself() -> None:
    assert page("Keyword spotting")["yaml"] == (RECIPE / "hparams" / "quickstart.yaml").read_text()


def test_the_train_py_of_the_page_is_that_of_the_recipe() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    part = text[text.index("## 7. Pages") : text.index("### Keyword spotting")]
    assert FENCE.search(part)["body"] == (RECIPE / "train.py").read_text()


def test_the_recognition_page_is_the_recipe_itself() -> None:
    recipe = PROJECT / "recipes" / "LibriSpeech" / "asr"
    assert page("Speech recognition")["yaml"] == (recipe / "hparams" / "ctc.yaml").read_text()
    assert page("Speech recognition")["python"] == (recipe / "train.py").read_text()


def test_the_page_of_language_models_is_the_recipe_itself() -> None:
    recipe = PROJECT / "recipes" / "LibriSpeech" / "lm"
    assert page("Language models")["yaml"] == (recipe / "hparams" / "small.yaml").read_text()
    assert page("Language models")["python"] == (recipe / "train.py").read_text()


def test_the_page_of_separation_is_the_recipe_itself() -> None:
    recipe = PROJECT / "recipes" / "WSJ0-2Mix" / "separation"
    assert page("Separation")["yaml"] == (recipe / "hparams" / "conv_tasnet.yaml").read_text()
    assert page("Separation")["python"] == (recipe / "train.py").read_text()


@pytest.mark.parametrize("title", ["Keyword spotting", "Speech recognition", "Separation"])
def test_a_page_is_short_and_its_python_is_python(title: str) -> None:
    blocks = page(title)
    assert len(blocks["yaml"].splitlines()) <= 100
    if "python" in blocks:
        compile(blocks["python"], title, "exec")
        assert "main(" in blocks["python"]
    if title != "Keyword spotting":
        nodes = YAML(typ="rt").compose(blocks["yaml"])
        assert len(nodes.value) > 10
