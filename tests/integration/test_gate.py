"""The gate against its own baselines: whatever selects and orders its cells, each gives the same numbers."""

from __future__ import annotations

import json
import re

import pytest

REVERSING = """\
def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

def pytest_addoption(parser):
    parser.addoption("--reverse", action="store_true")

def pytest_collection_modifyitems(config, items):
    if config.option.reverse:
        items.reverse()
"""


def test_every_cell_passes_against_its_own_baseline(gated):
    outcome = gated.gate()
    assert outcome.ret == 0
    assert list(outcome.cells) == list(gated.CELLS)
    assert set(outcome.cells.values()) == {"passed"}
    assert "7 cells: 7 identical" in outcome.out


@pytest.mark.parametrize(
    ("args", "cells"),
    [
        (["--prunecal-models=tinynet", "-k", "channel and 0.5"], ["channel-0.5"]),
        (["--prunecal-models=tinynet", "-k", "dense or filter"], ["dense", "filter-0.3", "filter-0.5"]),
        (["--prunecal-models=tinynet", "-p", "no:randomly", "-x"], None),
        (["--prunecal-models=tinynet", "--reverse"], "reversed"),
        (["baselines/tiny/tinynet.yaml::prune[weight-0.3]"], ["weight-0.3"]),
        (
            ["baselines/tiny/tinynet.yaml::prune[filter-0.5]", "baselines/tiny/tinynet.yaml::prune[dense]"],
            ["filter-0.5", "dense"],
        ),
        (["baselines/tiny/tinynet.yaml"], None),
        (["baselines/tiny"], None),
        (["baselines"], None),
        (["baselines/tiny/tinynet.yaml", "--prunecal-pruners=filter"], ["dense", "filter-0.3", "filter-0.5"]),
        (
            ["--prunecal-models=tinynet", "--deselect", "baselines/tiny/tinynet.yaml::prune[dense]"],
            "but dense",
        ),
        (["--prunecal-models=tinynet", "baselines/tiny"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0][0] in "-b" else "",
)
def test_whatever_selects_a_cell_its_numbers_are_the_same(gated, all_numbers, args, cells):
    gated.write({"conftest.py": REVERSING})
    expected = {
        None: list(gated.CELLS),
        "reversed": list(gated.CELLS[::-1]),
        "but dense": list(gated.CELLS[1:]),
    }.get(cells if not isinstance(cells, list) else 0, cells)
    outcome = gated.run(*args)
    assert outcome.ret == 0, outcome.text
    assert list(outcome.cells) == expected
    for cell in expected:
        # To the last bit: floats compare by value here, not by what a baseline records.
        assert outcome.numbers[f"prune[{cell}]"] == all_numbers[f"prune[{cell}]"]


def test_numbers_do_not_depend_on_what_the_store_holds(project, all_numbers):
    first = project.gate("--prunecal-ratios=0.5", "--prunecal-pruners=channel", "--prunecal-update")
    assert first.numbers["prune[channel-0.5]"] == all_numbers["prune[channel-0.5]"]


def test_last_failed_runs_what_failed(gated):
    gated.edit("channel-0.5:\n    accuracy: {mean: ", "channel-0.5:\n    accuracy: {mean: 9")
    first = gated.gate()
    assert first.ret == 1
    assert [cell for cell, outcome in first.cells.items() if outcome == "failed"] == ["channel-0.5"]

    again = gated.gate("--lf")
    assert (again.ret, again.cells) == (1, {"channel-0.5": "failed"})
    assert again.numbers["prune[channel-0.5]"] == first.numbers["prune[channel-0.5]"]

    gated.edit("channel-0.5:\n    accuracy: {mean: 9", "channel-0.5:\n    accuracy: {mean: ")
    mended = gated.gate("--lf")
    assert (mended.ret, mended.cells) == (0, {"channel-0.5": "passed"})


def test_last_failed_finds_cells_of_a_file_that_does_not_exist(project):
    project.write({"baselines/tiny/.gitkeep": ""})
    first = project.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
    assert (first.ret, first.cells) == (1, {"dense": "failed", "weight-0.5": "failed"})
    again = project.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight", "--lf")
    assert (again.ret, again.cells) == (1, {"dense": "failed", "weight-0.5": "failed"})


def test_exitfirst_stops_at_the_first_failure(gated):
    gated.edit("weight-0.3:\n    accuracy: {mean: ", "weight-0.3:\n    accuracy: {mean: 9")
    outcome = gated.gate("-x")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "passed", "weight-0.3": "failed"})
    assert "2 cells: 1 identical, 1 regression" in outcome.out


@pytest.fixture
def all_numbers(gated, full_precision):
    """Every cell's metrics in full precision, from one run of the whole gate."""
    if not full_precision:
        full_precision.update(gated.gate().numbers)
    assert len(full_precision) == len(gated.CELLS)
    return full_precision


@pytest.fixture(scope="module")
def full_precision():
    return {}


def larger(project, cell="weight-0.5"):
    """Have the baseline accept twice the parameters that a cell has."""
    before, start, after = project.baseline.read_text().partition(f"  {cell}:\n")
    count = int(re.search(r"parameters: (\d+)", after).group(1))
    after = after.replace(f"parameters: {count}\n", f"parameters: {2 * count}\n", 1)
    project.baseline.write_text(before + start + after)
    return count


def test_a_network_of_another_structure_fails_though_it_is_smaller(auto):
    count = larger(auto)
    options = ["--prunecal-pruners=weight", "--prunecal-ratios=0.5"]
    outcome = auto.gate(*options, "--prunecal-json=run.json", "--prunecal-report=run.html")
    assert (outcome.ret, outcome.cells) == (1, {"weight-0.5": "failed"})
    assert outcome.message("weight-0.5").startswith(f"changed: parameters {2 * count} -> {count}")
    assert "1 cell: 1 changed" in outcome.out
    (model,) = json.loads((auto.path / "run.json").read_text())["models"]
    assert (model["cells"][0]["label"], model["cells"][0]["metrics"]["parameters"]["status"]) == (
        "changed",
        "changed",
    )
    assert 'class="badge is-changed"' in (auto.path / "run.html").read_text()
    assert auto.gate(*options, "--prunecal-update=failing").ret == 0
    assert auto.gate(*options).ret == 0


def test_a_known_regression_does_not_excuse_another_structure(auto):
    larger(auto)
    auto.edit("weight-0.5:\n", "weight-0.5:\n    known: worn out\n")
    auto.edit("known: worn out\n    accuracy: {mean: ", "known: worn out\n    accuracy: {mean: 9")
    outcome = auto.gate("--prunecal-pruners=weight", "--prunecal-ratios=0.5")
    assert (outcome.ret, outcome.cells) == (1, {"weight-0.5": "failed"})
