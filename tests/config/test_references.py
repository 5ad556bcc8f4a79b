"""References, arithmetic, cycles and includes: each mistake with its line, all of them at once."""

import pytest

from speechkit import config
from speechkit.errors import UserErrors

from .oracle import hyperpyyaml_tree


def mistakes(path, overrides=()) -> list[str]:
    with pytest.raises(UserErrors) as caught:
        config.read(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").split("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nb: !ref <sede>", "h.yaml:2:4 b: <sede>: there is no key 'sede' (did you mean 'seed'?)"),
        (
            "a: {width: 1}\nb: !ref <a[wdth]>",
            "h.yaml:2:4 b: <a[wdth]>: there is no key 'wdth' under a (did you mean 'width'?)",
        ),
        (
            "seed: 1\nb:\n  c: !ref seed",
            "h.yaml:3:6 b.c: !ref without <...>: 'seed' is only text; write <seed>",
        ),
        ("seed: 1\nb: !ref <seed", "h.yaml:2:4 b: !ref without <...>"),
        ("seed: 1\nb: !ref <seed>/<seed", "h.yaml:2:4 b: '<' and '>' do not pair"),
        ("a: 2\nb: !ref max(<a>, 3)", "h.yaml:2:4 b: max(2, 3) is text here"),
        ("a: 2\nb: !ref <a> * x", "h.yaml:2:4 b: 2 * x is text here"),
        ("a: 2\nb: !ref -<a>", "h.yaml:2:4 b: -2 is text here"),
        ("a: 2\nb: !ref <a> + ", "h.yaml:2:4 b: 2 + is text here"),
        ("a: 2\nb: !ref <a> 3", "h.yaml:2:4 b: 2 3 is text here"),
        ("a: 2\nb: !ref '[<a>, <a>]'", "h.yaml:2:4 b: [2, 2] is text here, not a list"),
        ("a: 0\nb: !ref 1 / <a>", "h.yaml:2:4 b: 1 / 0: division by zero"),
        ("a: 9\nb: !ref <a> ** <a> ** <a>", "h.yaml:2:4 b: 9 ** 9 ** 9: the number is too large"),
        ("a: !ref <b>\nb: !ref <c>\nc: !ref <a>", "h.yaml:1:4 a: a cycle of references: a -> b -> c -> a"),
        ("a: {b: !ref <a>}", "h.yaml:1:8 a.b: a cycle of references: a.b -> a.b"),
        ("a: !ref <a>/x", "h.yaml:1:4 a: a cycle of references: a -> a"),
        ("a: &x [*x]", "h.yaml:1:8 a.0: *x stands inside &x itself: a cycle"),
        ("a: [1]\nb: !ref <a[0]>", "h.yaml:2:4 b: <a[0]>: a is a list, whose items cannot be referred to"),
        ("a: 1\nb: !ref <a[0]>", "h.yaml:2:4 b: <a[0]>: a has no keys"),
        (
            "a: {b: 1}\nb: !ref <a.b>",
            "h.yaml:2:4 b: <a.b>: a is a plain value without attributes; write <a[b]>",
        ),
        (
            "a: {b: 1}\nb: !ref x<a>",
            "h.yaml:2:4 b: <a> is an object or a mapping and cannot stand inside text",
        ),
        ("a: !new:torch.nn.ReLU\nb: !ref x/<a>", "h.yaml:2:4 b: <a> is an object or a mapping"),
        (
            "a: !new:torch.nn.ReLU\nb: !ref <a.__class__>",
            "h.yaml:2:4 b: <a.__class__>: one attribute, not beginning",
        ),
        ("a: !new:torch.nn.ReLU\nb: !ref <a.b.c>", "h.yaml:2:4 b: <a.b.c>: one attribute"),
        ("a: !ref <>", "h.yaml:1:4 a: <> is not a reference"),
        ("a: 1\na: 2", "h.yaml:2:1 a: the key 'a' is given twice, first on line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "h.yaml:4:3 a.b: the key 'b' is given twice, first on line 2"),
        ("data: !PLACEHOLDER", "h.yaml:1:7 data: a value must be given: --data VALUE"),
        ("a: *b", "h.yaml:1:4 a: there is no anchor &b before this"),
        ("a: !rf <b>", "h.yaml:1:4 a: there is no tag !rf (did you mean '!ref'?)"),
        ("a: !nwe:torch.nn.ReLU", "h.yaml:1:4 a: there is no tag !nwe:torch.nn.ReLU (did you mean '!new:'?)"),
        ("a: !new torch.nn.ReLU", "h.yaml:1:4 a: !new is followed by ':' and a name"),
        ("a: !ref [1]", "h.yaml:1:4 a: !ref does not go with a list"),
        ("a: !new:torch.nn.ReLU 3", "h.yaml:1:23 a.3: '3' is not read"),
        ("a: (1, (2, 3))", "h.yaml:1:4 a: a tuple inside a tuple is not read"),
        ("a: (1, [)", "h.yaml:1:4 a: (1, [) is not a tuple that can be read"),
        ("a: (1, 2", "h.yaml:1:4 a: '(' without ')'"),
        ("a: {b: (1, 2}", "h.yaml:1:8 a.b: inside [...] and {...} a ',' ends '('"),
        ("a: {b: {<<: 3}}", "h.yaml:1:13 a.b.<<: << takes a mapping"),
        ("1: 2", "h.yaml:1:1 1: a top-level key is text, found 1"),
        ("a: !!int x", "h.yaml:1:4 a: 'x' is not a int that can be read"),
        ("a: !include:nowhere.yaml", "h.yaml:1:4 a: there is no file nowhere.yaml to include"),
        ("a: !include: in.yaml", "h.yaml:1:4 a: the file follows without a space: !include:in.yaml"),
        ("a: !include:h.yaml", "h.yaml:1:4 a: a cycle of includes: h.yaml -> h.yaml"),
    ],
)
def test_a_mistake_is_told_with_its_line(text, message, write):
    (told,) = mistakes(write(text + "\n"))
    assert told.startswith(message)


