"""What becomes of a measured cell: accepted, known, failed or passed, in this order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.gate.outcome import outcome_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import CORRUPTED, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.trace import CORRUPTIONS, DATA, DENSE, FINETUNE, PRUNED, STRUCTURE, Trace

QUICK = load("quick", BUILT_IN)
KINDS = known([Metric("mine", higher_is_better=True, where=CORRUPTED)])
CELL = Cell("vgg19", "weight", 0.5)
WORSE, SAME, BETTER, PARTLY = {"accuracy": 0.8}, {"accuracy": 0.9}, {"accuracy": 0.95}, {"ece": 0.1}
KNOWN = "    known: {reason: worn out, until: 2099-12-31}\n"
EXPIRED = "    known: {reason: worn out, until: 2020-12-31}\n"
TEXT = """\
prunecal: 1
model: vgg19
protocol: {name: quick, fingerprint: 5b1c9e02}
environment: {torch: 2.11.0, corruptions: generated}
tolerance: {accuracy: {abs: 0.01}}
cells:
  weight-0.5:
"""


def outcome(metrics, mark="", update=None, *, runxfail=False, accepted="    accuracy: 0.9\n", **provenance):
    found = baseline.parse(TEXT + mark + accepted, "f.yaml")
    file = GateFile("vgg19", Path("f.yaml"), "f.yaml", found, (CELL,), frozenset({CELL.id}))
    measurement = Measurement(metrics, provenance=provenance)
    return outcome_of(file, CELL, measurement, Pairing(), settings_of(update), runxfail=runxfail)


def settings_of(update=None, changed="tell"):
    options = SimpleNamespace(update=update, changed=changed)
    return SimpleNamespace(protocol=QUICK, metrics=KINDS, options=options, extensions=Extensions())


@pytest.mark.parametrize("runxfail", [False, True])
@pytest.mark.parametrize(
    ("metrics", "status"),
    [(WORSE, "failed"), (SAME, "passed"), (BETTER, "passed"), (PARTLY, "failed")],
)
def test_without_a_mark_and_an_update_the_verdict_decides(metrics, status, runxfail):
    found = outcome(metrics, runxfail=runxfail)
    assert (found.result, found.accepted, found.known, found.superfluous) == (status, False, "", "")
    assert found.verdict.status.fails == (status == "failed")


def test_a_known_regression_is_an_expected_failure():
    found = outcome(WORSE, KNOWN)
    assert (found.result, found.known, found.superfluous) == ("xfailed", "worn out", "")
    assert found.verdict.status is Status.REGRESSION


@pytest.mark.parametrize(
    ("metrics", "mark", "runxfail"), [(WORSE, KNOWN, True), (WORSE, EXPIRED, False), (PARTLY, KNOWN, False)]
)
def test_what_no_mark_excuses(metrics, mark, runxfail):
    found = outcome(metrics, mark, runxfail=runxfail)
    assert (found.result, found.known, found.superfluous) == ("failed", "", "")


@pytest.mark.parametrize("mark", [KNOWN, EXPIRED])
@pytest.mark.parametrize("runxfail", [False, True])
def test_a_mark_on_what_passes_is_superfluous(mark, runxfail):
    found = outcome(SAME, mark, runxfail=runxfail)
    assert (found.result, found.known, found.superfluous) == ("passed", "", "f.yaml:8")


@pytest.mark.parametrize("mark", ["", KNOWN])
@pytest.mark.parametrize(
    ("update", "metrics", "accepted"),
    [
        ("all", WORSE, True),
        ("all", SAME, True),
        ("failing", WORSE, True),
        ("failing", PARTLY, True),
        ("failing", SAME, False),
        ("missing", WORSE, False),
        ("missing", SAME, False),
        ("missing", PARTLY, False),  # one is new, another is lost
        ("missing", SAME | PARTLY, True),
        ("missing", WORSE | PARTLY, False),  # a new one carries no regression along
    ],
)
def test_what_an_update_accepts_goes_before_all_else(update, metrics, accepted, mark):
    found = outcome(metrics, mark, update)
    assert found.accepted is accepted
    if accepted:
        assert (found.result, found.known, found.superfluous) == ("passed", "", "")
    else:
        assert found == outcome(metrics, mark)


def test_a_cell_without_accepted_numbers():
    file = GateFile("vgg19", Path("f.yaml"), "f.yaml", None, (CELL,), frozenset({CELL.id}))
    for update, result in ((None, "failed"), ("missing", "passed"), ("failing", "passed"), ("all", "passed")):
        found = outcome_of(file, CELL, Measurement(SAME), Pairing(), settings_of(update), runxfail=False)
        assert (found.result, found.accepted) == (result, update is not None)
        assert found.verdict.status is Status.MISSING


def test_other_corrupted_images_are_another_test():
    metrics = dict.fromkeys(KINDS, 0.5)
    accepted = "".join(f"    {name}: 0.5\n" for name in KINDS)
    found = outcome(metrics, accepted=accepted, corruptions="published")
    incomparable = {row.metric for row in found.verdict.having(Status.INCOMPARABLE)}
    assert incomparable == {"mpc", "rpc", "corrupted_ece", "mine"}
    assert outcome(metrics, accepted=accepted, corruptions="generated").result == "passed"


BASE = Trace(
    "cafe",
    {
        DATA: {"images and labels": "0f"},
        CORRUPTIONS: {"fog 1": 0.5},
        DENSE: {"accuracy": 0.9},
        PRUNED: {"nll": 0.3},
        STRUCTURE: {"zeros conv1.weight": 7},
        FINETUNE: {"loss 1": 2.1, "steps": 8},
    },
)


def traced(stage, name, value):
    return replace(BASE, stages=BASE.stages | {stage: BASE.stages[stage] | {name: value}})


def screened(metrics, trace, mark="", changed="tell", update=None, tolerance=""):
    """The outcome of a cell of which the baseline has a trace."""
    text = TEXT.replace("tolerance: {accuracy: {abs: 0.01}}\n", tolerance)
    found = baseline.parse(text + mark + "    accuracy: {mean: 0.9, se: 0.01}\n", "f.yaml")
    columns = Columns(("accuracy",), bytes(2))
    images = ImageResults({"accuracy": 0.9}, {"accuracy": [0.9]}, "cafe", {}, columns, columns, {}, BASE)
    known_images = {CELL.id: images}
    file = GateFile("vgg19", Path("f.yaml"), "f.yaml", found, (CELL,), frozenset({CELL.id}), known_images)
    measurement = Measurement(metrics, each={name: [value] for name, value in metrics.items()}, trace=trace)
    return outcome_of(file, CELL, measurement, Pairing(), settings_of(update, changed), runxfail=False)


OTHER_RULERS = [
    traced(DATA, "images and labels", "0e"),
    traced(CORRUPTIONS, "fog 1", 0.501),
    traced(DENSE, "accuracy", 0.8),
]
OTHERWISE = [
    traced(PRUNED, "nll", 0.31),
    traced(STRUCTURE, "zeros conv1.weight", 8),
    traced(FINETUNE, "loss 1", 2.2),
    traced(FINETUNE, "steps", 9),
]


def test_what_is_computed_as_it_was_passes_even_where_nothing_may_change():
    for changed in ("tell", "fail"):
        found = screened(SAME, BASE, changed=changed)
        assert (found.result, found.verdict.differences, found.verdict.screened) == ("passed", (), True)


@pytest.mark.parametrize("changed", ["tell", "fail"])
@pytest.mark.parametrize("trace", OTHER_RULERS)
def test_another_ruler_fails_whatever_the_numbers_are(trace, changed):
    found = screened(SAME, trace, changed=changed)
    assert (found.result, found.verdict.status, found.verdict.more) == ("failed", Status.CHANGED, 0)
    assert found.verdict.reason
    for update in ("all", "failing"):
        assert screened(SAME, trace, update=update).accepted
    assert not screened(SAME, trace, update="missing").accepted


@pytest.mark.parametrize("trace", OTHERWISE)
def test_what_is_computed_otherwise_is_told_and_fails_where_nothing_may_change(trace):
    told = screened(SAME, trace)
    assert told.result == "passed"
    assert len(told.verdict.differences) == 1
    assert screened(SAME, trace, changed="fail").verdict.status is Status.CHANGED


@pytest.mark.parametrize(
    ("trace", "changed"), [*((one, "tell") for one in OTHER_RULERS), (OTHERWISE[0], "fail")]
)
def test_no_known_regression_and_no_new_metric_excuses_what_fails_by_itself(trace, changed):
    exact = "tolerance: {accuracy: {abs: 0.01}}\n"
    assert screened(WORSE, BASE, KNOWN, tolerance=exact).result == "xfailed"
    assert screened(WORSE, trace, KNOWN, changed, tolerance=exact).result == "failed"
    assert screened(SAME | PARTLY, BASE, update="missing").accepted
    assert not screened(SAME | PARTLY, trace, update="missing", changed=changed).accepted


def test_a_trace_that_belongs_to_numbers_edited_since_says_nothing():
    text = TEXT + "    accuracy: {mean: 0.91, se: 0.01}\n"
    found = baseline.parse(text, "f.yaml")
    columns = Columns(("accuracy",), bytes(2))
    images = ImageResults({"accuracy": 0.9}, {"accuracy": [0.9]}, "cafe", {}, columns, columns, {}, BASE)
    file = GateFile("vgg19", Path("f.yaml"), "f.yaml", found, (CELL,), frozenset(), {CELL.id: images})
    measurement = Measurement(SAME, trace=OTHER_RULERS[0])
    verdict = outcome_of(file, CELL, measurement, Pairing(), settings_of(), runxfail=False).verdict
    assert (verdict.screened, verdict.differences) == (False, ())


@pytest.mark.parametrize(
    ("cells", "seeds"),
    [
        ("", 1),
        ("  dense:\n    ece: 0.1\n", 1),
        ("  dense:\n    ece: {mean: 0.1, sd: 0.1, seeds: 3}\n    macs: 7\n", 3),
        (
            (
                "  dense:\n    ece: {mean: 0.1, sd: 0.1, seeds: 16}\n"
                "  weight-0.3:\n    ece: {mean: 0.1, sd: 0.1, seeds: 3}\n"
                "  weight-0.5:\n    ece: {mean: 0.1, sd: 0.1, seeds: 3}\n"
            ),
            3,
        ),
        ("  dense:\n    ece: {mean: 0.1, sd: 0.1, seeds: 12}\n  weight-0.3:\n    ece: 0.1\n", 12),
    ],
)
def test_over_how_many_seeds_a_file_was_measured(cells, seeds):
    found = baseline.parse(TEXT.replace("  weight-0.5:\n", cells), "f.yaml")
    assert GateFile("vgg19", Path("f.yaml"), "f.yaml", found, (), frozenset()).seeds == seeds
    assert GateFile("vgg19", Path("f.yaml"), "f.yaml", None, (), frozenset()).seeds == 1
