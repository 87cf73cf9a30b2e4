"""`tolerance: auto`: what noise alone may do, by hand; how it moves; what a gate that allows so much sees."""

import math
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st
from scipy import stats

from pytest_prunecal.judge.auto_tolerance import (
    MOST_SEEDS,
    Allowance,
    Change,
    Terms,
    allowance,
    plan_of,
)
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.metric import METRICS

ECE = METRICS["ece"]
CHANGE = Change(
    "same base", worse=0.02, by_seed=(0.2,), sd=0.1, freedom=15, accepted=12, seeds=1, yardstick=0.08, prior=4
)
TERMS = Terms(level=1e-5, min_effect=0.005)


def test_the_known_constants():
    assert Terms(0.1, 0.0).most == 16


def test_a_change_by_hand():
    found = allowance(CHANGE, TERMS, ECE)
    sd = 0.1 * math.sqrt(1 + 1 / 12)
    assert CHANGE.deviation == pytest.approx(sd)
    assert CHANGE.p_value(0.0) == pytest.approx(stats.t.sf(0.2 / sd, 15))
    assert CHANGE.p_value(0.02) == 1  # no more than what nobody cares about
    # Whatever more would be a regression is looked at over up to 16 seeds.
    over_all = stats.t.isf(1e-5, 15) * 0.1 * math.sqrt(1 / 16 + 1 / 12)
    assert found.noise == found.bound == pytest.approx(0.1 * (math.exp(over_all) - 1))
    assert found.sd == pytest.approx(sd * 0.1)  # in the metric's unit
    assert (found.kind, found.change, found.seeds, found.accepted) == ("same base", 0.02, 1, 12)
    assert (found.unit, found.yardstick, found.blind, found.against_base) == (0.1, 0.08, True, False)


def test_directions():
    accuracy = allowance(replace(CHANGE, yardstick=0.9), TERMS, METRICS["accuracy"])
    assert accuracy.change == -0.02
    assert accuracy.bound > 0


@pytest.mark.parametrize(("seeds", "last"), [(1, 16), (3, 16), (16, 16), (20, 20)])
def test_the_bound_is_that_of_the_last_look(seeds, last):
    found = allowance(replace(CHANGE, seeds=seeds), TERMS, None)
    assert found.bound == pytest.approx(stats.t.isf(1e-5, 15) * 0.1 * math.sqrt(1 / last + 1 / 12))
    assert found.bound < found.detectable or seeds == last


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_smaller_cap_decides_earlier(most):
    found = allowance(CHANGE, replace(TERMS, most=most), None)
    assert found.bound == pytest.approx(stats.t.isf(1e-5, 15) * 0.1 * math.sqrt(1 / most + 1 / 12))


def test_seed_by_seed_no_more_are_compared_than_are_known():
    same_seed = replace(CHANGE, kind="same seed", accepted=0, known=3)
    plan = plan_of(same_seed, TERMS, ECE)
    assert plan.looks == [1, 2, 3]
    assert allowance(same_seed, TERMS, None).bound == pytest.approx(
        stats.t.isf(1e-5, 15) * 0.1 / math.sqrt(3)
    )


def test_more_seeds_of_one_base_network_lower_no_noise():
    shared = replace(CHANGE, kind="another base", one_base=True)
    for seeds in (1, 5, 16):
        assert replace(shared, seeds=seeds).deviation == CHANGE.deviation
    plan = plan_of(shared, TERMS, ECE)
    assert plan.one_base
    # Further looks are no further chances to fail: each has the share of one.
    assert plan.level == pytest.approx(10 * TERMS.level)
    assert plan_of(CHANGE, TERMS, ECE).level == TERMS.level


def test_without_noise_the_smallest_effect_that_matters_is_all_that_is_allowed():
    exact = Change("exact", 0.02, (0.2,), 0.0, 1, 1, 1, 0.5)
    found = allowance(exact, TERMS, ECE)
    assert found == Allowance("exact", 0.02, 0.0, 0.005, 0.0)
    assert (found.blind, found.detectable, found.wanted_seeds, found.wanted_images) == (False, 0.005, 0, 0)
    assert [exact.p_value(effect) for effect in (0.019, 0.02)] == [0, 1]
    assert [found.power(effect) for effect in (0.004, 0.006)] == [0, 1]


