"""The study of false alarms and detection, in small: a few runs of its tiny gate."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "trust"))  # scripts, not a package

pytestmark = pytest.mark.slow

BASELINE = [1, 2, 3, 4, 5]
OTHERS = [6, 7, 8, 9, 10, 11]

TOLD = {
    "ratio +0.1": "pruned",
    "first conv spared": "pruned",
    "mask not kept": "structure",
    "rate +1 %": "finetune",
    "momentum 0.89": "finetune",
    "BN momentum 0.11": "finetune",
    "test image replaced": "data",
    "one corruption reseeded": "corruptions",
    "corrupted rows swapped": "dense",
    "constants rounded": "dense",
}
"""Faults, and the first stage of the trace that tells them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    from lab import Lab, tiny

    made = Lab(tiny(), tmp_path_factory.mktemp("lab"))
    for seed in BASELINE + OTHERS:
        made.measure(seed)
    return made


@pytest.fixture(scope="module")
def gate(lab):
    from gate import Gate

    return Gate(lab.subject, [lab.trials(seed) for seed in BASELINE], lab.jitter(BASELINE[0]))


def judged(lab, gate, fault, seeds=(1,)):
    for seed in seeds:
        lab.measure(seed, fault)
    return gate.judge([lab.trials(seed, fault) for seed in seeds])


@pytest.mark.parametrize("first", range(len(OTHERS)))
def test_other_seeds_are_no_regression(lab, gate, first):
    outcome = gate.judge([lab.trials(seed) for seed in OTHERS[first:] + OTHERS[:first]])
    assert outcome.caught == []
    assert {cell.differences[0].stage for cell in outcome.cells.values() if cell.differences} == {"finetune"}


def test_the_same_seed_with_other_last_bits_is_the_same(lab, gate):
    outcome = judged(lab, gate, "last bits")
    assert outcome.caught == []
    assert all(cell.screened and not cell.differences and not cell.more for cell in outcome.cells.values())


@pytest.mark.parametrize(("fault", "stage"), TOLD.items())
def test_a_fault_that_hardly_harms_is_told(lab, gate, fault, stage):
    from faults import CATALOGUE

    from pytest_prunecal.study.trace import RULER, STAGES, STRUCTURE

    outcome = judged(lab, gate, fault)
    stages = [cell.differences[0].stage for cell in outcome.cells.values() if cell.differences]
    assert min(stages, key=STAGES.index) == stage == CATALOGUE[fault].stage
    if stage in (*RULER, STRUCTURE):
        assert outcome.failed


@pytest.mark.parametrize("fault", ["wrong end", "no fine-tuning", "BN not carried"])
def test_a_fault_that_harms_fails_on_the_fifth_seed(lab, gate, fault):
    outcome = judged(lab, gate, fault, BASELINE)
    failing = [cell for cell in outcome.cells.values() if cell.status.fails]
    assert failing
    assert all(cell.seeds == 5 for cell in failing)


def test_faults_leave_no_trace(lab, gate):
    judged(lab, gate, "rate x10")
    lab.measure(12)
    assert not gate.judge([lab.trials(seed) for seed in (12, *OTHERS)]).failed
