"""YAML documents: every malformed one is one sentence with file and line, and nothing is ever constructed."""

import math
import os
import re

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import protocol_file, yaml_reader

VALID = """\
# Accepted numbers.
prunecal: 1
model: vgg19
protocol: {name: quick, fingerprint: 5b1c9e02}
environment: {torch: 2.11.0, device: cpu, threads: 1}
tolerance:
  mpc: {abs: 0.02}
cells:
  dense:
    accuracy: 0.9688
    parameters: 315010
  channel-0.7:
    note: |
      loses most of conv12
    ece: 0.0203   # why
"""
BLOCKS = st.characters(exclude_categories=())
FRAGMENTS = st.sampled_from(
    [
        "\n",
        "  ",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!int ",
        "!x ",
        "|\n",
        ">-\n",
        '"',
        "'",
        "\\",
        "?",
        "#",
        " #",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "\t",
        "\r",
        "\ufeff",
        "\x85",
        "\u2028",
        "\x00",
        "�",
        "é",
        '"\\UFFFFFFFF"',
        '"\\ud800"',
        "<<: ",
        "~",
        ".inf",
        ".nan",
        "1e-4",
        "0o7",
        "010",
        "1:30",
        "2001-01-01",
        "9" * 400,
        "null",
        "true",
        "=",
        "@",
        "`",
        ",",
        "cells",
        "dense",
        "ece",
        "tolerance",
        "note",
        "1",
        "0.5",
    ]
)


def one_sentence(error, name="f.yaml"):
    """The message is one line that starts with file and line."""
    text = str(error.value if hasattr(error, "value") else error)
    assert re.match(rf"{re.escape(name)}:\d+: \S", text), text
    assert len(text.splitlines()) == 1, text
    text.encode("utf-8")
    return text


def parsed(value):
    return yaml_reader.parse(f"key: {value}\n", "f.yaml").mapping()["key"]


@st.composite
def mutated(draw, valid):
    text = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 40])))
        text = text[:start] + draw(FRAGMENTS | st.text(max_size=3)) + text[end:]
    return text


def raises_one_sentence_or_nothing(read, text):
    try:
        return read(text, "f.yaml")
    except PrunecalError as error:
        one_sentence(error)
        return None


@hypothesis.settings(max_examples=200)
@hypothesis.given(st.text(BLOCKS, max_size=60) | st.lists(FRAGMENTS, max_size=12).map("".join))
def test_arbitrary_text_raises_nothing_but_one_sentence(text):
    raises_one_sentence_or_nothing(yaml_reader.parse, text)
    raises_one_sentence_or_nothing(baseline.parse, text)


@hypothesis.settings(max_examples=250)
@hypothesis.given(mutated([VALID]))
def test_a_mutated_baseline_raises_nothing_but_one_sentence(text):
    found = raises_one_sentence_or_nothing(baseline.parse, text)
    for cell in found.cells.values() if found else ():
        assert all(type(value) in (int, float) and math.isfinite(value) for value in cell.metrics.values())


@hypothesis.settings(max_examples=80)
@hypothesis.given(mutated([path.read_text() for path in sorted(protocol_file.BUILT_IN.glob("*.yaml"))]))
def test_a_mutated_protocol_raises_nothing_but_one_sentence(text):
    def read(text, name):
        return protocol_file._read(yaml_reader.parse(text, name), "mine")

    raises_one_sentence_or_nothing(read, text)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("a: 1\nb: [1\n", 3, "expected"),
        ("a: b: c", 1, "not allowed"),
        ("a:\n\tb: 1", 2, "cannot start any token"),
        ("a: 1\nb: 2\na: 3", 3, "'a' stands twice in the document"),
        ("a:\n  b: 1\n  b: 2", 3, "'b' stands twice in a"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 1\nb: \x02", 2, "character #x0002 is not allowed"),
        ('a: 1\nb: "\\UFFFFFFFF"', 2, "no such character"),
        ('a: 1\nb: "x\\ud800"', 2, "half a character"),
        ("a: 1\n[x]: 2", 2, "is not plain text"),
        ("a: 1\nb: *c", 2, "anchors are not supported"),
        ("a: 1\nb: &c 1", 2, "anchors are not supported"),
        ("a: &c {x: 1}\nb: {<<: *c}", 1, "anchors are not supported"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, "tags are not supported"),
        ("!!python/object/apply:os.system [x]", 1, "tags are not supported"),
        ('a: 1\nb: !!int ""', 2, "tags are not supported"),
        ("? !!str a\n: 1", 1, "tags are not supported"),
        ("[" * 5000, 1, "nested too deeply"),
        ("- " * 5000, 1, "nested too deeply"),
        ("{a: " * 3000, 1, "nested too deeply"),
        ("%YAML " + "9" * 5000, 1, "malformed YAML"),
        ("a: 1\nb: \ufeffc", 2, "character #xfeff is not allowed"),
    ],
)
def test_malformed_documents_name_their_line(text, line, says):
    with pytest.raises(PrunecalError) as error:
        yaml_reader.parse(text, "f.yaml")
    message = one_sentence(error)
    assert message.startswith(f"f.yaml:{line}: ")
    assert says in message


