"""What may be changed of a run that is used again."""

from pathlib import Path

import pytest

from speechkit import config
from speechkit.errors import UserError
from speechkit.tasks.changes import find_serving_keys, refuse_other_changes

YAML = """
seed: 10
width: 8
arpa_file: /data/words.arpa
beam_size: 10
beam: !new:speechkit.decoding.AttentionBeam
    beam_size: !ref <beam_size>
lm: !new:speechkit.decoding.NGramScorer
    arpa_file: !ref <arpa_file>
    tokenizer: !ref <tokenizer>
tokenizer: !new:speechkit.data.CharacterTokenizer
    symbols: ab
modules:
    layer: !new:torch.nn.Linear [8, 8]
search: !new:speechkit.decoding.JointSearch
    beam: !ref <beam>
    lm: !ref <lm>
valid_search: !new:speechkit.decoding.JointSearch
    beam: !new:speechkit.decoding.AttentionBeam
    lm: !ref <lm>
"""
READ = ("seed", "modules", "tokenizer", "search", "valid_search")


def recorded(folder: Path, *overrides: str) -> config.Document:
    """As a run writes it down, and reads it again."""
    (folder / "written.yaml").write_text(YAML)
    (folder / "hparams.yaml").write_text(config.read(folder / "written.yaml").dump())
    return config.read(folder / "hparams.yaml", overrides)


def test_keys_that_only_the_search_refers_to(tmp_path: Path) -> None:
    """A language model that another search has too is not one of them; a plain value serves nothing."""
    document = recorded(tmp_path)
    assert find_serving_keys(document, ("search",), READ) == {"beam"}
    assert find_serving_keys(document, ("search",), ("search", "modules")) == {"beam", "lm"}
    assert find_serving_keys(document, ("search",), document.keys()) == set()
    assert find_serving_keys(recorded(tmp_path, "--search", "null"), ("search",), READ) == set()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("arpa_file", "other.arpa", "arpa_file: it stays; expected changes of beam, lm, search alone; "
            "to change what was made from it: --lm.arpa_file VALUE"),
        ("beam_size", "3", "beam_size: it stays; expected changes of beam, lm, search alone; "
            "to change what was made from it: --beam.beam_size VALUE"),
        ("seed", "2", "seed: it stays; expected changes of beam, lm, search alone"),
        ("modules.layer.1", "4", "modules: it stays; expected changes of beam, lm, search alone"),
    ],
)  # fmt: skip
def test_a_refusal_names_where_the_value_stands(key: str, value: str, told: str, tmp_path: Path) -> None:
    document = recorded(tmp_path, f"--{key}", value)
    with pytest.raises(UserError) as caught:
        refuse_other_changes(document, {"search", "lm", "beam"}, "it stays")
    assert str(caught.value) == told


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    refuse_other_changes(recorded(tmp_path, "--search.lm_weight", "0"), {"search"}, "it stays")
    refuse_other_changes(recorded(tmp_path), (), "it stays")
