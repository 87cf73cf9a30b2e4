"""`tolerance: auto`: numbers by hand, how they move, and whether they keep what they promise."""

import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from pytest_prunecal.judge.auto_tolerance import Sample, Terms, allowance
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

SHARES = {
    "finetune": {"ece": Share(error=0.5, damage=0.1), "default": Share()},
    "change": {"default": Share(error=1)},
    "retrain": {"default": Share(error=2)},
}
NOISE = Noise(8, 0.4, SHARES)
ONE = Uncertainty(0.01)
SAME = Pairing(same_base=True)
TERMS = Terms(NOISE, level=0.001, min_effect=0.0)
small = st.floats(1e-4, 0.1)


def compared(ours=ONE, theirs=ONE, pairing=SAME, terms=TERMS, dense=None, name="ece", measured=0.52):
    return allowance(name, Sample(measured, ours), Sample(0.5, theirs), dense, pairing, terms)


def test_one_seed_by_hand():
    found = compared(dense=0.4)
    sd = math.sqrt(2 * (0.01**2 + 0.005**2 + 0.01**2))  # sampling, training, damage
    assert (found.sd, found.freedom) == (pytest.approx(sd), 8)
    assert found.change == pytest.approx(0.02)
    assert found.noise == found.bound == pytest.approx(stats.t.isf(0.001, 8) * sd)
    assert found.detectable == pytest.approx(found.bound + stats.t.isf(0.05, 8) * sd)
    assert found.p_value(0.02) == pytest.approx(stats.t.sf(0.02 / sd, 8))
    assert found.basis == "same base network, not paired, 1 seed"
    assert (found.independent, found.against_base, found.blind) == (True, False, True)


def test_deviations_over_seeds_update_the_prior():
    found = compared(Uncertainty(0.01, 0.03, 2), Uncertainty(0.01, 0.02, 3), dense=0.4)
    prior = 0.01**2 + 0.005**2 + 0.01**2
    variance = (8 * prior + 1 * 0.03**2 + 2 * 0.02**2) / 11
    assert found.sd == pytest.approx(math.sqrt(variance * (1 / 2 + 1 / 3)))
    assert found.freedom == 11
    assert found.prior_sd == pytest.approx(math.sqrt(prior * (1 / 2 + 1 / 3)))
    assert found.seen == (pytest.approx((0.03**2 + 2 * 0.02**2) / prior), 3)
    assert found.basis == "same base network, not paired, 3 and 2 seeds"


def test_a_slip_of_the_pen_in_the_baseline_does_not_excuse_itself():
    # Accepted far from the dense cell, measured where it is: no harm that luck could have mended.
    assert compared(dense=0.52).sd == pytest.approx(compared().sd)
    assert compared(dense=0.4, measured=0.9).sd == compared(dense=0.4).sd


def test_paired_by_hand():
    found = compared(pairing=replace(SAME, paired={"ece": 0.004}))
    # What the pairing gives is the error of the difference; each side has half of its variance.
    assert found.sd == pytest.approx(math.sqrt(2 * (0.004**2 / 2 + 0.005**2)))
    assert found.basis == "same base network, paired by image, 1 seed"


def test_a_count_has_no_sampling_error():
    terms = replace(TERMS, noise=replace(NOISE, shares=SHARES | {"retrain": {"default": Share(value=0.02)}}))
    found = compared(UNKNOWN, UNKNOWN, Pairing(), terms, name="macs")
    assert found.sd == pytest.approx(math.sqrt(2) * 0.02 * 0.5)
    assert compared(UNKNOWN, UNKNOWN, SAME, terms, name="macs").sd == 0


def test_the_same_network_without_training_leaves_no_noise():
    found = compared(pairing=replace(SAME, tuned=False), terms=replace(TERMS, min_effect=0.005))
    assert (found.noise, found.bound, found.detectable, found.sd) == (0, 0.005, 0.005, 0)
    assert (found.blind, found.seeds, found.images, found.independent) == (False, 0, 0, False)
    assert [found.p_value(0.001), found.p_value(0.0)] == [0, 1]
    assert [found.power(0.004), found.power(0.006)] == [0, 1]