def test_the_worst_seed_counts_no_more_than_the_second_worst():
    five = replace(CHANGE, seeds=5, by_seed=(0.1, 0.1, 0.2, 0.3, 9.0))
    assert five.scaled == pytest.approx(9.7 / 5)
    assert five.steady == pytest.approx(1.0 / 5)
    assert five.p_value(0.0) == pytest.approx(stats.t.sf(0.2 / five.deviation, 15))
    four = replace(CHANGE, seeds=4, by_seed=(0.1, 0.1, 0.2, 9.0))
    assert four.steady == four.scaled
    # For the better, it is the best that counts no more.
    mirrored = replace(five, by_seed=(-9.0, -0.3, -0.2, -0.1, -0.1)).mirrored
    assert (mirrored.worse, mirrored.steady) == (-0.02, pytest.approx(0.2))


def test_a_floor_is_exact_on_the_scale():
    plan = plan_of(CHANGE, TERMS, ECE)
    assert plan.floor == pytest.approx((math.log(0.105) - math.log(0.1)) / 0.1)
    effect = allowance(CHANGE, replace(TERMS, min_effect=0.5), ECE)
    assert (effect.bound, effect.blind, effect.wanted_seeds, effect.wanted_images) == (0.5, False, 0, 0)
    assert effect.noise < 0.5


deviations = st.floats(0.01, 0.2)
changes = st.builds(
    lambda sd, freedom, accepted, seeds, yardstick: replace(
        CHANGE, sd=sd, freedom=freedom, accepted=accepted, seeds=seeds, yardstick=yardstick
    ),
    deviations,
    st.integers(4, 30),
    st.integers(1, 20),
    st.sampled_from([1, 2, 3, 5, 9, 16]),
    st.floats(0, 1),
)


@hypothesis.settings(max_examples=50)
@hypothesis.given(changes, st.floats(1.01, 3))
def test_more_noise_is_allowed_more(change, factor):
    before = allowance(change, TERMS, ECE)
    assert before.bound >= before.noise > 0
    assert allowance(replace(change, sd=factor * change.sd), TERMS, ECE).noise > before.noise
    assert allowance(change, replace(TERMS, level=1e-4), ECE).noise < before.noise
    assert allowance(replace(change, accepted=change.accepted + 1), TERMS, ECE).noise < before.noise


@hypothesis.settings(max_examples=15)
@hypothesis.given(changes)
def test_what_is_detectable_is_caught_with_a_probability_of_95_percent(change):
    # Few kinds of plans, as each of them is simulated.
    found = allowance(replace(change, freedom=6, accepted=3, seeds=1), TERMS, ECE)
    assert found.detectable > found.bound * 0.99
    if math.isfinite(found.detectable):
        assert found.power(found.detectable * 1.0001) >= 0.949
        assert found.power(found.detectable * 0.8) < 0.95 < found.power(found.detectable * 1.3)


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.floats(0.01, 0.1), st.floats(0.002, 0.05), st.floats(0.1, 1.0))
def test_the_cure_cures(sd, effect, by_images):
    change = replace(CHANGE, sd=sd, freedom=8, accepted=3, by_images=by_images)
    terms = replace(TERMS, min_effect=effect)
    found = allowance(change, terms, None)
    if seeds := found.wanted_seeds:
        assert found.blind
        cured = replace(change, accepted=seeds, freedom=max(4 + seeds - 1, 8))
        assert not allowance(cured, terms, None).blind
        fewer = replace(change, accepted=seeds - 1, freedom=max(4 + seeds - 2, 8))
        assert seeds == 4 or allowance(fewer, terms, None).blind
    if images := found.wanted_images:
        variance = sd * sd * (1 - by_images + by_images / images)
        cured = allowance(replace(change, sd=math.sqrt(variance)), terms, None)
        assert cured.plan.noise(16) == pytest.approx(cured.plan.floor, rel=1e-6)


def test_where_nothing_cures_none_is_promised():
    found = allowance(CHANGE, replace(TERMS, min_effect=1e-6), ECE)
    assert (found.wanted_seeds, found.wanted_images) == (None, None)
    same_seed = allowance(replace(CHANGE, accepted=0, known=12), replace(TERMS, min_effect=1e-6), ECE)
    assert same_seed.wanted_seeds is None
    assert MOST_SEEDS == 99


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    st.floats(0, 1e100),
    st.floats(-1e300, 1e300),
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=6),
    st.sampled_from([0, 1, 1000]),
    st.sampled_from([None, *METRICS.values()]),
)
def test_no_number_is_too_large(sd, worse, by_seed, accepted, metric):
    change = Change("same base", worse, tuple(by_seed), sd, 4, accepted, len(by_seed), 0.5, known=12)
    found = allowance(change, TERMS, metric)
    assert TERMS.min_effect <= found.bound
    assert metric is None or metric.best is None or math.isfinite(found.bound)
    assert 0 <= change.p_value(0.0) <= 1
    assert found.plan is None or found.plan.noise(5) >= 0
    assert scale_of(metric).sign * found.change == worse