def test_all_mistakes_at_once(write):
    told = mistakes(
        write("a: !ref <x>\na: 2\nc: !PLACEHOLDER\nd: !ref <c>/e\nf: !ref g\n"), ["--h", "3", "--i"]
    )
    assert [line.split(" ")[0 if line[0] == "h" else 1] for line in told] == [
        "line:1:3", "h.yaml:2:1", "line:1:1", "h.yaml:1:4", "h.yaml:3:4", "h.yaml:5:4",
    ]  # fmt: skip


def test_an_unfilled_placeholder_is_told_once_however_many_refer_to_it(write):
    assert len(mistakes(write("a: !PLACEHOLDER\nb: !ref <a>\nc: !ref <a>/x\nd: [!ref <b>]\n"))) == 1


def test_text_with_numbers_in_it_is_not_taken_for_arithmetic(write):
    text = "n: 3\nname: x\na: !ref run-<n>\nb: !ref <name> - <n>\nc: !ref <n>/x\nd: !ref <name>(<n>).txt\n"
    document = config.read(write(text))
    assert list(document.resolved().values())[2:] == ["run-3", "x - 3", "3/x", "x(3).txt"]


def test_a_forward_chain_of_references_resolves(write):
    assert (
        config.read(write("a: !ref <b>\nb: !ref <c[d]>\nc: {d: !ref <e> + 1}\ne: 1\n")).resolved()["a"] == 2
    )


def test_references_see_through_references_and_includes(write):
    write("x: {y: 3}\nz: !ref <x>\n", "in.yaml")
    document = config.read(write("a: !ref <b[z][y]>\nb: !ref <c>\nc: !include:in.yaml\n"))
    assert document.resolved()["a"] == 3


def test_text_growing_without_end_is_a_mistake(write):
    lines = ["a0: 0123456789"] + [f"a{i}: !ref {f'<a{i - 1}>' * 9}x" for i in range(1, 9)]
    assert "grows beyond" in mistakes(write("\n".join(lines)))[0]


def test_a_long_chain_of_references_is_a_mistake_not_a_crash(write):
    lines = [f"a{i}: !ref <a{i + 1}>" for i in range(5000)] + ["a5000: 1"]
    assert "chained more than" in mistakes(write("\n".join(lines)))[0]


# ---- includes


def test_placeholders_that_are_still_to_be_given(write) -> None:
    """Of the top level only: one within another key is a mistake of whoever wrote it."""
    path = write("a: !PLACEHOLDER\nb: 1\nc:\n  d: !PLACEHOLDER\ne: !PLACEHOLDER  # a path\n")
    assert config.find_placeholders(path) == ["a", "e"]
    assert config.find_placeholders(path, ["--a", "1"]) == ["e"]
    assert config.find_placeholders(path, {"e": None}) == ["a"]
    assert config.find_placeholders(path, ["--c.d", "1", "--a=2"]) == ["e"]


@pytest.mark.parametrize("text", ["- 1", "", "a: [", "a: !PLACEHOLDER\n  b: 1"])
def test_a_file_that_is_no_mapping_has_no_placeholders(text: str, write) -> None:
    assert config.find_placeholders(write(text)) in ([], ["a"])
    assert config.find_placeholders(write("a: 1").with_name("missing.yaml")) == []


PIECE = "n_mels: !PLACEHOLDER\nwindow: 3\nmodel: !new:torch.nn.Linear [!ref <n_mels>, !ref <window>]\n"


def test_mistakes_in_an_included_file_are_told_there(write):
    write("a: 1\nb: !ref <aa>\nc: !ref c\n", "pieces/in.yaml")
    told = mistakes(write("x: !include:pieces/in.yaml\ny: !ref <z>\n"))
    assert [line.split(": ")[0] for line in told] == [
        "pieces/in.yaml:2:4 x.b",
        "pieces/in.yaml:3:4 x.c",
        "h.yaml:2:4 y",
    ]


