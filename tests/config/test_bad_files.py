"""Files that are no YAML of ours: one message with a place, never a traceback, never a long wait."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from speechkit import config

LAUGHS = "\n".join(
    ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
)
MERGES = "\n".join(
    ["m0: &m0 {a: 1}"] + [f"m{i}: &m{i}\n  <<: [*m{i - 1}, *m{i - 1}]\n  k{i}: {i}" for i in range(1, 60)]
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "h.yaml:1:1: the file is empty"),
        (b"\n\n# only a comment\n", "h.yaml:1:1: the file is empty"),
        (b"---\n...\n", "h.yaml:1:1: the file is empty"),
        (b"- a\n- b\n", "h.yaml:1:1: the file is no mapping of keys"),
        (b"text\n", "h.yaml:1:1: the file is no mapping of keys"),
        (b"!new:torch.nn.ReLU {}\n", "h.yaml:1:1: the file is no mapping of keys"),
        (b"a: 1\nb: \xff\xfe\n", "h.yaml:2:4: this is not text in UTF-8 (byte 0xff)"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "h.yaml:1:1: this is not text in UTF-8 (byte 0x89)"),
        (b"a: 1\nb: x\x00y\n", "h.yaml:2:5 b: the character '\\x00' is not allowed in YAML"),
        (b"a: 1\n\tb: 2\n", "h.yaml:2:1 "),
        (b"a:\n\tb: 2\n", "h.yaml:2:1 "),
        (b"a: [1, 2\nb: 3\n", "h.yaml:1:4 a: a list opened here with '[' is not closed"),
        (b"a: {x: 2\nb: 3\n", "h.yaml:1:4 a: a mapping opened here with '{' is not closed"),
        (b"a: 'x\nb: 3\n", "h.yaml:1:4 a: a quote opened here is not closed"),
        (b"a:\n  b: 1\n  c 2\n  d: 3\n", "h.yaml:3:3 a.c: a ':' is missing after"),
        (b"a:\n  b: 1\n c: 2\n", "h.yaml:3:2 "),
        (b"a: 1\n---\nb: 2\n", "h.yaml:2:1 a: a second document begins here"),
        (b"%YAML 1.1\n---\na: yes\n", "h.yaml:2:1: only YAML 1.2 is read"),
        (
            b"%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system\n",
            "h.yaml:3:4 a: !!python tags run code",
        ),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "h.yaml:1:63 a.0.0"),
        (b"a: " + b"{b: " * 5000, "h.yaml:1:"),
        (b"- " * 5000, "h.yaml:1:"),
        (b"a: " + b"9" * 5000, "h.yaml:1:4 a: '9999"),
        (b"a: !ref " + b"(" * 3000 + b"<a>", "h.yaml:1:4 a: "),
        (b"? [a]\n: 2\n", "h.yaml:1:3 ?: a key is a plain word"),
        (b": 2\n", "h.yaml:1:1 ?: there is no key before the ':'"),
        (b"? !new:x.Y\n: 2\n", "h.yaml:1:3 ?: a key is a plain word"),
        (b"a: @x\n", "h.yaml:1:4 a: found character '@'"),
        (b"a: " + b"x" * 1_100_000, "h.yaml:1:1: the file is larger than"),
    ],
)
def test_a_bad_file_is_told_in_one_line(content, message, tmp_path, told):
    path = tmp_path / "h.yaml"
    path.write_bytes(content)
    messages = told(path)
    assert messages[0].startswith(message)
    assert len(messages) == 1


def test_a_file_that_is_none(tmp_path, told):
    assert told(tmp_path / "no.yaml") == ["no.yaml:1:1: cannot be read: No such file or directory"]
    assert config.check(tmp_path)[0].message == "this is a folder; a YAML file is expected"
    os.mkfifo(tmp_path / "pipe.yaml")
    assert told(tmp_path / "pipe.yaml") == ["pipe.yaml:1:1: this is not a regular file"]
    assert "null byte" in told(Path("a\0b"))[0]


def test_an_included_file_that_is_none(tmp_path, told, write):
    path = write(
        "a: !include:folder\nb: !include:empty.yaml\nc: !include:list.yaml\nd: !include:binary.yaml\n"
    )
    (tmp_path / "folder").mkdir()
    write("", "empty.yaml"), write("- 1", "list.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    assert sorted(told(path)) == [
        "binary.yaml:1:1 d: this is not text in UTF-8 (byte 0xff)",
        "empty.yaml:1:1 b: the included file is empty",
        "folder:1:1 a: this is a folder; a YAML file is expected",
        "list.yaml:1:1 c: the included file does not hold a mapping of keys",
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", [LAUGHS, MERGES], ids=["aliases", "merges"])
def test_a_tree_that_unfolds_without_end_is_read_dumped_and_compared_in_no_time(text, write):
    document = config.read(write(text))
    again = config.read(write(document.dump(), "again.yaml"))
    assert again.sha256() == document.sha256()
    assert document.fingerprint(["a0", "m0"]) != document.sha256()
    assert document.differences(again.resolved()) == []
    config.build(document)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60) | st.text("ab:-[]{}!<>&*#'\"|>\n\t ,%@`?~1.(refnw)", max_size=60).map(str.encode)
)
@example(b"a: !ref <a[>")
@example(b"? ")
@example(b"a: !!binary x")
@example(b"%")
def test_whatever_the_bytes_no_traceback(tmp_path, content):
    path = tmp_path / "h.yaml"
    path.write_bytes(content)
    for problem in config.check(path):
        assert str(problem).startswith(f"{path}:")


@settings(max_examples=150)
@given(st.lists(st.text(max_size=15), max_size=4), st.text(max_size=15))
def test_whatever_the_command_line_no_traceback(arguments, value):
    path = Path(__file__).parent / "samples" / "pieces" / "inner.yaml"
    for problem in config.check(path, ["--width", value, *arguments]):
        assert str(problem.place).startswith(("command line:1:", str(path)))
