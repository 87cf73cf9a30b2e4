"""What becomes of a measured cell: accepted, known, failed or passed, in this order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.gate.outcome import outcome_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import CORRUPTED, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load

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
    settings = SimpleNamespace(protocol=QUICK, metrics=KINDS, options=SimpleNamespace(update=update))
    measurement = Measurement(metrics, provenance=provenance)
    return outcome_of(file, CELL, measurement, Pairing(), settings, 1, runxfail=runxfail)


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
        settings = SimpleNamespace(protocol=QUICK, metrics=KINDS, options=SimpleNamespace(update=update))
        found = outcome_of(file, CELL, Measurement(SAME), Pairing(), settings, 1, runxfail=False)
        assert (found.result, found.accepted) == (result, update is not None)
        assert found.verdict.status is Status.MISSING


def test_other_corrupted_images_are_another_test():
    metrics = dict.fromkeys(KINDS, 0.5)
    accepted = "".join(f"    {name}: 0.5\n" for name in KINDS)
    found = outcome(metrics, accepted=accepted, corruptions="published")
    incomparable = {row.metric for row in found.verdict.having(Status.INCOMPARABLE)}
    assert incomparable == {"mpc", "rpc", "corrupted_ece", "mine"}
    assert outcome(metrics, accepted=accepted, corruptions="generated").result == "passed"
