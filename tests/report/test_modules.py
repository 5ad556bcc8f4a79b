"""The tree of modules: equal neighbours folded, none lost, at any width."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.report import format_model, write_json, write_report
from speechkit.report.modules import format_count, list_modules

LAYER = {"class": "Linear", "parameters": 6, "trainable": 6, "output_shape": [1, 9, 2], "multiply_adds": 36}


def make_model(rows: list[dict]) -> dict:
    totals = {"parameters": 12, "trainable": 12, "multiply_adds": 72, "input": {"seconds": 1.0}}
    return {"schema": 1, "modules": rows, **totals}


def make_blocks(n: int, **changes: object) -> dict:
    """`encoder` of n blocks, each of an attention with two projections and two norms."""
    rows = [{"name": "encoder", **LAYER, "class": "Encoder"}]
    for block in range(n):
        parts = ["", ".attention", ".attention.query", ".attention.output", ".norm1", ".norm2"]
        rows += [{"name": f"encoder.{block}{part}", **LAYER} for part in parts]
    return make_model(rows) | changes


def names(model: dict, **how: bool) -> list[tuple[int, str, int]]:
    return [(module.depth, module.name, module.repeats) for module in list_modules(model, **how)]


def test_equal_blocks_are_one_row_with_their_children_once() -> None:
    assert names(make_blocks(12)) == [
        (0, "encoder", 1),
        (1, "0 to 11", 12),
        (2, "attention", 1),
        (3, "query", 1),
        (3, "output", 1),
        (2, "norm1 to norm2", 2),
    ]
    assert len(names(make_blocks(12), unfolded=True)) == 1 + 12 * 6


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": 7},
        {"class": "QLinear"},
        {"output_shape": [1, 9, 3]},
        {"multiply_adds": None},
        {"trainable": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_other_leaf_keeps_its_block_apart(change: dict) -> None:
    model = make_blocks(5)
    next(row for row in model["modules"] if row["name"] == "encoder.2.attention.output").update(change)
    assert [entry for entry in names(model) if entry[0] == 1] == [
        (1, "0 to 1", 2),
        (1, "2", 1),
        (1, "3 to 4", 2),
    ]


def test_names_that_mean_other_things_stay_apart() -> None:
    rows = [{"name": name, **LAYER} for name in ("query", "key", "value", "proj_in1", "proj_out2")]
    assert [entry[1] for entry in names(make_model(rows))] == [
        "query",
        "key",
        "value",
        "proj_in1",
        "proj_out2",
    ]


TREES = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(st.sampled_from(["a", "b1", "b2", "0", "1", "2"]), below, max_size=4),
)


def flatten(tree: dict, path: str = "") -> list[dict]:
    rows = []
    for name, children in tree.items():
        rows += [{"name": path + name, **LAYER}, *flatten(children, f"{path}{name}.")]
    return rows


@given(TREES)
def test_folded_rows_stand_for_all_modules(tree: dict) -> None:
    model = make_model(flatten(tree))
    standing_for, above = 0, [1]
    for module in list_modules(model):
        above = [*above[: module.depth + 1], above[module.depth] * module.repeats]
        standing_for += above[-1]
    assert standing_for == len(model["modules"])
    whole = list_modules(model, unfolded=True)
    assert [(each.name, each.depth) for each in whole] == [
        (row["name"].split(".")[-1], row["name"].count(".")) for row in model["modules"]
    ]


@given(TREES, st.integers(80, 120))
def test_no_line_is_wider_than_the_terminal(tree: dict, width: int) -> None:
    rows = flatten(tree)
    for row in rows:
        row["class"] = "AModuleWithANameThatGoesOnForever"
    for unfolded in (False, True):
        text = format_model(make_model(rows), width=width, unfolded=unfolded)
        assert max(map(len, text.splitlines())) <= width


def test_text_of_a_model() -> None:
    model = make_blocks(8, trainable=6, multiply_adds=12_345_678, input={"tokens": 8})
    model["modules"].append(
        {"name": "head", **LAYER, "trainable": 0, "output_shape": None, "multiply_adds": None}
    )
    text = format_model(model)
    assert " ".join(text.splitlines()[2].split()) == "0 to 7 x 8: Linear 1x9x2 6 36"
    head = next(line for line in text.splitlines() if line.startswith("head"))
    assert head.split() == ["head:", "Linear", "(frozen)", "6"]
    assert "12 parameters, 6 of them trained; 12,345,678 multiply-adds for 8 tokens\n" in text
    assert text.endswith("x N: N equal modules, with the figures of each; --all lists them\n")
    assert "--all" not in format_model(model, unfolded=True)


def test_a_model_without_rows_or_multiply_adds_is_still_described(fake) -> None:
    assert "6 parameters" in format_model(make_model([]) | {"parameters": 6, "multiply_adds": None})
    assert "BCResNet" in format_model(fake.make_model())  # whose first row is the whole


@pytest.mark.parametrize("number", [0, 7, 999, 1000, 1_234_567, 999_500, 10**12, 3 * 10**15])
def test_counts_are_right_to_three_digits(number: int) -> None:
    value, _, prefix = format_count(number).partition(" ")
    size = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert float(value) * size == pytest.approx(number, rel=5e-3)


def test_the_page_shows_the_same_rows(run_folder) -> None:
    write_json(run_folder / "model.json", make_blocks(12), "model")
    page = write_report(run_folder).read_text()
    assert "0 to 11 <strong>× 12</strong>" in page
    assert "73 modules; equal ones next to each other are one row, with the figures of each" in page
    assert page.count(">query</th>") == 1


def test_the_model_itself_is_not_changed() -> None:
    model = make_blocks(3)
    before = copy.deepcopy(model)
    format_model(model)
    assert model == before
