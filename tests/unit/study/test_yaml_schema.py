"""Declared readers: a document gives what the declaration says, or one sentence with file and line."""

import dataclasses
import doctest
import math
import re

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import yaml_reader, yaml_schema
from pytest_prunecal.study.yaml_schema import (
    boolean,
    check_format,
    checked,
    choice,
    either,
    integer,
    mapping_of,
    number,
    numeric,
    optional,
    record,
    sequence,
    text,
)


@dataclasses.dataclass(frozen=True)
class Part:
    size: float
    note: str = "none"


@dataclasses.dataclass(frozen=True)
class Whole:
    name: str
    count: int
    flag: bool
    kind: str
    steps: tuple[int, ...]
    parts: dict[str, Part]
    best: Part
    share: float = 0.5


def ascends(value, steps):
    if list(steps) != sorted(steps):
        value.fail(f"{value.label} must ascend")


PART = record(Part, "{label} needs a size", size=number(0, 10), note=optional(text))
WHOLE = record(
    lambda called, **fields: Whole(name=called, **fields),
    called=text,
    count=integer(1, 9),
    flag=boolean,
    kind=choice("thin", "thick"),
    steps=checked(sequence(integer()), ascends),
    parts=mapping_of(PART),
    best=either(lambda value: Part(value.number(0, 10)), PART),
    share=optional(number(0, 1)),
    elsewhere=optional(None),
)
DOCUMENT = {
    "called": "mine",
    "count": 3,
    "flag": True,
    "kind": "thin",
    "steps": [1, 2],
    "parts": {"a": {"size": 1}, "b": {"size": 2.5, "note": "x"}},
    "best": 4,
}
KEYS = {*DOCUMENT, "share", "elsewhere"}


def read(reader, content):
    return reader(yaml_reader.parse(content, "f.yaml"))


def refused(reader, content):
    with pytest.raises(PrunecalError) as error:
        read(reader, content)
    return one_sentence(error.value)


def one_sentence(error):
    message = str(error)
    assert re.match(r"f\.yaml:\d+: \S", message), message
    assert len(message.splitlines()) == 1, message
    return message


def as_documented(whole):
    """The document that says what `whole` is."""
    document = {"called" if key == "name" else key: item for key, item in dataclasses.asdict(whole).items()}
    return yaml.safe_dump(document | {"steps": list(whole.steps)}, allow_unicode=True)


def test_the_example():
    assert doctest.testmod(yaml_schema) == (0, 4)


def test_a_document_is_read_into_types():
    whole = Whole(
        name="mine",
        count=3,
        flag=True,
        kind="thin",
        steps=(1, 2),
        parts={"a": Part(1.0), "b": Part(2.5, "x")},
        best=Part(4.0),
    )
    assert read(WHOLE, yaml.safe_dump(DOCUMENT)) == whole
    full = DOCUMENT | {"best": {"size": 1, "note": "y"}, "share": 1, "elsewhere": ["anything"]}
    assert read(WHOLE, yaml.safe_dump(full)) == dataclasses.replace(whole, best=Part(1.0, "y"), share=1.0)


