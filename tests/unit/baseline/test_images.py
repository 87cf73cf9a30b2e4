"""The file of results by image: written, read back, and refused where it is not what it must be."""

import io
import json
import math
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.baseline import images
from pytest_prunecal.baseline.images import dump, load
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.trace import STAGES, Jitter, Trace

BASELINES = Path(__file__).parents[3] / "baselines" / "quick"
UNTUNED = ("data", "corruptions", "dense", "structure")
COLUMNS = ("accuracy", "ece", "nll", "brier", "mpc", "corrupted_ece")
numbers = st.dictionaries(
    st.sampled_from([*COLUMNS, "rpc", "macs", "mine"]), st.floats(-1e9, 1e9), max_size=4
)
each = st.dictionaries(
    st.sampled_from([*COLUMNS, "rpc", "macs", "mine"]), st.lists(st.floats(-1e9, 1e9), min_size=1), max_size=4
)
values = st.dictionaries(
    st.text(max_size=5), st.text(max_size=5) | st.integers(-(2**62), 2**62) | st.floats(-1e9, 1e9), min_size=1
)
moved = st.dictionaries(st.text(max_size=5), st.floats(0, 1e9))


@st.composite
def traces(draw):
    stages = {stage: draw(values) for stage in (STAGES if draw(st.booleans()) else UNTUNED)}
    stages["data"] = {"images and labels": draw(st.text(max_size=64))}
    stages["corruptions"] = draw(st.dictionaries(st.text(max_size=5), st.floats(0, 1), min_size=1))
    return Trace(draw(st.sampled_from(["00ff", "cafe"])), stages)


@st.composite
def jitters(draw):
    names = draw(st.sampled_from([[], COLUMNS]))
    repeats = draw(st.integers(1, 3))
    numbers = st.lists(st.floats(-1e9, 1e9), min_size=repeats, max_size=repeats)
    found = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(STAGES, moved)))
    return Jitter(
        {stage: found[stage] for stage in STAGES if stage in found}, {name: draw(numbers) for name in names}
    )


cells = st.dictionaries(
    st.sampled_from(["dense", "weight-0.3", "channel-1e-05", "mine-0.5"]),
    st.builds(
        ImageResults,
        numbers,
        each,
        st.sampled_from(["00ff", "cafe", "beef"]),
        st.just({"ece": 0.25}),
        st.binary(min_size=36, max_size=36).map(lambda content: Columns(COLUMNS, content)),
        st.just(Columns(COLUMNS, b"the base network's" * 2)),
        numbers,
        st.none() | traces(),
        st.none() | jitters(),
    ),
    max_size=4,
)
ONE = {
    "dense": ImageResults(
        {"ece": 0.1},
        {"ece": [0.2]},
        "cafe",
        {"ece": 0.3},
        Columns(COLUMNS, b"\x00\xff" * 24),
        Columns(COLUMNS, b"\x01" * 48),
    )
}


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
        "cells": {"dense": DENSE},
        "bases": {"cafe": {}},
    }
    return whole | changes


DENSE = {"base": "cafe", "metrics": {}, "first": {}}
STORED = {
    "d": {"images and labels": "beef"},
    "s": {"fog 1": 0.5},
    "e": {},
    "n": {"nll": math.nan},
    "h": {"nll": 2**63},
    "x": {"nll": "x" * 2000},
    "l": {"x" * 2000: 1.0},
    "b": {"nll": True},
    "u": {"nll": [1]},
    "m": {"fog 1": -0.5},
    "k": {"fog 1": 1},
}
WHOLE = {"data": "d", "corruptions": "s", "dense": "s", "structure": "s"}
TRACED = {
    "each": {"ece": [0.1, 0.2]},
    "trace": {"base": "beef", "stages": WHOLE},
    "jitter": {"trace": {"dense": "s"}, "metrics": {"ece": [0.125, -0.25]}},
}
WRONG = {
    "metrics": [[], {"ece": math.nan}, {"ece": "0.1"}, {"ece": True}, {"ece": None}, {"ece": 10**400}],
    "first": [None, {"ece": math.inf}],
    "each": [
        *(None, [], {"ece": 0.1}, {"ece": []}, {"ece": [math.nan]}, {"ece": [True]}, {"ece": ["0.1"]}),
        *({"ece": [0.1, None]}, {"ece": [10**400]}, {"ece": {"a": 1}}, {"ece": "12"}),
    ],
    "change_sd": [{"ece": -math.inf}, 3],
    "trace": [
        *(None, 1, {}, {"base": "cafe"}, {"base": 1, "stages": WHOLE}, {"base": "cafe", "stages": {}}),
        {"base": "cafe", "stages": WHOLE, "more": 1},
        {"base": "c" * 2000, "stages": WHOLE},
        {"base": "cafe", "stages": dict(reversed(WHOLE.items()))},
        {"base": "cafe", "stages": WHOLE | {"pruned": "s"}},
        {"base": "cafe", "stages": WHOLE | {"dense": "nowhere"}},
        *({"base": "cafe", "stages": WHOLE | {"dense": bad}} for bad in "nhxlbu"),
        *({"base": "cafe", "stages": WHOLE | {"corruptions": bad}} for bad in "dekm"),
        {"base": "cafe", "stages": WHOLE | {"data": "s"}},
    ],
    "jitter": [
        *(None, {}, {"trace": {}}, {"trace": {"dense": "m"}, "metrics": {}}, {"trace": {}, "metrics": 1}),
        {"trace": {"else": "s"}, "metrics": {}},
        {"trace": {"pruned": "s", "dense": "s"}, "metrics": {}},
        *({"trace": {"dense": bad}, "metrics": {}} for bad in ("d", "n", "nowhere")),
        *({"trace": {}, "metrics": {"ece": bad}} for bad in ([], 1, [math.inf], ["1"], [True])),
        {"trace": {}, "metrics": {"ece": [0.1], "nll": [0.1, 0.2]}},
    ],
    "bases": [{"cafe": {"ece": math.nan}}],
}


