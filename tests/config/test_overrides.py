# ruff: noqa: E501  (tables of texts and messages)
"""The command line: what changes, what is a mistake, and of which type a change may be."""

import pytest

from speechkit import config
from speechkit.errors import UserErrors

YAML = """
n: 3
rate: 0.5
name: run
flag: true
nothing: null
words: [a, b]
pair: (1, 2)
folder: !ref runs/<name>/<n>
data: !PLACEHOLDER
same_rate: !ref <rate>
model: !new:torch.nn.Linear
    in_features: 4
    out_features: !ref <n>
stack: [{width: 1}, {width: 2}]
alias: !ref <model>
bare: !new:torch.nn.ReLU
dashed-key: {inner: 1}
"""


def resolved(write, *overrides):
    given = overrides[0] if len(overrides) == 1 and isinstance(overrides[0], dict) else [*overrides]
    extra = {} if isinstance(given, list) and "--data" in given else None
    if extra is not None or isinstance(given, list):
        given = given if "--data" in given else [*given, "--data", "d"]
    return config.read(write(YAML), given).resolved()


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["--n", "5"], "n", 5),
        (["--n=5"], "n", 5),
        (["--n", "-5"], "n", -5),
        (["--n", "null"], "n", None),
        (["--n", "4", "--n", "5"], "n", 5),
        (["--rate", "1e-3"], "rate", 0.001),
        (["--rate", "2"], "rate", 2),
        (["--rate", "2"], "same_rate", 2),
        (["--name", "2026"], "name", "2026"),
        (["--name", "true"], "name", "true"),
        (["--name", ""], "name", ""),
        (["--name", "C: \\x"], "name", "C: \\x"),
        (["--name=a=b"], "name", "a=b"),
        (["--name", "~"], "name", None),
        (["--name", "x"], "folder", "runs/x/3"),
        (["--folder", "elsewhere"], "folder", "elsewhere"),
        (["--flag", "false"], "flag", False),
        (["--nothing", "[1, {a: 2}]"], "nothing", [1, {"a": 2}]),
        (["--words", "[]"], "words", []),
        (["--words", "[1, x, null]"], "words", [1, "x", None]),
        (["--words.1", "z"], "words", ["a", "z"]),
        (["--pair", "(3, 4, 5)"], "pair", (3, 4, 5)),
        (["--data", "3"], "data", 3),
        (["--data", "/a/b c"], "data", "/a/b c"),
        (["--model.in_features", "7"], "model", {"!new:torch.nn.Linear": {"in_features": 7, "out_features": 3}}),
        (["--model", "{in_features: 7}"], "model", {"!new:torch.nn.Linear": {"in_features": 7, "out_features": 3}}),
        (["--model.bias", "false"], "model",
         {"!new:torch.nn.Linear": {"in_features": 4, "out_features": 3, "bias": False}}),
        (["--model", "null"], "model", None),
        (["--bare.inplace", "true"], "bare", {"!new:torch.nn.ReLU": {"inplace": True}}),
        (["--stack.1.width", "9"], "stack", [{"width": 1}, {"width": 9}]),
        (["--dashed-key.inner", "2"], "dashed-key", {"inner": 2}),
    ],
)  # fmt: skip
def test_what_an_override_does(write, overrides, key, value):
    found = resolved(write, *overrides)[key]
    assert found == value
    assert type(found) is type(value)


def test_values_from_python_keep_their_types(write):
    path = write(YAML)
    found = config.read(
        path, {"n": 5, "name": "7", "data": None, "words": ["x"], "pair": (1, 2), "model.bias": False}
    )
    tree = found.resolved()
    assert (tree["n"], tree["name"], tree["data"], tree["words"], tree["pair"]) == (
        5,
        "7",
        None,
        ["x"],
        (1, 2),
    )
    assert tree["model"]["!new:torch.nn.Linear"]["bias"] is False