def test_numeric_keeps_whole_numbers_whole():
    found = read(sequence(numeric), "[1, 1.0, 1e0]")
    assert [type(item) for item in found] == [int, float, float]


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (number(0, 1), "2", "f.yaml:1: the document is 2; it must lie in [0, 1]"),
        (integer(0), "0.5", "f.yaml:1: the document is 0.5; it must be a whole number"),
        (integer(1), "0", "f.yaml:1: the document is 0; it must lie in [1, inf]"),
        (choice("a", "b"), "c", "f.yaml:1: the document is 'c'; it must be one of a, b"),
        (choice("a"), "[a]", "f.yaml:1: the document must be a single value"),
        (sequence(text), "a", "f.yaml:1: the document must be a list, such as [1, 2]"),
        (sequence(number()), "- 1\n- a", "f.yaml:2: [1] is 'a', which is not a number"),
        (mapping_of(text), "[a]", "f.yaml:1: the document must be a mapping of `key: value` lines"),
        (mapping_of(number()), "a: 1\nb: x", "f.yaml:2: b is 'x', which is not a number"),
        (mapping_of(text, ("a",)), "a: 1\nb: x", "f.yaml:2: unknown key 'b' in the document; known are a"),
        (
            either(text, mapping_of(text)),
            "[a]",
            "f.yaml:1: the document must be a single value, or a mapping of `key: value` lines",
        ),
        (either(number(), PART), "x", "f.yaml:1: the document is 'x', which is not a number"),
        (either(number(), PART), "{note: x}", "f.yaml:1: the document needs a size"),
        (checked(sequence(integer()), ascends), "[2, 1]", "f.yaml:1: the document must ascend"),
        (PART, "[]", "f.yaml:1: the document must be a mapping of `key: value` lines"),
        (mapping_of(PART), "a:\n  note: x", "f.yaml:2: a needs a size"),
        (mapping_of(PART), "a: {size: 1}\nb:\n  sise: 1", "f.yaml:3: unknown key 'sise' in b; known are"),
        (mapping_of(PART), "a: {size: 1, note: }", "f.yaml:1: a.note must be a text and is empty"),
        (mapping_of(record(dict, of=text)), "'{key}': {}", "f.yaml:1: {key} has no 'of'; add it"),
        (record(dict, there=None), "{}", "f.yaml:1: the document has no 'there'; add it"),
    ],
)
def test_each_mistake_is_one_sentence_where_it_stands(reader, content, message):
    assert refused(reader, content).startswith(message)


@pytest.mark.parametrize("key", DOCUMENT)
def test_a_key_that_is_not_there_is_named_before_anything_is_read(key):
    wrong = dict.fromkeys(DOCUMENT, "?")
    del wrong[key]
    assert refused(WHOLE, yaml.safe_dump(wrong)) == f"f.yaml:1: the document has no {key!r}; add it"


def test_unknown_keys_come_before_those_that_are_not_there():
    known = ", ".join(sorted(KEYS))
    assert (
        refused(WHOLE, "calld: mine") == f"f.yaml:1: unknown key 'calld' in the document; known are {known}"
    )


def test_a_check_sees_what_was_read_and_where():
    seen = []
    top = yaml_reader.parse("a: 1", "f.yaml")
    found = checked(mapping_of(number()), lambda *both: seen.append(both))(top)
    assert seen == [(top, {"a": 1.0})]
    assert seen[0][1] is found


def test_another_format_is_refused_before_its_unknown_keys():
    for content in ("a: 1", "prunecal: 1\na: 1"):
        check_format(yaml_reader.parse(content, "f.yaml"), "sample", 1)
    with pytest.raises(PrunecalError) as error:
        check_format(yaml_reader.parse("new: 1\nprunecal: 2", "f.yaml"), "sample", 1)
    assert one_sentence(error.value) == ("f.yaml:2: sample format 2 is not known here; this version reads 1")


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
parts = st.builds(Part, st.floats(0, 10), words)


@hypothesis.given(
    st.builds(
        Whole,
        name=words,
        count=st.integers(1, 9),
        kind=st.sampled_from(["thin", "thick"]),
        steps=st.lists(st.integers(), max_size=4).map(sorted).map(tuple),
        parts=st.dictionaries(words, parts, max_size=3),
        best=parts,
        share=st.floats(0, 1),
    )
)
def test_what_is_written_reads_back(whole):
    assert read(WHOLE, as_documented(whole)) == whole


scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from(["thin", "", "é"])
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted({*KEYS, "size", "note"})) | words, inner, max_size=4)
    ),
    max_leaves=12,
)
changes = st.dictionaries(st.sampled_from(sorted(KEYS)), documents, max_size=2)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(documents | changes.map(lambda changed: DOCUMENT | changed))
def test_any_document_gives_the_record_or_one_sentence(document):
    try:
        whole = read(WHOLE, yaml.safe_dump(document, allow_unicode=True))
    except PrunecalError as error:
        one_sentence(error)
        return
    assert isinstance(whole, Whole)
    assert whole.name
    assert type(whole.count) is int
    assert type(whole.flag) is bool
    assert whole.kind in ("thin", "thick")
    assert list(whole.steps) == sorted(whole.steps)
    for part in (*whole.parts.values(), whole.best):
        assert math.isfinite(part.size)
        assert part.note
