# ruff: noqa: E501  (tables of texts and messages)
"""The same tree of values, types, call arguments and shared objects as hyperpyyaml gives."""

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from speechkit import config
from speechkit.errors import UserError

from .oracle import canonical, hyperpyyaml_tree, our_tree, placeholders, samples, shipped


def test_every_shipped_yaml_is_seen():
    assert [path.name for path in shipped() if path.name == "quickstart.yaml"]


@pytest.mark.parametrize("path", [*shipped(), *samples()], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shipped_yaml_gives_the_same_tree(path: Path):
    overrides = placeholders(path)
    assert all("." not in key for key in overrides), "a shipped YAML fills the placeholders of its includes"
    assert canonical(our_tree(path, overrides)) == canonical(hyperpyyaml_tree(path, overrides))


@pytest.mark.parametrize("path", [*shipped(), *samples()], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_dump_reads_again_to_the_same_tree(path: Path, tmp_path: Path):
    overrides = placeholders(path)
    document = config.read(path, overrides)
    again = tmp_path / "again.yaml"
    again.write_text(document.dump(), encoding="utf-8")
    expected = canonical(our_tree(path, overrides))
    assert canonical(our_tree(again)) == expected
    assert canonical(hyperpyyaml_tree(again)) == expected
    assert config.read(again).sha256() == document.sha256()
    assert config.read(again).dump() == document.dump()


@pytest.mark.parametrize(
    "text",
    [
        "a: !ref <b>\nb: {c: 1}\n",
        "a: &x {p: 1, q: [1]}\nb: {r: 2, <<: *x, q: 5}\nc:\n  <<: [*x, {p: 9, t: 1}]\n  z: 1\n",
        "a: 'x'\nc: '<a>'\nd: !ref <c>\ne: !ref <c>z\n",
        "a: &q !ref <b>\nb: 3\nc: *q\n",
        "c: 2\na: [!ref <c>, !ref <c> + 1]\nb: !ref <a>\ne: !copy <a>\nd: !ref <c>*<c>\n",
        "a: !new:x.Counter {b: !new:x.Counter {c: 3}}\nd: !ref <a[b]>\ne: !ref <a[b][c]>\nf: !ref <a[b].total>\n",
        "a: yes\nb: !ref <a>\nc: true\nd: !ref <c>\ne: !ref x <c>\ng: null\nh: !ref <g>\ni: !ref <g>x\n",
        "a: '(1, 2)'\nb: ['(1, 2)', (3), '(4)']\nc: ['(1, 2)']\nd: '(a: b)'\ne: (1,)\nf: ()\n",
        "a: 3\nb: !ref (<a>, 1)\nc: [!ref '(<a>)', !ref '(<a>,2)']\nd: !ref (<a>)\n",
        "a: !!str 3\nb: !!int '3'\nc: !!float 3\nd: !tuple (1, 2)\ne: !!str (1, 2)\n",
        "a: {1: x, 2.5: y, false: z}\n",
        "a: 0.1\nb: !ref <a> * 3\nc: !ref <a>\nd: !ref lr=<a>\ne: !ref <a>_2\nf: !ref <a>-x\ng: !ref 1 + <a>\n",
        "a: !name:x.Y\nb: !name:x.Y {k: 1}\nc: [!ref <a>, !ref <b>]\nd: !apply:x.f [1, {k: 2}]\ne: !apply:x.f {k: 1}\n",
        "a: !new:x.Y \n- [1, 2]\n- b: (1, 2)\nb: !copy <a>\nc: [!ref <b>, !ref <b>]\n",
        "a: .inf\nb: -.INF\nc: .nan\nd: +1\ne: -0\nf: 1__0\ng: 0b11\nh: 2001-12-14 21:59:43.10-05:00\ni: 1:30\nj: 12e03\n",
        "a: \"\\u00e9 \\x41\"\nb: é\nc: '#no comment'\nd: a#b\ne: \"tab\\there\"\nf: ''\n",
        "a:\n- 1\n-\n  - 2\nb:\n    c:\n    - d: 1\n      e: 2\n",
        "a: {b: 1}\nc: !ref x<a>\n",
    ],
)
def test_same_tree(text: str, write):
    path = write(text)
    expected = canonical(hyperpyyaml_tree(path))
    if "x<a>" in text and "{b: 1}" in text:  # a mapping inside text: we say that it is a mistake
        with pytest.raises(UserError, match="cannot stand inside text"):
            config.read(path)
        return
    assert canonical(our_tree(path)) == expected


# without control characters, which ruamel writes such that it does not read them again
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=10)
PLAIN = st.one_of(
    st.text(
        st.sampled_from(string.ascii_letters + string.digits + " _-+./:,#'\"[]{}()&*!|>%@`~=<\\é\n\t"),
        max_size=12,
    ),
    st.text(max_size=8),
    st.sampled_from(
        [
            "yes",
            "off",
            "null",
            "~",
            "1e3",
            "1E-3",
            "0x1f",
            "0o7",
            "012",
            "1_0",
            ".inf",
            "(1, 2)",
            "(a)",
            "2020-01-01",
            "1:30",
            "+.5",
            "-",
            "--",
            "=",
            "<<",
            "0b1",
            "1.",
            "(yes, 1e-3)",
            "True",
        ]
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLAIN)
@example("(!!python/object/apply:os.system [ls])")
def test_one_plain_scalar(write, text: str):
    """Whatever stands after a colon: either the same value, or a mistake with its line where we are stricter."""
    path = write(f"a: {text}\n")
    compare(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(-20, 20),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: float(f"{x:.6g}")),
    st.sampled_from(
        [
            "<a>+<b>",
            "<a> * 2",
            "<b>/<a>",
            "<a> ** 2",
            "x<a>",
            "<a>-<b>",
            "<a>_<a>",
            "<b>%3",
            "<a>//4",
            "(<a>, <b>)",
            "(<a>)",
            "a/<a>/<b>",
            "<a> + <b> * <a>",
            "2 * (<a> + 1)",
            "'<a>'",
            "<a><a>",
            "0<a>",
            "<a>.<a>",
            "<a>e2",
        ]
    ),
)
def test_one_reference(write, a: int, b: float, template: str):
    compare(write(f"a: {a}\nb: {b!r}\nc: !ref {template}\nd: !ref <c>\n"))


def compare(path: Path) -> None:
    try:
        ours = canonical(our_tree(path))
    except UserError:
        ours = None
    if "python" in path.read_text():  # never give such to hyperpyyaml
        assert ours is None or "!" not in path.read_text()
        return
    try:
        theirs = canonical(hyperpyyaml_tree(path))
    except Exception:
        theirs = None
    if ours is not None and theirs is not None:
        assert ours == theirs
    assert ours is None or theirs is not None, f"hyperpyyaml refuses what we read: {path.read_text()!r}"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | TEXT
        | st.dates()
        | st.sampled_from(
            ["(1, 2)", "yes", "1e3", "<a>", "!ref <a>", "null", " x ", "a: b", "- a", "#", "x\u2028y", "😀"]
        ),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=4),
        max_leaves=12,
    )
)
def test_dump_of_any_plain_tree_reads_again(write, tree):
    """Overrides put any value into a tree; its dump gives it back, to us and to hyperpyyaml."""
    document = config.read(
        write("root: null\n"), {"root": tree} if not isinstance(tree, str) else {"root": [tree]}
    )
    again = write(document.dump(), "again.yaml")
    value = tree if not isinstance(tree, str) else [tree]
    assert repr(our_tree(again)["root"]) == repr(value)
    if "?" not in repr(value):  # ruamel writes some text with a '?' such that it does not read it again
        assert canonical(hyperpyyaml_tree(again)["root"]) == canonical(value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab 1,:#[]{}?'-()é\u2028", max_size=8), st.booleans())
def test_quoted_text_in_parentheses(write, inside: str, flow: bool):
    """A tuple or text, as the two writings of hyperpyyaml have it."""
    text = "'(" + inside.replace("'", "''") + ")'"
    compare(write(f"a: [{text}]\n" if flow else f"a: {text}\n"))


@st.composite
def documents(draw) -> str:
    """YAMLs full of objects, references to them and to what is in them, copies, attributes and lists."""
    n_keys = draw(st.integers(2, 6))
    lines: list[str] = []
    places: list[str] = []  # what a reference may name so far

    def value(indent: int, path: str, depth: int) -> None:
        kinds = [
            "scalar",
            "reference",
            "copy",
            "attribute",
            "list",
            "mapping",
            "call",
            "factory",
            "positional",
        ]
        kind = draw(st.sampled_from(kinds if depth < 3 else kinds[:4]))
        target = draw(st.sampled_from(places)) if places else ""
        if kind in ("reference", "copy") and target:
            lines[-1] += f" {'!ref' if kind == 'reference' else '!copy'} <{target}>"
        elif kind == "attribute" and target in objects:
            lines[-1] += f" !ref <{target}.attribute>"
        elif kind in ("list", "positional"):
            lines[-1] += " !new:x.Positional" if kind == "positional" else ""
            if kind == "positional" and path:
                objects.append(path)
            for _ in range(draw(st.integers(1, 3))):
                lines.append("  " * indent + "-")
                value(indent + 1, "", depth + 1)
        elif kind in ("mapping", "call", "factory"):
            lines[-1] += {"mapping": "", "call": " !new:x.Made", "factory": " !name:x.Factory"}[kind]
            if kind == "call" and path:
                objects.append(path)
            for name in draw(
                st.lists(st.sampled_from(["p", "q", "r-s"]), min_size=1, max_size=3, unique=True)
            ):
                lines.append("  " * indent + f"{name}:")
                value(indent + 1, f"{path}[{name}]" if path else "", depth + 1)
        else:
            lines[-1] += f" {draw(st.sampled_from(['1', '2.5', 'text', 'null', '(1, a)', 'true']))}"
        if path:
            places.append(path)

    objects: list[str] = []
    for index in range(n_keys):
        name = f"{draw(st.sampled_from(['k', '__k', '_k']))}{index}"
        lines.append(f"{name}:")
        value(1, name, 0)
    return "\n".join(lines) + "\n"


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents())
def test_documents_full_of_references(write, text: str):
    """The same tree as hyperpyyaml's, and a dump that gives it again to both."""
    path = write(text)
    expected = canonical(our_tree(path))
    assert canonical(hyperpyyaml_tree(path)) == expected
    again = write(config.read(path).dump(), "again.yaml")
    assert canonical(our_tree(again)) == expected
    assert canonical(hyperpyyaml_tree(again)) == expected