def test_what_a_function_gives_is_replaced_by_any_value(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("task: 12\nlabels: !apply:speechkit.data.speech_commands_labels\n    task: !ref <task>\n")
    assert config.check(path) == []
    assert config.build(config.read(path)).values["labels"][-1] == "_silence_"
    assert config.build(config.read(path, ["--task", "10"])).values["labels"][-1] == "go"
    assert config.build(config.read(path, ["--labels", "[a, b]"])).values["labels"] == ["a", "b"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--m", "3"], "command line:1:1 m: there is no key 'm' to change"),
        (["--naem", "3"], "command line:1:1 naem: there is no key 'naem' to change (did you mean --name?)"),
        (["--in_features", "3"], "command line:1:1 in_features: there is no key 'in_features' to change "
         "(did you mean --model.in_features?)"),
        (["--dashed-key.iner", "3"], "command line:1:1 dashed-key.iner: there is no key 'iner' to change "
         "(did you mean --dashed-key.inner?)"),
        (["--n", "x"], "command line:1:1 n: expected a whole number, found text 'x'"),
        (["--n", "2.5"], "command line:1:1 n: expected a whole number, found a number 2.5"),
        (["--n", "true"], "command line:1:1 n: expected a whole number, found true or false True"),
        (["--rate", "true"], "command line:1:1 rate: expected a number, found true or false True"),
        (["--same_rate", "x"], "command line:1:1 same_rate: expected a number, found text 'x'"),
        (["--flag", "1"], "command line:1:1 flag: expected true or false, found a whole number 1"),
        (["--name", "[1]"], "command line:1:1 name: expected text, found a list"),
        (["--words", "a"], "command line:1:1 words: expected a list, as in '[1, 2]', found text 'a'"),
        (["--words.2", "a"], "command line:1:1 words.2: words is a list; after it comes a number below its length"),
        (["--pair", "3"], "command line:1:1 pair: expected a tuple, as in '(1, 2)', found a whole number 3"),
        (["--model", "3"], "command line:1:1 model: expected null, or a change of its arguments "
         "(--model.ARGUMENT VALUE), found a whole number 3"),
        (["--alias.in_features", "3"], "command line:1:1 alias.in_features: alias is a reference to <model>; "
         "change --model.in_features"),
        (["--n.x", "3"], "command line:1:1 n.x: n has no keys below it"),
        (["--words", "[1"], "command line:1:1 words: a list opened here with '[' is not closed"),
        (["--nothing", "!ref <n>"], "command line:1:1 nothing: tags (!ref) are not read here"),
        (["--nothing", "[!new:os.system [ls]]"], "command line:1:1 nothing: tags (!new:os.system) are not read here"),
        (["--name", "!ref <n>"], "command line:1:1 name: tags (!ref) are not read here"),
        (["--nothing", "!!str 3"], "command line:1:1 nothing: tags (!!str) are not read here"),
        (["--n"], "command line:1:1 n: --n has no value; expected --n VALUE"),
        (["--n", "--rate", "2"], "command line:1:1 n: --n has no value; expected --n VALUE"),
        (["n", "3"], "command line:1:1: 'n': expected --key VALUE or --key=VALUE"),
        (["--", "3"], "command line:1:1: '--': expected --key VALUE or --key=VALUE"),
        (["--a..b", "3"], "command line:1:1: '--a..b': expected --key VALUE or --key=VALUE"),
        ({"n": object()}, "command line:1:1 n: a plain value is expected, found object"),
        ({"n": "3"}, "command line:1:1 n: expected a whole number, found text '3'"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(write, overrides, message):
    with pytest.raises(UserErrors) as caught:
        config.read(write(YAML.replace("!PLACEHOLDER", "d")), overrides)
    assert str(caught.value).split("\n")[0].startswith(message)


def test_a_schema_lets_an_argument_with_a_default_be_added(write, told, tmp_path):
    train = tmp_path / "train.py"
    train.write_text(
        "class B:\n    def __init__(self, n, precision: str = 'fp32', **_): ...\nmain(B, __file__)\n"
    )
    schema = config.brain_schema(train)
    path = write("n: 3\n")
    document = config.read(path, ["--precision", "bf16"], schema=schema)
    assert document.resolved() == {"n": 3, "precision": "bf16"}
    assert told(path, ["--precison", "bf16"], schema=schema) == [
        "command line:1:1 precison: there is no key 'precison' to change (did you mean 'precision'?)"
    ]
    assert told(path, ["--precision", "16"], schema=schema) == [
        "command line:1:1 precision: 'precision' of B is text, found 16"
    ]


def test_what_comes_from_the_command_line_is_known(write):
    """Also below a mapping that was given, and through references; not what only has the same value."""
    path = write("a: !new:x.Y {b: 1, c: {d: 2}}\ne: !ref <a>\nf: 1\n")
    document = config.read(path, ["--a.b", "1", "--a.c", "{d: 3}"])
    assert [document.is_overridden(key) for key in ("a.b", "e.b", "a.c.d", "f", "a", "a.x")] == [
        True, True, True, False, False, False
    ]  # fmt: skip


def test_keys_by_their_value(write):
    document = config.read(write("a: !new:x.Y {b: 1, c: [t, 1.0, 1]}\nd: {e: 1, f: true}\n"))
    assert document.keys_of(1, "a") == ["a.b", "a.c.2"]
    assert document.keys_of("t", "a") == ["a.c.0"]
    assert document.keys_of(1, "d") == ["d.e"]
    assert document.keys_of(1, "g") == []
