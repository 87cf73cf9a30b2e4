"""What every cell hides in its noise and all together show: a failing test of its own."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

TOGETHER = "baselines/tiny/tinynet.yaml::prune[together]"


@pytest.fixture
def worse(sure):
    """A project whose fine-tuning learns nothing any more; no cell gets worse beyond its own noise."""
    sure.edit("ratios:", "repeat: 1\nratios:", "tiny.yaml")
    sure.tune(worse=False)
    sure.edit("1.02 * logits", "0 * logits", "tiny.py")
    return sure


def test_it_fails_the_run_and_stands_in_the_short_summary(worse):
    outcome = worse.gate()
    assert outcome.ret == 1
    assert outcome.cells == dict.fromkeys(worse.CELLS, "passed") | {"together": "failed"}
    assert outcome.line(f"FAILED {TOGETHER}").startswith(f"FAILED {TOGETHER} - regression over 6 cells")
    assert "1 failed, 7 passed" in outcome.out
    message = outcome.message("together")
    assert message.splitlines()[0].startswith("regression over 6 cells together: brier +0.01")
    assert "tinynet under protocol tiny, against baselines/tiny/tinynet.yaml" in message
    assert message.splitlines()[-1].strip() == "pytest --prunecal-models=tinynet --prunecal-update"
    assert re.search(r"^brier +all pruners +6 +\+0\.01\d* .* regression$", message, re.MULTILINE)


def test_the_command_that_accepts_works(worse):
    assert worse.gate("--prunecal-update").ret == 0
    mended = worse.gate()
    assert (mended.ret, "together" in mended.cells) == (0, False)


def test_two_workers_say_the_same(worse):
    outcome = worse.gate("-n", "2")
    assert outcome.ret == 1
    assert outcome.cells["together"] == "failed"
    assert outcome.line(f"FAILED {TOGETHER}")
    assert "1 failed, 7 passed" in outcome.out


def test_junit_xml_holds_it(worse):
    assert worse.gate("--junitxml=out/junit.xml").ret == 1
    suite = ET.parse(worse.path / "out/junit.xml").find("testsuite")  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("8", "1")
    (case,) = (case for case in suite.iter("testcase") if case.find("failure") is not None)
    assert case.get("name") == "prune[together]"
    assert "regression over 6 cells together" in case.find("failure").text


def test_last_failed_runs_all_cells_again(worse):
    assert worse.gate().ret == 1
    again = worse.gate("--lf")
    assert again.ret == 1
    assert again.cells["together"] == "failed"
    assert len(again.cells) == 8


def test_the_summary_shows_it_among_the_cells(worse):
    out = worse.gate().out
    assert "cells together, weighted by how sure each is" in out
    assert "7 cells: 1 identical, 6 ok" in out


def test_one_cell_alone_is_not_many(worse):
    outcome = worse.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed", "weight-0.5": "passed"})


def test_collecting_alone_reports_nothing(worse):
    outcome = worse.gate("--collect-only", "-q")
    assert outcome.ret == 0
    assert "together" not in outcome.out


def test_no_change_shows_nothing(sure):
    outcome = sure.gate()
    assert (outcome.ret, "together" in outcome.out) == (0, False)
