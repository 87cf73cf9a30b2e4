"""Cells: ids that read back, ratios in one spelling, the order of measuring and the order of people."""

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.cell import (
    Cell,
    baseline_name,
    canonical_order,
    canonical_ratio,
    cell_from_id,
    grid,
    interleaved,
    length,
    unique_ratios,
)

PRUNERS = ["weight", "filter", "channel"]


@hypothesis.given(st.floats(0, 1, exclude_max=True), st.sampled_from([*PRUNERS, "my_own2"]))
def test_ids_read_back(value, pruner):
    try:
        ratio = canonical_ratio(repr(value))
    except PrunecalError:
        assert value > 0.999999  # the nearest that an id can say is 1
        return
    assert 0 <= ratio < 1
    assert abs(ratio - value) <= 6e-6 * value
    cell = Cell("net", pruner, ratio) if ratio else Cell("net", None, 0.0)
    assert cell_from_id("net", cell.id) == cell


@pytest.mark.parametrize(
    "text", ["1", "1.5", "-0.1", "nan", "inf", "1e3", "0.9999999", "0.99999999999", " 1.5\n"]
)
def test_ratios_outside_of_the_range(text):
    with pytest.raises(PrunecalError, match=r"^ratio .* is outside \[0, 1\)[^\n]*$"):
        canonical_ratio(text)


@pytest.mark.parametrize("text", ["abc", "", "0,5", "0.1.2", "½", "\n"])
def test_ratios_that_are_no_numbers(text):
    with pytest.raises(PrunecalError, match=r"^ratio [^\n]* is not a number"):
        canonical_ratio(text)


def test_two_spellings_of_one_ratio_are_refused():
    assert unique_ratios(["0.3", ".10", "0"]) == (0.3, 0.1, 0.0)
    for texts in (["0.3", ".30"], ["0", "-0"], ["0.1234561", "0.1234564"]):
        with pytest.raises(PrunecalError, match=f"ratio {canonical_ratio(texts[0]):g} is given twice"):
            unique_ratios(texts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weight", "is no cell id"),
        ("weight-", "is no cell id"),
        ("-0.3", "is no cell id"),
        ("a b-0.3", "is no cell id"),
        ("weight-abc", "is not a number"),
        ("weight-1.5", "is outside"),
        ("weight-.3", "write 'weight-0.3'"),
        ("weight-0.30", "write 'weight-0.3'"),
        ("weight-0", "write 'dense'"),
        ("Dense", "is no cell id"),
    ],
)
def test_what_is_no_cell_id(text, says):
    with pytest.raises(PrunecalError, match=says):
        cell_from_id("net", text)


def test_the_grid_is_measured_longest_first_and_base_by_base():
    ids = [cell.id for cell in grid("net", PRUNERS, [0.5, 0, 0.1, 0.7])]
    assert ids == [
        *("dense", "weight-0.1", "channel-0.1"),  # the second worker begins with the third
        *("weight-0.5", "weight-0.7", "filter-0.1"),
        *("filter-0.5", "channel-0.5", "filter-0.7", "channel-0.7"),
    ]
    ids = [cell.id for cell in grid("net", PRUNERS, [0.5, 0.7])]
    assert ids == ["weight-0.5", "weight-0.7", "channel-0.5", "filter-0.5", "filter-0.7", "channel-0.7"]
    assert [cell.id for cell in grid("net", ["filter"], [0.5, 0])] == ["dense", "filter-0.5"]
    assert [cell.id for cell in grid("net", [], [0, 0.5])] == ["dense"]
    assert grid("net", ["filter"], []) == []


def test_masked_networks_take_as_long_at_any_ratio():
    assert length(Cell("net", "weight", 0.7)) == length(Cell("net", None, 0.0)) == 1
    assert length(Cell("net", "filter", 0.1)) > length(Cell("net", "channel", 0.5)) > 0


def test_several_models_are_begun_before_any_is_finished():
    models = [grid(name, PRUNERS, [0, 0.5, 0.7]) for name in ("one", "two")]
    cells = interleaved(models)
    assert [cell.model for cell in cells[:8]] == ["one"] * 4 + ["two"] * 4
    assert (
        [cell.id for cell in cells[:3]]
        == [cell.id for cell in cells[4:7]]
        == (["dense", "weight-0.5", "channel-0.5"])
    )
    lengths = [length(cell) for cell in cells[8:]]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(cells, key=str) == sorted(models[0] + models[1], key=str)
    assert interleaved(models[:1]) == models[0]


def test_people_read_pruner_by_pruner():
    cells = [
        cell_from_id("net", text)
        for text in ("zeta-0.1", "alpha-0.2", "channel-0.1", "weight-0.5", "weight-0.1")
    ]
    ordered = sorted([*cells, Cell("net", None, 0.0)], key=lambda cell: canonical_order(cell, PRUNERS))
    assert [cell.id for cell in ordered] == (
        ["dense", "weight-0.1", "weight-0.5", "channel-0.1", "alpha-0.2", "zeta-0.1"]
    )


def test_baseline_names():
    assert (baseline_name("vgg19"), baseline_name("my.models:net")) == ("vgg19", "my.models.net")
