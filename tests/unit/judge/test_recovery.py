"""Rules of recovery, judged: against simulations of test sets and of trainings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from judged_cells import PRIOR, circumstances

from pytest_prunecal.judge.judging import judge
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.against_dense import AgainstDense
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.recovery import Recovery
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

LEVEL = 1e-3
WIDE = {"*": Tolerance(abs=1.0)}


def against(measured, dense, rule, *, each=None, accepted=None, sure=None, name="accuracy", **given):
    """Judge one rule; by default of a network that is not fine-tuned, without a baseline."""
    given = {"tuned": False, "each": {name: each or [measured]}, "most": 1} | given
    told = circumstances(given.pop("noise", PRIOR), given.pop("level", LEVEL), accepted=sure or {}, **given)
    told = replace(told, recovery={name: rule}, dense={name: dense}, without_baseline=accepted is None)
    return judge({name: measured}, accepted, WIDE, METRICS, told)


def the_row(verdict):
    (found,) = verdict.recovery
    return found


EXACT = AgainstDense(0.9, [0.9])


def test_without_noise_the_rule_is_the_limit():
    assert against(0.891, EXACT, Recovery(0.99)).status is Status.OK
    assert against(0.8909, EXACT, Recovery(0.99)).status is Status.UNRECOVERED
    assert against(0.88, EXACT, Recovery(0.99, abs=0.02)).status is Status.OK  # the one that allows more
    assert against(0.86, EXACT, Recovery(abs=0.02)).status is Status.UNRECOVERED
    ece = AgainstDense(0.02, [0.02])
    assert against(0.0221, ece, Recovery(1.1), name="ece").status is Status.UNRECOVERED
    assert against(0.0219, ece, Recovery(1.1), name="ece").status is Status.OK


def test_the_first_day_is_recovered_and_one_without_dense_number_is_missing():
    verdict = against(0.9, EXACT, Recovery(0.99))
    assert (verdict.headline, verdict.by_baseline) == ("recovered", Status.MISSING)
    assert not verdict.identical
    told = circumstances(PRIOR, LEVEL, tuned=False)
    told = replace(told, recovery={"accuracy": Recovery(0.99)}, without_baseline=True)
    verdict = judge({"accuracy": 0.9}, None, {}, METRICS, told)
    assert verdict.status is Status.MISSING
    assert verdict.headline == "accuracy has no dense number to compare with"


def test_the_error_of_the_shortfall_is_that_of_the_bootstrap():
    random = np.random.default_rng(5)
    both = random.normal(size=(2, 100_000)) * [[0.01], [0.02]]
    dense, ours = both[1], 0.7 * both[1] + both[0]
    found = AgainstDense(0.9, [0.9], ours.std(), dense.std(), np.cov(ours, dense)[0, 1])
    for times in (1.0, 0.99, 1.2):
        assert found.error(times) == pytest.approx(np.std(ours - times * dense), rel=1e-4)


def drawn(random, images, true, dense_true):
    """A finished network and its dense one on the same test images, and what the bootstrap says of both."""
    hard = random.random(images)
    noise = 0.02 * random.normal(size=(2, images))
    ours, dense = hard + noise[0] < true, hard + noise[1] < dense_true
    covariance = np.cov(ours, dense) / images
    beside = AgainstDense(
        float(dense.mean()),
        [float(dense.mean())],
        math.sqrt(covariance[0, 0]),
        math.sqrt(covariance[1, 1]),
        covariance[0, 1],
    )
    return float(ours.mean()), beside


def test_a_network_at_the_limit_fails_at_the_rate_and_one_beyond_the_claim_is_caught():
    random, rule, runs, alarms, caught = np.random.default_rng(17), Recovery(0.95), 1500, 0, 0
    for _ in range(runs):
        measured, dense = drawn(random, 1500, 0.95 * 0.9, 0.9)
        found = the_row(against(measured, dense, rule, level=2e-3))
        alarms += found.status.fails
        beyond = measured - (found.detectable - rule.room(dense.dense))
        caught += the_row(against(beyond, dense, rule, level=2e-3)).status.fails
    assert alarms / runs <= 10 * 2e-3 + 3 * math.sqrt(10 * 2e-3 / runs)
    assert caught / runs >= 0.95 - 3 * math.sqrt(0.05 / runs)


def test_training_noise_counts_where_the_cell_is_tuned_and_falls_with_its_seeds():
    dense = AgainstDense(0.9, [0.9], 0.001, 0.001, 1e-6)
    sure, accepted = {"accuracy": Uncertainty(0.005, 0.01, 12)}, {"accuracy": 0.88}
    tuned = {"accepted": accepted, "sure": sure, "tuned": True, "most": 16, "same_base": True}
    one = the_row(against(0.87, dense, Recovery(0.99), **tuned))
    assert one.sd > 0.005
    assert (one.status, one.more) == (Status.OK, 2)  # short by more than noise often does
    five = AgainstDense(0.9, [0.9] * 5, 0.001, 0.001, 1e-6)
    verdict = against(0.85, five, Recovery(0.99), each=[0.85] * 5, **tuned)
    assert the_row(verdict).sd == pytest.approx(one.sd / math.sqrt(5), rel=0.02)
    assert (verdict.status, verdict.more) == (Status.UNRECOVERED, 0)
    # One training that went wrong is no failure.
    odd = [0.895, 0.895, 0.895, 0.895, 0.5]
    assert against(np.mean(odd), five, Recovery(0.99), each=odd, **tuned).status is not Status.UNRECOVERED


def test_a_cell_that_is_worse_is_not_excused_for_being_so():
    dense = AgainstDense(0.9, [0.9], 0.004, 0.004, 1e-5)
    rows = [the_row(against(value, dense, Recovery(0.99), tuned=True)) for value in (0.89, 0.5, 0.1)]
    assert len({row.bound for row in rows}) == 1
    assert rows[-1].status is Status.UNRECOVERED


def test_tuned_cells_at_the_limit_fail_no_more_often_than_the_rate():
    random, rule, runs, alarms = np.random.default_rng(23), Recovery(0.95), 1000, 0
    noise = the_row(against(0.855, AgainstDense(0.9, [0.9], 0.005, 0.005), rule, tuned=True)).sd
    true = math.sqrt(noise**2 - (0.005**2 + (0.95 * 0.005) ** 2))  # what the prior says of a training
    for _ in range(runs):
        d, m = random.normal(0.9, 0.005), random.normal(0.855, math.hypot(0.005, true))
        beside = AgainstDense(d, [d], 0.005, 0.005, 0.0)
        alarms += against(m, beside, rule, tuned=True, level=0.01).status is Status.UNRECOVERED
    assert alarms / runs <= 0.01 + 3 * math.sqrt(0.01 / runs)