def test_deep_nesting_is_refused_at_any_depth_of_the_caller():
    # Whatever composing leaves of the stack must do for turning nodes into values.
    def at(depth, nested):
        return at(depth - 1, nested) if depth else raises_one_sentence_or_nothing(yaml_reader.parse, nested)

    for depth in range(0, 120, 3):
        at(depth, "{a: " * 200 + "1" + "}" * 200)
        at(depth, "[" * 200 + "]" * 200)


HUGE = yaml_reader.LARGEST
LARGE = {
    "brackets": "[" * HUGE,
    "dashes": "- " * (HUGE // 2),
    "questions": "? " * (HUGE // 2),
    "braces": "{a: " * (HUGE // 4),
    "keys": "".join(f"k{number}: 1\n" for number in range(300_000)),
    "list": "- \n" * (HUGE // 3),
    "flow": f"[{'a,' * (HUGE // 2 - 1)}]",
    "indents": "\n".join(f"{' ' * depth}a:" for depth in range(2800)),
    "documents": "---\n" * (HUGE // 4),
    "quotes": "'" * HUGE,
    "bombs": "a: &a [x]\n" + "".join(f"b{n}: [*a,*a]\n" for n in range(100_000)),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_documents_are_refused(text):
    with pytest.raises(PrunecalError) as error:
        yaml_reader.parse(text, "f.yaml").mapping()
    one_sentence(error)


@pytest.mark.parametrize(
    "text",
    ["1" + "0" * 10**6, "0." + "1" * 10**6, ":".join(["59"] * 10**5), "x" * 10**6, "'\x1b" + "\n\n" * 10**5],
)
def test_long_values_are_neither_read_for_long_nor_quoted_in_full(text):
    value = yaml_reader.parse(f"key: {text!r}" if "\x1b" in text else f"key: {text}", "f.yaml").mapping()[
        "key"
    ]
    for call in (value.number, value.boolean, value.mapping, value.sequence):
        with pytest.raises(PrunecalError) as error:
            call()
        assert len(one_sentence(error)) < 1000


def test_a_baseline_as_large_as_they_get_is_read():
    metrics = "".join(
        f"    metric_{number}: {{mean: 0.9804, se: 0.0042, sd: 0.004, seeds: 3}}\n" for number in range(20)
    )
    cells = "".join(f"  weight-{(1 + number) / 1001:g}:\n{metrics}" for number in range(1000))
    text = VALID.partition("cells:\n")[0] + "cells:\n" + cells
    assert len(baseline.parse(text, "f.yaml").cells) == 1000


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="PyYAML was built without libyaml")
@hypothesis.settings(max_examples=150)
@hypothesis.given(mutated([VALID, *(path.read_text() for path in protocol_file.BUILT_IN.glob("*.yaml"))]))
def test_both_parsers_of_pyyaml_read_the_same_at_the_same_places(text):
    text = text.removeprefix("\ufeff")
    hypothesis.assume(not yaml_reader._NOT_ALLOWED.search(text))  # which `parse` refuses

    def flat(value):
        key = value.key and (value.key.value, value.key.start_mark.index, value.key.end_mark.index)
        here = (value.path, value.line, value.node.start_mark.index, value.node.end_mark.index, key)
        content = value.content.values() if isinstance(value.content, dict) else value.content
        if content is None:
            return [(*here, value.node.value, value.node.style)]
        return [(*here, value.node.flow_style), *(part for item in content for part in flat(item))]

    def read(kind):
        try:
            return flat(yaml_reader._parse(text, "f.yaml", kind))
        except (yaml.YAMLError, PrunecalError):
            return None

    found = read(yaml.CSafeLoader), read(yaml.SafeLoader)
    assert None in found or found[0] == found[1]


def test_nothing_is_constructed_from_tags(tmp_path):
    witness = tmp_path / "witness"
    for tag in (
        "!!python/object/apply:os.system",
        "!!python/object/new:os.system",
        "!!python/object:os.system",
    ):
        with pytest.raises(PrunecalError, match="tags are not supported"):
            yaml_reader.parse(f"a: {tag} ['touch {witness}']", "f.yaml")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-4", 0.0001),
        ("1.0e-4", 0.0001),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("-0", 0),
        ("3", 3),
        ("1E3", 1000.0),
        ('"0.5"', 0.5),
        ("0.5 # why", 0.5),
        ("9007199254740993", 9007199254740993),
        ("\n  0.5", 0.5),
    ],
)
def test_numbers(text, number):
    value = parsed(text).numeric()
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize(
    "text",
    [
        "010",
        "0x10",
        "0b1",
        "0o7",
        "1:30",
        "1:30.5",
        "1_000",
        "2001-01-01",
        "2001-99-99",
        "true",
        "null",
        "~",
        "",
        "abc",
        "1 2",
        "|\n  0.5",
        "٣",
        "--1",
        "1e",
        ".",
        "[1]",
        "{a: 1}",
        "[]",
        "{}",
        "=",
        ":".join(["59"] * 400),
    ],
)
def test_no_numbers(text):
    with pytest.raises(PrunecalError, match=r"not a number|must be a single value") as error:
        parsed(text).number()
    one_sentence(error)


@pytest.mark.parametrize(
    "text", [".inf", "-.inf", ".NaN", "nan", "inf", '".nan"', "1e999", "-1e999", "1" + "0" * 400]
)
def test_numbers_that_are_not_finite(text):
    with pytest.raises(PrunecalError, match="not a finite number"):
        parsed(text).number()


@pytest.mark.parametrize(
    ("text", "call", "says"),
    [
        ("1.5", lambda value: value.integer(), "must be a whole number"),
        ("7", lambda value: value.integer(0, 5), r"is 7; it must lie in \[0, 5\]"),
        ("1", lambda value: value.boolean(), "must be true or false"),
        ("'true'", lambda value: value.boolean(), "must be true or false"),
        ("", lambda value: value.text(), "must be a text and is empty"),
        ("''", lambda value: value.text(), "must be a text and is empty"),
        ("[a]", lambda value: value.text(), "must be a single value"),
        ("a", lambda value: value.mapping(), "must be a mapping"),
        ("a", lambda value: value.sequence(), "must be a list"),
        ("{a: 1, b: 2}", lambda value: value.mapping(("a",)), "unknown key 'b' in key; known are a"),
        ("2001-99-99", lambda value: value.scalar(), "which YAML cannot read"),
        (":".join(["59"] * 400) + ".5", lambda value: value.scalar(), "which YAML cannot read"),
    ],
)
def test_wrong_kinds(text, call, says):
    with pytest.raises(PrunecalError, match=says) as error:
        call(parsed(text))
    one_sentence(error)


def test_texts_are_read_as_written():
    assert [parsed(text).text() for text in ("2.11.0", "1", "010", "2001-01-01", "yes", "1e5", "é#1")] == (
        ["2.11.0", "1", "010", "2001-01-01", "yes", "1e5", "é#1"]
    )
    assert parsed("2001-01-01").scalar() == "2001-01-01"
    assert parsed("yes").scalar() is True


def test_a_key_with_a_line_end_does_not_break_the_message():
    value = yaml_reader.parse('"a\\nb": {c: x}', "f.yaml").mapping()["a\nb"]
    with pytest.raises(PrunecalError) as error:
        value.mapping()["c"].number()
    assert "a\\nb.c" in one_sentence(error)


def test_values_know_where_they_stand():
    top = yaml_reader.parse("\ufeff# c\r\na:\r\n  b: [1,\r\n    2]\r\n", "f.yaml")
    second = top.mapping()["a"].mapping()["b"].sequence()[1]
    assert (second.where, second.path, second.number()) == ("f.yaml:4", "a.b[1]", 2)


def test_over_merges_mappings_and_replaces_the_rest():
    base = yaml_reader.parse("a: {x: 1, y: 2}\nb: [1, 2]\nc: 1", "base.yaml")
    top = yaml_reader.parse("a: {y: 3, z: 4}\nb: [5]\nd: 6", "top.yaml").over(base)
    entries = top.mapping()
    assert {key: value.number() for key, value in entries["a"].mapping().items()} == {"x": 1, "y": 3, "z": 4}
    assert [item.number() for item in entries["b"].sequence()] == [5]
    assert (entries["c"].where, entries["d"].where) == ("base.yaml:3", "top.yaml:3")
    assert [value.name for value in entries["a"].mapping().values()] == ["base.yaml", "top.yaml", "top.yaml"]
    assert {key: value.number() for key, value in base.mapping()["a"].mapping().items()} == {"x": 1, "y": 2}


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    for name, says in (
        ("latin.yaml", "is not UTF-8 text"),
        ("none.yaml", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(PrunecalError, match=f"here: .*{says}"):
            yaml_reader.read(tmp_path / name, "here")


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (yaml_reader.LARGEST + 1))
    (tmp_path / "largest.yaml").write_bytes(b"#" * yaml_reader.LARGEST)
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name, says in (
        ("pipe.yaml", "is a named pipe, not a regular file"),
        ("zero.yaml", "is a device, not a regular file"),
        ("large.yaml", "has 4194305 bytes, more than 4194304; "),
    ):
        with pytest.raises(PrunecalError, match=f"here: {says}"):
            yaml_reader.read_text(tmp_path / name, "here")
    assert len(yaml_reader.read_text(tmp_path / "largest.yaml", "here")) == yaml_reader.LARGEST


def test_line_ends_are_read_as_they_are(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: 1\r\nb: 2\n")
    assert yaml_reader.read_text(tmp_path / "a.yaml", "a.yaml") == "a: 1\r\nb: 2\n"