def test_an_included_placeholder_names_the_flag_from_the_top(write):
    write(PIECE, "in.yaml")
    (told,) = mistakes(write("front:\n  features: !include:in.yaml\n"))
    assert told.startswith(
        "in.yaml:1:9 front.features.n_mels: a value must be given: --front.features.n_mels VALUE"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["--features.n_mels", "40"],
        ["--features.n_mels=40"],
        {"features": {"n_mels": 40}},
        {"features.n_mels": 40},
        ["--features", "{n_mels: 40}"],
    ],
)
def test_overrides_reach_into_an_include(write, overrides):
    write(PIECE, "in.yaml")
    document = config.read(write("features: !include:in.yaml\n"), overrides)
    assert document.resolved()["features"]["model"] == {"!new:torch.nn.Linear": [40, 3]}


def test_the_parent_fills_the_placeholders_and_the_command_line_has_the_last_word(write):
    write(PIECE, "in.yaml")
    path = write("n: 80\nfeatures: !include:in.yaml\n  n_mels: !ref <n>\n")
    assert config.read(path).resolved()["features"]["n_mels"] == 80
    assert config.read(path, ["--n", "40"]).resolved()["features"]["n_mels"] == 40
    assert config.read(path, ["--features.n_mels", "20"]).resolved()["features"]["n_mels"] == 20
    assert config.read(path, ["--features.window", "5"]).resolved()["features"]["window"] == 5


def test_values_that_an_include_does_not_know(write):
    write(PIECE, "in.yaml")
    told = mistakes(
        write("f: !include:in.yaml\n  n_mel: 3\n  n_mels: 3\n"), ["--f.windo", "3", "--f.window", "x"]
    )
    assert told == [
        "h.yaml:2:3 f.n_mel: the included file has no key 'n_mel' (did you mean 'n_mels'?)",
        "command line:1:1 f.windo: there is no key 'windo' to change (did you mean --f.window?)",
        "command line:1:3 f.window: expected a whole number, found text 'x'",
    ]


def test_an_object_given_to_an_include_is_a_mistake_a_value_or_factory_is_none(write):
    write("part: !PLACEHOLDER\nsame: !ref <part>\n", "in.yaml")
    top = "layer: !new:torch.nn.ReLU\nfactory: !name:torch.nn.ReLU\nin: !include:in.yaml\n  part: "
    assert mistakes(write(top + "!ref <layer>\n"))[0].startswith("h.yaml:4:9 in.part: <layer> is an object")
    assert mistakes(write(top + "[!ref <layer>]\n"))[0].startswith(
        "h.yaml:4:10 in.part.0: <layer> is an object"
    )
    for good in ("!ref <factory>", "!copy <layer>", "!new:torch.nn.ReLU", "!ref <layer.inplace>"):
        config.read(write(top + good + "\n"))


def test_two_includes_of_one_file_are_two(write):
    write("a: !new:torch.nn.Linear [1, 2]\nb: !ref <a>\n", "in.yaml")
    values = config.build(config.read(write("x: !include:in.yaml\ny: !include:in.yaml\n"))).values
    assert values["x"]["a"] is values["x"]["b"]
    assert values["x"]["a"] is not values["y"]["a"]


def test_a_cycle_of_includes_is_named(write):
    write("b: !include:../h.yaml\n", "pieces/in.yaml")
    (told,) = mistakes(write("a: !include:pieces/in.yaml\n"))
    assert told == "pieces/in.yaml:1:4 a.b: a cycle of includes: h.yaml -> pieces/in.yaml -> h.yaml"


def test_includes_that_multiply_end(write):
    for level in range(12):
        write(f"a: !include:in{level + 1}.yaml\nb: !include:in{level + 1}.yaml\n", f"in{level}.yaml")
    write("a: 1\n", "in12.yaml")
    assert any("files are included" in line for line in mistakes(write("a: !include:in0.yaml\n")))


# ---- warnings


def test_text_that_looks_like_a_reference_is_warned_about(write, told):
    assert told(write("a: x\nb: <a>/y\nc: <blank>\n")) == [
        "h.yaml:2:4 b: warning: <a> is only text without !ref before it"
    ]


def test_a_sum_of_what_stands_below_is_warned_about_where_hyperpyyaml_has_another(write, told):
    path = write("a: !ref <b> * 2\nb: !ref <c> + 1\nc: 3\nd: !ref <e>/x\ne: !ref run<c>\nf: !ref <b> * 2\n")
    assert config.read(path).resolved() == {"a": 8, "b": 4, "c": 3, "d": "run3/x", "e": "run3", "f": 8}
    assert hyperpyyaml_tree(path)["a"] == 5
    assert told(path) == [
        "h.yaml:1:4 a: warning: <b> * 2 comes to 8 here, but to 5 in hyperpyyaml: "
        "move what it refers to above it"
    ]


def test_blank_values_and_unused_anchors_are_warned_about(write, told):
    assert told(write("a:\nb: &c 3\nd: null\n")) == [
        "h.yaml:1:1 a: warning: no value is given here; write null if none is meant",
        "h.yaml:2:4 b: warning: the anchor &c is never used",
    ]
