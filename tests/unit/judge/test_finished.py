"""Candidates: finished networks, whose only noise is that of the test images."""

import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from judged_cells import circumstances

from pytest_prunecal.judge.judging import SAME_FILE, judge
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

EFFECT = {"accuracy": Tolerance(abs=0.005), "ece": Tolerance(abs=0.005), "macs": Tolerance(rel=0.005)}
ACCEPTED = {"accuracy": 0.9, "ece": 0.03, "macs": 1000}
SURE = {"accuracy": Uncertainty(0.006), "ece": Uncertainty(0.004)}
LEVEL = 1e-4


def judged(paired=None, level=LEVEL, measured_sure=None, **changes):
    """A candidate whose numbers moved so far."""
    measured = {name: value + changes.pop(name, 0) for name, value in ACCEPTED.items()}
    given = {"accepted": SURE, "measured": SURE, "finished": True, "tuned": False} | changes
    told = circumstances(level=level, min_effect=EFFECT, **{**given, "measured": measured_sure or SURE})
    sides = replace(
        told.sides,
        measured=measured_sure or SURE,
        pairing=Pairing(paired=paired or {}),
        each={name: [value] for name, value in measured.items()},
    )
    return judge(measured, ACCEPTED, {}, METRICS, replace(told, sides=sides))


def row(verdict, name):
    return next(one for one in verdict.metrics if one.metric == name)


def test_the_very_file_may_not_move_in_either_direction():
    assert judged(same_network=True).identical
    assert judged(same_network=True, accuracy=0.004).status is Status.OK
    for change in ({"accuracy": 0.02}, {"accuracy": -0.02}, {"macs": -100}, {"macs": 100}):
        verdict = judged(same_network=True, **change)
        assert verdict.status is Status.CHANGED
        assert verdict.reason == SAME_FILE
        assert row(verdict, next(iter(change))).allowance.kind == "same network"


def test_another_network_is_allowed_what_the_images_explain():
    verdict = judged(accuracy=-0.02)
    found = row(verdict, "accuracy").allowance
    assert found.kind == "another network"
    assert not found.paired
    assert found.sd == pytest.approx(math.hypot(0.006, 0.006), rel=0.01)
    assert verdict.status is Status.OK
    sharp = judged(accuracy=-0.02, paired={"accuracy": 0.003})
    assert row(sharp, "accuracy").allowance.paired
    assert sharp.status is Status.REGRESSION
    assert sharp.more == 0
    assert judged(accuracy=0.04).status is Status.IMPROVEMENT


def test_what_is_counted_has_no_noise_and_less_of_it_is_better():
    assert judged(macs=10).status is Status.REGRESSION
    assert judged(macs=5).status is Status.OK
    assert judged(macs=-100).status is Status.IMPROVEMENT


def test_rounding_alone_is_no_change_however_alike_two_networks_are():
    assert judged(ece=0.0051, paired={"ece": 0.0}).status is Status.REGRESSION
    named = {"accuracy": 0.9}
    told = circumstances(level=LEVEL, accepted=SURE, finished=True, tuned=False)
    sides = replace(told.sides, pairing=Pairing(paired={"accuracy": 0.0}), measured=SURE)
    assert judge({"accuracy": 0.8999}, named, {}, METRICS, replace(told, sides=sides)).status is Status.OK


forged = st.dictionaries(
    st.sampled_from([*ACCEPTED, "other"]),
    st.floats() | st.sampled_from([0.0, 1e-9, math.inf, math.nan, 1e300]),
)


@hypothesis.settings(max_examples=150)
@hypothesis.given(forged, st.floats(-0.1, 0.1), st.floats(-0.05, 0.05), st.integers(-50, 50), st.booleans())
def test_no_file_beside_the_baseline_makes_it_milder(paired, accuracy, ece, macs, same):
    moved = {"accuracy": accuracy, "ece": ece, "macs": macs, "same_network": same}
    alone, beside = judged(**moved), judged(paired=paired, **moved)
    for one, other in zip(alone.metrics, beside.metrics, strict=True):
        assert not (one.status.fails and not other.status.fails)
        assert other.p_value <= one.p_value
        assert other.bound <= one.bound or other.status.fails
        assert not math.isnan(other.bound)


def test_false_alarms_come_at_the_rate_that_is_claimed_and_what_is_claimed_is_caught():
    random, images, level = np.random.default_rng(11), 2000, 2e-3
    runs, alarms, caught, claimed = 1500, 0, 0, 0.0
    for _ in range(runs):
        # Two networks that are right on 90 % of all images, mostly on the same ones.
        hard = random.random(images)
        ours, theirs = ((hard + 0.1 * random.normal(size=images)) < 0.9 for _ in range(2))
        sd = float(np.std(ours.astype(float) - theirs, ddof=1) / np.sqrt(images))
        verdict = judged(accuracy=float(ours.mean() - theirs.mean()), paired={"accuracy": sd}, level=level)
        alarms += verdict.status is Status.REGRESSION
        claimed = row(verdict, "accuracy").allowance.detectable
        worse = judged(
            accuracy=float(ours.mean() - theirs.mean()) - claimed, paired={"accuracy": sd}, level=level
        )
        caught += worse.status is Status.REGRESSION
    # One look has ten times the rate of each of several.
    assert alarms / runs <= 10 * level + 3 * math.sqrt(10 * level / runs)
    assert caught / runs >= 0.95 - 3 * math.sqrt(0.05 / runs)
    assert claimed < 0.05