@hypothesis.given(cells)
def test_what_is_written_reads_back(found):
    assert load(dump(found), "f.zip") == found


@hypothesis.given(cells)
def test_the_same_cells_give_the_same_bytes(found):
    assert dump(found) == dump(dict(reversed(found.items())))
    assert {
        name: ImageResults.from_dict(json.loads(json.dumps(one.to_dict()))) for name, one in found.items()
    } == found


def test_a_base_of_many_cells_is_written_once():
    many = {f"weight-0.{ratio}": ONE["dense"] for ratio in range(1, 8)}
    with zipfile.ZipFile(io.BytesIO(dump(many))) as written:
        assert sum(name.startswith("bases/") for name in written.namelist()) == 1
        assert {entry.date_time for entry in written.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("content", [b"", b"PK", b"prunecal: 1\n"])
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
        index(columns=[]),
        index(columns=[1]),
        index(columns=["ece", "ece"]),
        index(),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_index_that_is_none_or_promises_what_is_not_there(wrong):
    refused(archive(wrong))


def test_numbers_that_are_none_are_what_is_refused():
    right = {"cells__dense": b"\0" * 12, "bases__cafe": b"\0" * 12}
    assert load(archive(index(), **right), "f.zip")["dense"].seeds == 1
    traced = index(cells={"dense": DENSE | TRACED}, stages=STORED)
    assert load(archive(traced, **right), "f.zip")["dense"].jitter.metrics == {"ece": [0.125, -0.25]}
    for what, values in WRONG.items():
        for value in values:
            wrong = index(cells={"dense": DENSE | TRACED | {what: value}}, stages=STORED)
            if what == "bases":
                wrong = index(bases=value)
            if what == "first":
                wrong = index(cells={"dense": DENSE | {what: value}})
            assert "cannot be read (" in refused(archive(wrong, **right)), (what, value)


def test_a_file_from_before_each_seed_was_written_down_has_the_first():
    old = DENSE | {"first": {"ece": 0.25, "macs": 7}, "seeds": 3, "change_sd": {"ece": 0.1}}
    right = {"cells__dense": b"\0" * 12, "bases__cafe": b"\0" * 12}
    (found,) = load(archive(index(cells={"dense": old}), **right), "f.zip").values()
    assert found.each == {"ece": [0.25], "macs": [7.0]}
    assert found.first == {"ece": 0.25, "macs": 7.0}
    assert (found.trace, found.jitter, found.change_sd) == (None, None, {"ece": 0.1})


def test_a_stage_of_many_cells_is_written_once_and_in_its_order():
    shared = {
        "data": {"images and labels": "beef"},
        "corruptions": {"fog 1": 1 / 3, "contrast 1": 0.1},
        "dense": {"nll": 0.5, "ece": 0.25},
    }
    many = {
        f"weight-0.{ratio}": replace(
            ONE["dense"],
            trace=Trace("cafe", shared | {"structure": {"zeros b": ratio, "zeros a": 2}}),
            jitter=Jitter({"dense": {"nll": 1e-8}}),
        )
        for ratio in range(1, 8)
    }
    content = dump(many)
    with zipfile.ZipFile(io.BytesIO(content)) as written:
        stages = json.loads(written.read("index.json"))["stages"]
    assert len(stages) == 3 + 7 + 1
    assert list(stages.values())[:3] == [*shared.values()]
    assert [*map(list, stages.values())][:4] == [
        ["images and labels"],
        ["fog 1", "contrast 1"],
        ["nll", "ece"],
        ["zeros b", "zeros a"],
    ]
    found = load(content, "f.zip")
    assert found == many
    assert list(found["weight-0.3"].trace.stages) == ["data", "corruptions", "dense", "structure"]


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


ONES = {"cells__dense": b"\0" * 12_000, "bases__cafe": b"\0" * 12_000}


def test_a_large_file_may_unfold_to_a_hundred_times_as_much(monkeypatch):
    content = archive(index(), **ONES)
    assert load(content, "f.zip")["dense"].cell.images == 1000  # small enough whatever its size
    monkeypatch.setattr(images, "SMALL", 1000)
    monkeypatch.setattr(images, "RATIO", 10)
    assert refused(content) == f"f.zip: unfolds to more than {10 * len(content)} bytes; delete it"


def test_no_more_is_unfolded_than_an_entry_says():
    content = archive(index(), cells__dense=b"\0" * 2**27, bases__cafe=b"\0" * 12)
    lie = content.replace(struct.pack("<L", 2**27), struct.pack("<L", 12))
    assert len(lie) < 2**18
    assert lie.count(struct.pack("<L", 12)) >= 2
    tracemalloc.start()
    try:
        assert "cannot be read (" in refused(lie)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_base_is_unfolded_once_for_all_its_cells():
    many = {f"weight-0.{ratio}": ONE["dense"] for ratio in range(1, 8)}
    assert len({id(found.base_cell) for found in load(dump(many), "f.zip").values()}) == 1


@pytest.mark.parametrize("images_", [0, 2**20 + 1])
def test_as_many_images_as_a_test_set_has(images_):
    entries = dict.fromkeys(ONES, b"\0" * (2 * images_))
    assert f"is about {images_} images, not 1 to {2**20}" in refused(
        archive(index(columns=["ece"]), **entries)
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_of_packing(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        out.writestr("index.json", json.dumps(index()))
    assert "index.json: is packed in a way that is not known here" in refused(buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name():
    buffer = io.BytesIO(archive(index(), **ONES))
    with zipfile.ZipFile(buffer, "a") as out:
        out.writestr("index.json", json.dumps(index(cells={})))
    assert "two of its entries have one name" in refused(buffer.getvalue())


def test_an_index_larger_than_any():
    assert "bytes are more than" in refused(archive(index(bases={"cafe": {}, "x" * 2**23: {}}), **ONES))


def test_more_entries_than_any_baseline_has():
    many = {f"{number:0200}": b"" for number in range(10_000)}
    assert "it has too many entries" in refused(archive(index(), **many))
    # What a small archive says of itself in the larger format.
    content = dump(ONE)
    locator = b"PK\6\7" + b"\0" * 16
    assert "it has too many entries" in refused(content[:-22] + locator + content[-22:])


def test_a_file_from_before_a_metric_existed_reads_and_is_written_beside_newer_cells():
    older = ImageResults(
        {"ece": 0.1},
        {},
        "cafe",
        {"ece": 0.3},
        Columns(("ece",), b"\1\2\3\4"),
        Columns(("ece",), b"\5\6\7\x08"),
    )
    newer = ImageResults(
        {"ece": 0.1, "mine": 0.5},
        {},
        "cafe",
        {"ece": 0.3, "mine": 0.5},
        Columns(("ece", "mine"), b"abcdefgh"),
        Columns(("ece", "mine"), b"\5\6mn\7\x08op"),
    )
    assert load(dump({"dense": older}), "f.zip") == {"dense": older}
    for cells in ({"dense": older, "weight-0.3": newer}, {"weight-0.3": older, "dense": newer}):
        found = load(dump(cells), "f.zip")
        assert {name: one.cell for name, one in found.items()} == {
            name: one.cell for name, one in cells.items()
        }
        # The base network's own results are kept once: both of its evaluations side by side.
        assert {one.base_cell for one in found.values()} == {newer.base_cell}
        assert all(one.base_metrics == {"ece": 0.3, "mine": 0.5} for one in found.values())
        assert dump(found) == dump(cells)


@pytest.mark.parametrize("file", sorted(BASELINES.glob("*.zip")), ids=lambda file: file.name)
def test_the_shipped_files_are_written_as_they_were(file):
    content = file.read_bytes()
    cells = load(content, file.name)
    assert len(cells) == 24
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(io.BytesIO(dump(cells))) as after:
        assert after.namelist() == before.namelist()
        for name in before.namelist():
            if name != "index.json":  # which says a little more today: seeds, and deviations over them
                assert after.read(name) == before.read(name)
        indexes = [json.loads(archive.read("index.json")) for archive in (before, after)]
    for key in ("prunecal", "columns", "bases"):
        assert indexes[0][key] == indexes[1][key]
    assert indexes[1].pop("stages") == {} or "stages" in indexes[0]
    indexes[0].pop("stages", None)
    assert indexes[0].keys() == indexes[1].keys()
