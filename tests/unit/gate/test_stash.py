"""What a process knows of its session."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_prunecal.gate.stash import runxfail, worker_of


@pytest.mark.parametrize(("name", "number"), [("gw0", 0), ("gw12", 12), ("there", 0)])
def test_a_worker_knows_its_number(name, number):
    assert worker_of(SimpleNamespace(workerinput={"workerid": name})) == number


def test_who_gathers_is_no_worker():
    assert worker_of(SimpleNamespace()) is None


@pytest.mark.parametrize(
    ("args", "fails"), [((), False), (("--runxfail",), True), (("-p", "no:skipping"), True)]
)
def test_whether_an_expected_failure_fails(pytester, args, fails):
    assert runxfail(pytester.parseconfig(*args)) is fails
