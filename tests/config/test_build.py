# ruff: noqa: E501  (tables of texts and messages)
"""Objects from a document: built once, shared as written, and with a place when they fail."""

import functools

import pytest
import torch

from speechkit import config
from speechkit.errors import UserError, UserErrors

PARTS = """
from dataclasses import dataclass
from speechkit.errors import UserError, UserErrors

@dataclass
class Keeps:
    value: object = None
    other: object = None
    made = 0

    def __post_init__(self):
        Keeps.made += 1

class Fails:
    made = 0
    def __init__(self, value=None):
        Fails.made += 1
        raise ValueError(f"no {value} here")

class Tells:
    def __init__(self, inner=None, **layers):
        raise UserError("too wide", expected="4", do="make it 4", key="inner.width")

class TellsTwo:
    def __init__(self, **layers):
        raise UserErrors([UserError("first", key="a"), UserError("second", key="nowhere")])

class Stops:
    def __init__(self): raise SystemExit(3)
"""


@pytest.fixture
def build(write, tmp_path):
    write(PARTS, "parts.py")

    def run(text, overrides=(), **options):
        return config.build(config.read(write(text), overrides), recipe_folder=tmp_path, **options)

    return run


def test_values_types_and_sharing(build):
    values = build(
        "a: !new:parts.Keeps \n  value:\n    - 1\n    - x: (2, 3)\nb: !ref <a>\nc: !copy <a>\nd: {e: [!ref <a>]}\n"
        "f: !name:parts.Keeps {value: !ref <a>}\ng: !name:parts.Keeps\nh: !ref <a.value>\n__i: 3\nj: !ref <__i>\n"
    ).values
    assert list(values) == ["a", "b", "c", "d", "f", "g", "h", "j"]
    assert values["a"] is values["b"] is values["d"]["e"][0] is values["f"].keywords["value"]
    assert values["c"] is not values["a"]
    assert values["c"] == values["a"]
    assert values["h"] is values["a"].value
    assert values["h"] == [1, {"x": (2, 3)}]
    assert isinstance(values["f"], functools.partial)
    assert values["f"].func is values["g"] is type(values["a"])


def test_torch_modules_are_built_with_shared_weights(build):
    text = "layer: !new:torch.nn.Linear [3, 3]\nstack: !new:torch.nn.Sequential\n  - !ref <layer>\n  - !ref <layer>\n"
    values = build(text).values
    assert values["stack"][0] is values["stack"][1] is values["layer"]
    assert len(list(values["stack"].parameters())) == 2


def test_a_part_is_built_with_what_it_refers_to_and_nothing_else(build):
    text = "a: !new:parts.Keeps\nb: {c: !ref <a>}\nd: !new:parts.Fails\n__e: !new:parts.Fails\n"
    assert list(build(text, only=["b"]).values) == ["b"]
    with pytest.raises(UserError, match=r"h.yaml:1:1 x: there is no key 'x'"):
        build(text, only=["x"])


def test_a_constructor_that_raises_is_told_at_its_place(build, tmp_path):
    with pytest.raises(UserError) as caught:
        build("n: 3\na:\n  - !new:parts.Fails\n    value: !ref <n>\n")
    assert str(caught.value) == f"{tmp_path}/h.yaml:3:5 a.0: parts.Fails raised ValueError: no 3 here"


def test_all_that_fail_are_told_each_once(build):
    with pytest.raises(UserErrors) as caught:
        build("a: !new:parts.Fails\nb: !ref <a>\nc: [!ref <a>]\nd: !new:torch.nn.Linear [x, 3]\n")
    lines = str(caught.value).split("\n")
    assert [line.split(" ")[1] for line in lines] == ["a:", "d:"]
    assert "h.yaml:4:4 d: torch.nn.Linear raised TypeError" in lines[1]


def test_an_error_with_a_key_is_told_at_that_key(build):
    with pytest.raises(UserError) as caught:
        build("a: !new:parts.Tells\n  inner:\n    depth: 1\n    width: 3\n")
    assert str(caught.value).endswith("h.yaml:4:5 a.inner.width: too wide; expected 4; make it 4")
    with pytest.raises(UserError) as caught:
        build("a: !new:parts.Tells {other: 1}\n")
    assert str(caught.value).endswith("h.yaml:1:4 a.inner.width: too wide; expected 4; make it 4")
    with pytest.raises(UserErrors) as several:
        build("x: 1\ny: !new:parts.TellsTwo\n  a: 1\n")
    assert [str(error).split("h.yaml:")[1] for error in several.value.errors] == [
        "3:3 y.a: first",
        "2:4 y.nowhere: second",
    ]


def test_an_attribute_that_is_not_there(build):
    with pytest.raises(UserError, match=r"h.yaml:2:4 b: <a.nothing>: .* no attribute 'nothing'"):
        build("a: !new:parts.Keeps\nb: !ref <a.nothing>\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !new:torch.nn.functional.relu", "h.yaml:1:4 a: torch.nn.functional.relu is the function"),
        (
            "a: !new:parts.Kepes",
            "h.yaml:1:4 a: parts has no class or function 'Kepes' (did you mean 'Keeps'?)",
        ),
        ("a: !apply:parts.Keeps", "h.yaml:1:4 a: parts.Keeps is not a function, as !apply: asks for"),
        (
            "a: !new:speechkit.losses.cross_entropy",
            "h.yaml:1:4 a: speechkit.losses.cross_entropy is not a class",
        ),
    ],
)
def test_what_build_refuses_by_itself(build, tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        build(text)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


def test_places_of_objects_and_of_what_they_were_made_from(build):
    built = build(
        "a: !new:torch.nn.Sequential\n  - !new:torch.nn.ReLU\n  - !new:torch.nn.Linear [1, 2]\n"
        "b: !new:parts.Keeps\n  value:\n    first: !ref <a>\n    second: 3\n"
        "c: !name:torch.nn.Linear\n  in_features: 3\n"
    )
    a, b, c = built.values["a"], built.values["b"], built.values["c"]

    def place(obj, *names):
        found = built.place_of(obj, *names)
        return found and (found[0].line, found[0].column, found[1])

    assert place(a) == (1, 4, "a")
    assert place(a[1]) == (3, 5, "a.1")
    assert place(b, "value", "second") == (7, 5, "b.value.second")
    assert place(b, "value", "first", "1") == (3, 5, "b.value.first.1")
    assert place(b, "value", "third") == (5, 3, "b.value")
    assert place(c, "in_features") == (9, 3, "c.in_features")
    assert place(torch.nn.ReLU()) is None


def test_a_place_inside_an_include_is_there(build, write, tmp_path):
    write("model: !new:parts.Fails\n", "pieces/in.yaml")
    with pytest.raises(UserError) as caught:
        build("a: 1\nb: !include:pieces/in.yaml\n")
    assert str(caught.value).startswith(f"{tmp_path}/pieces/in.yaml:1:8 b.model: parts.Fails raised")


def test_a_recipes_files_import_each_other_and_run_once(build, write):
    write(
        "from other_parts import Inner\nclass Outer:\n    def __init__(self): self.inner = Inner()\n",
        "outer_parts.py",
    )
    write("class Inner: pass\n", "other_parts.py")
    values = build("a: !new:outer_parts.Outer\nb: !new:outer_parts.Outer\nc: !new:other_parts.Inner\n").values
    assert type(values["a"]) is type(values["b"])
    assert type(values["c"]) is type(values["a"].inner)
