"""The study of false alarms and detection, in small: a few runs of its tiny gate."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "trust"))  # scripts, not a package

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    from lab import Lab, tiny

    made = Lab(tiny(), tmp_path_factory.mktemp("lab"), pinned=True)
    for seed in range(1, 8):
        made.measure(seed)
    return made


@pytest.fixture(scope="module")
def gate(lab):
    from lab import Gate

    return Gate(lab.subject, [lab.trials(seed) for seed in (5, 6, 7)])


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_another_seed_is_no_regression(lab, gate, seed):
    assert gate.judge([lab.trials(seed)]).caught == []


@pytest.mark.parametrize("fault", ["rate x10", "wrong end", "no fine-tuning", "corruptions twice"])
def test_a_fault_in_the_code_is_one(lab, gate, fault):
    for seed in (1, 2):
        lab.measure(seed, fault)
        assert gate.judge([lab.trials(seed, fault)]).failed


def test_faults_leave_no_trace(lab, gate):
    lab.measure(8, "rate x10")
    lab.measure(9)
    assert not gate.judge([lab.trials(9)]).failed
