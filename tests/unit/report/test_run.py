"""What a run found, as data."""

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.run import CellResult
from pytest_prunecal.study.cell import Cell, cell_from_id


def test_labels_and_failures(build):
    def label(name, *, accepted=False, **measured):
        cell = cell_from_id("vgg19", name)
        found = build.result(cell, build.NUMBERS | measured, build.NUMBERS, label=accepted)
        return found.label, found.failed

    assert label("dense") == ("identical", False)
    assert label("weight-0.5", ece=0.0301) == ("ok", False)
    assert label("weight-0.3", accuracy=0.99) == ("improvement", False)
    assert label("channel-0.7", ece=0.5) == ("regression", True)
    assert label("filter-0.5", ece=0.5, accepted=True) == ("accepted", False)
    assert label("dense", accepted=True) == ("identical", False)
    error = CellResult(cell_from_id("vgg19", "filter-0.3"), error="\nthe worker died\nand more\n")
    assert (error.label, error.failed) == ("error", True)
    missing = build.result(Cell("vgg19", None, 0.0), build.NUMBERS, None)
    assert (missing.label, missing.failed) == (Status.MISSING.value, True)
