"""The keys that a recipe reads, from the signatures of its Brain and its prepare()."""

import pytest

from speechkit import config
from speechkit.errors import UserError

TRAIN = """
from speechkit.tasks import main as start
from base import Middle

class Mine(Middle):
    def __init__(self, *, special: int, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)

if __name__ == "__main__":
    main(Mine, __file__)
"""
BASE = """
class Base:
    def __init__(self, *, modules, seed: int = 0, output_folder): ...

class Middle(Base):
    def __init__(self, *, dropout=0.1, **options):
        super().__init__(**options)
"""
PREPARE = "def prepare(data_folder, manifest_folder, words: list[str], speed: float = 1.0): ...\n"
GOOD = "modules: {}\noutput_folder: o\nspecial: 1\ndata_folder: d\nmanifest_folder: m\nwords: [a]\n"


@pytest.fixture
def recipe(write):
    write(BASE, "kws/base.py")
    write(PREPARE, "prepare.py")
    return write(TRAIN, "kws/train.py")


def test_keys_come_from_the_brain_over_its_bases_and_from_prepare(recipe):
    schema = config.brain_schema(recipe)
    assert set(schema.names) == {
        "special", "width", "dropout", "modules", "seed", "output_folder",
        "data_folder", "manifest_folder", "words", "speed",
    }  # fmt: skip
    assert set(schema.required) == {
        "special", "modules", "output_folder", "data_folder", "manifest_folder", "words",
    }  # fmt: skip
    assert schema.brain == "Mine"
    assert not schema.open_ended
    assert schema.prepare_keys == ("data_folder", "manifest_folder", "words", "speed")


def test_bases_count_only_as_long_as_kwargs_are_passed_on(recipe, write):
    write(
        BASE.replace("super().__init__(**options)", "super().__init__(modules=None, output_folder='')"),
        "kws/base.py",
    )
    schema = config.brain_schema(recipe)
    assert "modules" not in schema.names
    assert schema.open_ended  # somebody swallows the rest


def test_a_real_brain(project):
    schema = config.brain_schema(project / "recipes" / "SpeechCommands" / "kws" / "train.py")
    assert {"modules", "optimizer", "train_data", "output_folder", "data_folder", "seed"} <= set(schema.names)
    assert {"modules", "output_folder", "data_folder"} <= set(schema.required)
    assert not schema.open_ended


def test_prepare_beside_train_comes_before_the_one_above(recipe, write):
    beside = write("def prepare(data_folder, other): ...\n", "kws/prepare.py")
    assert config.find_prepare_file(recipe) == beside
    assert "other" in config.brain_schema(recipe).required


def test_train_file_of_a_yaml(recipe, write):
    for name in ("kws/hparams/a.yaml", "kws/a.yaml", "kws/hparams/large/a.yaml"):
        assert config.find_train_file(write("a: 1", name)) == recipe
    assert config.find_train_file(write("a: 1", "elsewhere/deep/a.yaml")) is None


def test_a_good_yaml_has_no_problem(recipe, write, told):
    path = write(GOOD + "_note: 3\nbatch: 3\nseed: !ref <batch>\n", "kws/hparams/h.yaml")
    assert told(path, schema=config.brain_schema(recipe)) == []


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (("words: [a]\n", ""), ["1:1 words: the key 'words' is missing; Mine needs it"]),
        (("words: [a]\n", "wrods: [a]\n"),
         ["1:1 words: the key 'words' is missing; Mine needs it (did you mean 'wrods'?)",
          "6:1 wrods: warning: nobody reads this key (did you mean 'words'?)"]),
        (("words: [a]\n", "words: [a]\nspede: 2\n"),
         ["7:1 spede: warning: nobody reads this key (did you mean 'speed'?)"]),
        (("words: [a]\n", "words: [a]\nzzz: 2\n"), ["7:1 zzz: warning: nobody reads this key"]),
        (("words: [a]\n", "words: [a]\nbatch_size: 2\nseed: !ref <batch_siez>\n"),
         ["7:1 batch_size: warning: nobody reads this key (a reference asks for 'batch_siez')",
          "8:7 seed: <batch_siez>: there is no key 'batch_siez' (did you mean 'batch_size'?)"]),
        (("special: 1", "special: x"), ["3:10 special: 'special' of Mine is a whole number, found 'x'"]),
        (("words: [a]\n", "words: a\n"), ["6:8 words: 'words' of Mine is a list, found 'a'"]),
        (("words: [a]\n", "words: [a]\nself: !ref <self[x]>\n"), None),
    ],
)  # fmt: skip
def test_keys_against_the_schema(recipe, write, told, change, messages):
    path = write(GOOD.replace(*change), "kws/hparams/h.yaml")
    found = told(path, schema=config.brain_schema(recipe))
    if messages is None:  # a key that only refers to itself is read by nobody
        assert "kws/hparams/h.yaml:7:1 self: warning: nobody reads this key" in found
    else:
        assert found == [f"kws/hparams/h.yaml:{message}" for message in messages]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "train.py:1:1: there is no call main(TheBrain, __file__)"),
        ("main(Nowhere, __file__)\n", "train.py:1:1: the class 'Nowhere' given to main() is not found"),
        (
            "from torch.nn import Linear\nmain(Linear, __file__)\n",
            "train.py:2:1: the class 'Linear' given to main()",
        ),
        ("def (\n", "train.py:1:1: train.py:1 is not valid Python"),
    ],
)
def test_a_train_file_that_cannot_be_read(write, tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        config.brain_schema(write(text, "train.py"))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


def test_a_prepare_file_without_prepare(recipe, write):
    write("x = 1\n", "prepare.py")
    with pytest.raises(UserError, match=r"has no function prepare\(\)"):
        config.brain_schema(recipe)