def test_the_smallest_effect_that_matters_is_the_least_that_is_allowed():
    noisy, calm = (compared(terms=replace(TERMS, min_effect=effect)) for effect in (0.001, 0.5))
    assert (noisy.bound, noisy.blind) == (noisy.noise, True)
    assert (calm.bound, calm.blind, calm.seeds, calm.images) == (0.5, False, 0, 0)
    assert calm.noise == noisy.noise


@hypothesis.given(small, small, st.floats(1.01, 10), st.booleans())
def test_more_noise_is_allowed_more(se, damage, factor, same):
    pairing = Pairing(same_base=same)
    before = compared(Uncertainty(se), Uncertainty(se), pairing, dense=0.5 - damage)
    louder = compared(Uncertainty(factor * se), Uncertainty(factor * se), pairing, dense=0.5 - damage)
    assert louder.bound > before.bound
    if same:
        farther = compared(Uncertainty(se), Uncertainty(se), pairing, dense=0.5 - factor * damage)
        assert farther.bound > before.bound
    spread = [compared(theirs=Uncertainty(0.01, sd, 3)).bound for sd in (se, factor * se)]
    assert spread[1] > spread[0]


@hypothesis.given(small, st.integers(1, 20), st.integers(1, 20))
def test_more_seeds_that_say_the_same_are_allowed_less(se, ours, theirs):
    as_expected = math.sqrt(se**2 + (0.5 * se) ** 2)

    def over(seeds):
        return Uncertainty(se, as_expected, seeds) if seeds > 1 else Uncertainty(se)

    bounds = [compared(over(ours + more), over(theirs)).bound for more in (0, 1, 5)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[1] > bounds[2]


@hypothesis.given(small, st.floats(0.01, 3))
def test_pairing_is_sharper_where_its_error_is_smaller(se, factor):
    unpaired = compared(Uncertainty(se), Uncertainty(se))
    paired = compared(Uncertainty(se), Uncertainty(se), replace(SAME, paired={"ece": factor * se * 2**0.5}))
    assert (paired.sd < unpaired.sd) == (factor**2 < 1) or factor == pytest.approx(1)


@hypothesis.given(small, small)
def test_another_base_is_compared_by_whichever_is_sharper(direct, change):
    pairing = Pairing(paired={"ece": direct}, changes={"ece": 0.07}, change_errors={"ece": change})
    both = compared(pairing=pairing)
    only = compared(pairing=replace(pairing, changes={}))
    assert only.basis.startswith("another base network, paired by image")
    assert (only.against_base, only.change) == (False, pytest.approx(0.02))
    sharper = change**2 + 2 * 0.01**2 < direct**2 + 2 * 0.02**2
    assert both.against_base == sharper
    assert both.sd <= only.sd
    assert both.change == pytest.approx(0.07 if sharper else 0.02)
    assert both.basis.startswith("change from the base network" if sharper else "another base network")
    assert not both.independent


def test_deviations_of_the_change_update_its_own_prior():
    pairing = Pairing(changes={"ece": 0.01}, change_errors={"ece": 0.001})
    three = Uncertainty(0.01, 0.5, 3)
    alone = compared(theirs=three, pairing=pairing)
    told = compared(theirs=three, pairing=replace(pairing, change_spread={"ece": [(2, 0.001)]}))
    share = 1 + 1 / 3
    prior = 0.001**2 / share + 0.01**2  # of one network: what chance and training leave
    assert alone.sd == pytest.approx(math.sqrt(share * prior))
    assert told.sd == pytest.approx(math.sqrt(share * (8 * prior + 2 * 0.001**2) / 10))
    assert (alone.freedom, told.freedom) == (8, 10)
    # A deviation over more seeds than there are, or one that is no number, tells nothing.
    for spread in ((9, 0.001), (-2, 0.001), (2, math.nan), (2, math.inf), (2, -0.001)):
        assert compared(theirs=three, pairing=replace(pairing, change_spread={"ece": [spread]})) == alone


def test_the_dense_cell_has_no_change_from_its_base():
    pairing = Pairing(tuned=False, paired={"ece": 0.1}, changes={"ece": 0.0}, change_errors={"ece": 0.0})
    assert not compared(pairing=pairing).against_base


@pytest.mark.parametrize(
    "pairing", [Pairing(), Pairing(changes={"ece": 0.01}, change_spread={"ece": [(2, 0.0)]})]
)
def test_seeds_of_one_base_network_tell_nothing_of_others(pairing):
    three = Sample(0.5, Uncertainty(0.01, 0.0, 3), share_base=True)
    one = Sample(0.5, Uncertainty(0.01))
    ours = Sample(0.52, ONE)
    shared, single = (allowance("ece", ours, theirs, None, pairing, TERMS) for theirs in (three, one))
    assert (shared.sd, shared.freedom, shared.bound) == (single.sd, single.freedom, single.bound)
    apart = allowance("ece", ours, replace(three, share_base=False), None, pairing, TERMS)
    assert apart.bound < shared.bound
    # From that very base network they tell all they tell.
    same = [
        allowance("ece", ours, replace(three, share_base=one_base), None, SAME, TERMS)
        for one_base in (True, False)
    ]
    assert same[0] == same[1]


@hypothesis.given(small, st.floats(0, 0.2), st.integers(1, 30))
def test_what_is_detectable_is_caught_with_a_probability_of_95_percent(se, effect, freedom):
    terms = replace(TERMS, noise=replace(NOISE, freedom=freedom), min_effect=effect)
    found = compared(Uncertainty(se), Uncertainty(se), terms=terms)
    assert found.power(found.detectable) == pytest.approx(0.95, abs=1e-6)
    assert found.power(found.detectable * 1.1) > 0.95 > found.power(found.detectable * 0.9)


@hypothesis.given(small, st.floats(0.002, 0.2))
def test_the_cure_cures(se, effect):
    terms = replace(TERMS, min_effect=effect)
    found = compared(Uncertainty(se), Uncertainty(se), terms=terms)
    expected = math.sqrt(se**2 + (0.5 * se) ** 2)
    if found.seeds:
        over = Uncertainty(se, expected, found.seeds)
        assert not compared(over, over, terms=terms).blind
        if found.seeds > 2:
            fewer = Uncertainty(se, expected, found.seeds - 1)
            assert compared(fewer, fewer, terms=terms).blind
    if found.images:
        fewer_errors = Uncertainty(se / math.sqrt(found.images))
        assert compared(fewer_errors, fewer_errors, terms=terms).noise == pytest.approx(effect, rel=1e-6)


def test_where_nothing_cures_none_is_promised():
    terms = replace(TERMS, min_effect=1e-6)
    found = compared(dense=0.9, terms=terms)
    assert (found.seeds, found.images) == (None, None)


@pytest.mark.parametrize(("ours", "theirs"), [(1, 1), (1, 3), (3, 3), (2, 1)])
def test_noise_alone_passes_as_often_as_promised(ours, theirs):
    level, draws = 0.05, 20_000
    random = np.random.default_rng(ours * 10 + theirs)
    prior = 0.01**2 + (0.5 * 0.01) ** 2
    variances = 8 * prior / random.chisquare(8, draws)
    terms = replace(TERMS, level=level)
    alarms = 0
    for sd in np.sqrt(variances):
        sides = [random.normal(0.5, sd, seeds) for seeds in (ours, theirs)]
        known = [
            Uncertainty(0.01, float(np.std(side, ddof=1)), len(side)) if len(side) > 1 else ONE
            for side in sides
        ]
        samples = [Sample(float(side.mean()), sure) for side, sure in zip(sides, known, strict=True)]
        found = allowance("ece", *samples, None, SAME, terms)
        alarms += found.change > found.bound
    low, high = stats.binom.interval(0.9999, draws, level)
    assert low <= alarms <= high


def test_every_kind_has_a_prior_for_metrics_that_it_does_not_name():
    for kind in KINDS:
        assert NOISE.share(kind, "mine") == SHARES[kind]["default"]
    assert NOISE.share("finetune", "ece") == Share(error=0.5, damage=0.1)
    assert Share(0.5, 0.1, 0.02).variance(2, 3, 50) == pytest.approx(1 + 0.09 + 1)
