"""The file of results by image: written, read back, and refused where it is not what it must be."""

import io
import json
import zipfile

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.baseline import images
from pytest_prunecal.baseline.images import dump, load
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.image_results import COLUMNS, PAIRED, ByImage

numbers = st.dictionaries(st.sampled_from([*PAIRED, "macs", "mine"]), st.floats(-1e9, 1e9), max_size=4)
cells = st.dictionaries(
    st.sampled_from(["dense", "weight-0.3", "channel-1e-05", "mine-0.5"]),
    st.builds(
        ByImage,
        numbers,
        numbers,
        st.sampled_from(["00ff", "cafe", "beef"]),
        st.just({"ece": 0.25}),
        st.binary(min_size=36, max_size=36),
        st.just(b"the base network's" * 2),
        numbers,
        st.integers(1, 9),
    ),
    max_size=4,
)
ONE = {"dense": ByImage({"ece": 0.1}, {"ece": 0.2}, "cafe", {"ece": 0.3}, b"\x00\xff" * 24, b"\x01" * 48)}


def refused(content):
    with pytest.raises(PrunecalError) as error:
        load(content, "f.zip")
    message = str(error.value)
    assert message.startswith("f.zip: ")
    assert len(message.splitlines()) == 1
    return message


def archive(index, **entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("index.json", index if isinstance(index, (str, bytes)) else json.dumps(index))
        for name, content in entries.items():
            out.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def index(**changes):
    whole = {
        "prunecal": 1,
        "columns": COLUMNS,
        "cells": {"dense": {"base": "cafe", "metrics": {}, "first": {}}},
        "bases": {"cafe": {}},
    }
    return whole | changes


@hypothesis.given(cells)
def test_what_is_written_reads_back(found):
    assert load(dump(found), "f.zip") == found


@hypothesis.given(cells)
def test_the_same_cells_give_the_same_bytes(found):
    assert dump(found) == dump(dict(reversed(found.items())))
    assert {
        name: ByImage.from_dict(json.loads(json.dumps(one.to_dict()))) for name, one in found.items()
    } == found


def test_a_base_of_many_cells_is_written_once():
    many = {f"weight-0.{ratio}": ONE["dense"] for ratio in range(1, 8)}
    with zipfile.ZipFile(io.BytesIO(dump(many))) as written:
        assert sum(name.startswith("bases/") for name in written.namelist()) == 1
        assert {entry.date_time for entry in written.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"prunecal: 1\n", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_what_is_no_archive(content):
    assert "cannot be read (" in refused(content)


@hypothesis.settings(max_examples=100)
@hypothesis.given(st.integers(0, len(dump(ONE)) - 1))
def test_a_file_that_breaks_off(length):
    refused(dump(ONE)[:length])


@hypothesis.settings(max_examples=500)
@hypothesis.given(st.integers(0, len(dump(ONE)) - 1), st.integers(1, 255))
def test_a_byte_that_flipped_is_refused_or_makes_no_difference(place, change):
    content = bytearray(dump(ONE))
    content[place] ^= change
    try:
        assert load(bytes(content), "f.zip") == ONE
    except PrunecalError as error:
        assert str(error).startswith("f.zip: ")  # noqa: PT017 - or nothing is raised


@pytest.mark.parametrize(
    "wrong",
    [
        index(prunecal=2),
        index(columns=["accuracy"]),
        index(columns=[]),
    ],
)
def test_another_format(wrong):
    assert "its format is not known; measure the whole file again" in refused(archive(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        "1",
        "{",
        b"\xff\xfe",
        "[" * 100_000,
        {},
        index(cells=[]),
        index(cells=["dense"]),
        index(cells={"dense": "cafe"}),
        index(cells={"dense": {"base": "beef", "metrics": {}, "first": {}}}),
        index(cells={"dense": {"base": "cafe", "first": {}}}),
        index(bases={}),
        index(bases=[1]),
        index(columns=1),
        index(),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_index_that_is_none_or_promises_what_is_not_there(wrong):
    refused(archive(wrong))


@pytest.mark.parametrize(
    "entries", [{"cells__dense": b"\0" * 12}, {"cells__dense": b"\0" * 13, "bases__cafe": b"\0" * 13}]
)
def test_entries_that_are_not_about_the_same_images(entries):
    refused(archive(index(), **({"bases__cafe": b"\0" * 24} | entries)))


def test_an_archive_that_would_unfold_without_end(monkeypatch):
    monkeypatch.setattr(images, "LARGEST", 1000)
    content = archive(index(), cells__dense=b"\0" * 5000, bases__cafe=b"")
    assert len(content) < 1000
    assert refused(content) == "f.zip: unfolds to more than 1000 bytes; delete it"
