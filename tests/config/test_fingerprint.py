"""What makes two experiments the same, and what differs between two."""

import pytest

from speechkit import config

YAML = """
n_workers: 2
output: !ref runs/<n_workers>
rate: 0.5
steps: !ref <rate> * 4
words: [a, b]
data: !new:torch.nn.Linear
    in_features: !ref <n_workers>
    out_features: 3
same: !ref <words>
"""
FREE = ("n_workers", "output")


def fingerprint(write, text=YAML, overrides=()):
    return config.read(write(text), overrides).fingerprint(FREE)


@pytest.mark.parametrize("overrides", [
    ["--n_workers", "4"], ["--output", "elsewhere"], ["--rate", "0.5"], ["--output", "null"],
])  # fmt: skip
def test_free_keys_and_what_is_made_from_them_do_not_count(write, overrides):
    assert fingerprint(write, overrides=overrides) == fingerprint(write)


@pytest.mark.parametrize("overrides", [
    ["--rate", "0.25"], ["--words", "[a]"], ["--data.out_features", "4"], ["--data.in_features", "2"],
    ["--data.bias", "false"], ["--words", "[b, a]"],
])  # fmt: skip
def test_everything_else_counts(write, overrides):
    assert fingerprint(write, overrides=overrides) != fingerprint(write)


def test_how_it_is_written_does_not_count(write):
    other = """
# a comment, another order, another style
words:
  - a
  - "b"
same: [a, b]
rate: 5.0e-1
steps: 2.0
n_workers: 9
output: !ref runs/<n_workers>
data: !new:torch.nn.Linear {in_features: !ref <n_workers>, out_features: 3}
"""
    assert fingerprint(write, other) == fingerprint(write)
    assert fingerprint(write, other.replace("ReLU", "x").replace("Linear", "Bilinear")) != fingerprint(write)


def test_a_type_counts_and_so_does_the_order_of_arguments(write):
    assert config.read(write("a: 1")).sha256() != config.read(write("a: 1.0")).sha256()
    assert config.read(write("a: '1'")).sha256() != config.read(write("a: 1")).sha256()
    first, second = "a: !new:x.Y {b: 1, c: 2}", "a: !new:x.Y {c: 2, b: 1}"
    assert config.read(write(first)).sha256() != config.read(write(second)).sha256()


def test_a_free_list_counts_nowhere(write):
    documents = [config.read(write(YAML), ["--words", words]) for words in ("[a]", "[b, c]")]
    assert len({document.fingerprint(["words"]) for document in documents}) == 1
    assert documents[0].differences(documents[1].resolved(), ["words"]) == []


def test_the_fingerprint_is_that_of_the_run_before_a_dump_differs_only_where_free(write):
    document = config.read(write(YAML))
    assert config.read(write(document.dump(), "again.yaml")).sha256() == document.sha256()


def test_differences_are_named_by_key_with_both_values(write):
    old = config.read(write(YAML))
    new = config.read(
        write(YAML), ["--rate", "0.25", "--n_workers", "7", "--words", "[a, c]", "--data.bias", "false"]
    )
    assert new.differences(old.resolved(), FREE) == [
        "rate: 0.5 -> 0.25",
        "steps: 2.0 -> 1.0",
        "words.1: 'b' -> 'c'",
        "data.bias: (absent) -> False",
    ]
    assert "n_workers: 2 -> 7" in new.differences(old.resolved())
    swapped = config.read(write(YAML.replace("torch.nn.Linear", "torch.nn.LSTM")))
    assert any("!new:torch.nn.LSTM" in line for line in swapped.differences(old.resolved()))


def test_keys_read_by(write):
    document = config.read(write(YAML))
    assert document.keys_read_by("rate") == {"steps"}
    assert document.keys_read_by("n_workers") == {"output", "data"}
    assert document.keys_read_by("same") == set()
    chain = config.read(write("a: 1\nb: !ref <a>\nc: {d: !ref x/<b>}\n"))
    assert chain.keys_read_by("a") == {"b", "c"}
