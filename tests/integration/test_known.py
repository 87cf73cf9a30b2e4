"""Known regressions: expected to fail, noticed when they do not, and not for ever."""

from __future__ import annotations

import pytest

DENSE = "--prunecal-ratios=0"


def mark(gated, known="{reason: the head is worn out, until: 2099-12-31}"):
    gated.edit("dense:\n", f"dense:\n    known: {known}\n")


@pytest.fixture
def worse(gated):
    """A project whose dense cell got worse."""
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    return gated


@pytest.mark.parametrize(
    "known",
    [
        "the head is worn out",
        "{reason: the head is worn out}",
        "{reason: the head is worn out, until: 2099-12-31}",
    ],
)
def test_it_is_an_expected_failure_with_its_reason(worse, known):
    mark(worse, known)
    outcome = worse.gate(DENSE, "-rx")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "skipped"})
    assert "1 xfailed" in outcome.out
    assert outcome.line("XFAIL baselines/tiny/tinynet.yaml::prune[dense]").endswith(
        "known regression: the head is worn out"
    )
    assert outcome.line("dense ").endswith("known")
    assert "1 cell: 1 known" in outcome.out


def test_the_others_are_none_of_its_business(worse):
    mark(worse)
    worse.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    outcome = worse.gate("--prunecal-pruners=weight")
    assert outcome.ret == 1
    assert outcome.cells == {"dense": "skipped", "weight-0.3": "passed", "weight-0.5": "failed"}
    assert "3 cells: 1 identical, 1 known, 1 regression" in outcome.out


def test_it_warns_once_it_passes(gated):
    mark(gated)
    outcome = gated.gate(DENSE)
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})
    assert (
        "baselines/tiny/tinynet.yaml:9: dense is marked as a known regression and passes; remove the mark"
    ) in outcome.out


def test_it_fails_once_it_expired(worse):
    mark(worse, "{reason: the head is worn out, until: 2020-01-31}")
    outcome = worse.gate(DENSE)
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert (
        "known regression (baselines/tiny/tinynet.yaml:9), tolerated until 2020-01-31: the head is worn out"
    ) in outcome.message("dense")
    assert "1 cell: 1 regression" in outcome.out


def test_nothing_but_a_regression_is_tolerated(gated):
    mark(gated)
    gated.edit("    accuracy:", "    entropy: 0.5\n    accuracy:")
    outcome = gated.gate(DENSE)
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert outcome.message("dense").startswith("entropy has a baseline and was not measured")


def test_runxfail_shows_it(worse):
    mark(worse)
    outcome = worse.gate(DENSE, "--runxfail")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert "tolerated until 2099-12-31: the head is worn out" in outcome.message("dense")
    assert "1 cell: 1 regression" in outcome.out


def test_without_a_day_it_is_tolerated_for_ever(worse):
    mark(worse, "the head is worn out")
    outcome = worse.gate(DENSE, "--runxfail")
    assert "tolerated for ever: the head is worn out" in outcome.message("dense")


def test_an_update_accepts_the_numbers_and_keeps_the_mark(worse):
    mark(worse)
    outcome = worse.gate(DENSE, "--prunecal-update")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})
    text = worse.baseline.read_text()
    assert "known: {reason: the head is worn out, until: 2099-12-31}\n" in text
    assert "accuracy: {mean: 9" not in text


def test_a_worker_knows_it_too(worse):
    mark(worse)
    outcome = worse.gate(DENSE, "-n", "1")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "skipped"})
    assert "1 cell: 1 known" in outcome.out
