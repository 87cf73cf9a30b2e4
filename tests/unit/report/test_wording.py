"""The words that all reports share."""

import pytest

from pytest_prunecal.report import wording
from pytest_prunecal.report.run import CellResult, ModelRun, Run
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)


def test_both_kinds_of_failure_are_counted_apart(build):
    failing = build.noisy("weight-0.5", {"accuracy": 0.9})
    run = build.run(build.noisy("dense"), failing, pooled=(build.WORSE,), interrupted=True)
    assert wording.headline(run) == (
        "failed: 1 of 2 cells fails; vgg19's cells got worse together, interrupted"
    )
    two = Run(QUICK, METRICS, (*run.models, ModelRun("b", "", (), pooled=(build.WORSE,))))
    assert "vgg19's and b's cells got worse together" in wording.headline(two)


def test_what_was_accepted_does_not_excuse_the_other_cells(build):
    run = build.run(build.noisy("dense"), build.noisy("weight-0.5", accepted=True), pooled=(build.WORSE,))
    assert wording.outcome(run) == "failed"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("", "not measured"),
        ("\n\x1b[31mno data set\x1b[0m\nsee there", "no data set"),
        ("Traceback (most recent call last):\n  File\nValueError: bad\n", "ValueError: bad"),
        (">  f()\nE   ValueError: bad\nE   more\n\na.py:1: ValueError", "ValueError: bad"),
    ],
)
def test_reason_of_an_error(error, line):
    assert wording.reason(CellResult(Cell("m", None, 0.0), error=error)) == line


def test_reason_does_not_repeat_the_label(build):
    cell, better = Cell("m", None, 0.0), {**build.NUMBERS, "ece": 0.5}
    assert wording.reason(build.result(cell, build.NUMBERS)) == ""
    assert wording.reason(build.result(cell, build.NUMBERS, better)) == "in ece"
    assert wording.reason(build.result(cell, build.NUMBERS, better, label=True)) == "improvement in ece"
    assert wording.reason(build.result(cell, build.NUMBERS, None)) == "no accepted numbers for this cell"


@pytest.mark.parametrize(
    ("told", "brief"),
    [
        ("fine-tuning differs from step 3 on (loss 2.1 -> 2.2)", "fine-tuning differs from step 3 on"),
        ("pruning differs: zeros conv1.weight 3 -> 4, and 9 more", "pruning differs"),
        ("", ""),
    ],
)
def test_what_differs_in_a_few_words(told, brief):
    assert wording.briefly(told) == brief
