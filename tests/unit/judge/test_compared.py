"""Which comparisons a metric gets: the sharpest, that of the file alone, and that of the first seed."""

import math
from dataclasses import replace

import pytest
from judged_cells import PRIOR

from pytest_prunecal.judge.compared import Sides, compare
from pytest_prunecal.judge.noise import Level
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.trace import Jitter
from pytest_prunecal.study.uncertainty import Uncertainty

ECE = METRICS["ece"]
SURE = Uncertainty(0.01, 0.012, 12, 0.095)
HERE = [0.09, 0.1, 0.08, 0.11, 0.12]
THERE = [0.095, 0.1, 0.07, 0.11, 0.1, *[0.07] * 7]
SIDES = Sides(
    PRIOR,
    accepted={"ece": SURE},
    same_base=True,
    share_base=(True, True),
    each={"ece": HERE},
    accepted_each={"ece": THERE},
)
MEAN = 0.08


def of(sides, seeds=5, metric=ECE, name="ece"):
    here = HERE[:seeds]
    return compare(name, metric, sum(here) / seeds, MEAN, sides, seeds=seeds)


def test_the_same_base_by_the_file():
    found = of(SIDES)
    assert found.found is found.alone
    assert found.first is None
    one, scale = found.alone, scale_of(ECE)
    assert (one.kind, one.seeds, one.accepted, one.freedom, one.prior) == ("same base", 5, 12, 15, 4)
    assert one.worse == pytest.approx(0.1 - MEAN)
    assert one.by_seed == pytest.approx([scale.of(value) - scale.of(MEAN) for value in HERE])
    prior, seen = 1.4 * 0.1**2, 0.12**2  # se and sd times the slope, 1 / 0.1
    assert one.sd == pytest.approx(math.sqrt((4 * prior + 11 * seen) / 15))


def test_no_more_seeds_than_asked_for():
    assert of(SIDES, seeds=1).alone.by_seed == of(SIDES).alone.by_seed[:1]
    assert of(replace(SIDES, traced=True), seeds=2).found.seeds == 2


def test_the_level_is_that_of_the_kind():
    louder = replace(
        SIDES, levels={"finetune": {"ece": Level(4.0, 1.0)}, "retrain": {"ece": Level(9.0, 9.0)}}
    )
    assert of(louder).alone.sd == pytest.approx(math.sqrt((4 * 4 * 1.4 * 0.1**2 + 11 * 0.12**2) / 15))


def test_the_same_seed():
    traced = replace(SIDES, traced=True, jitter=Jitter(metrics={"ece": [0.001, -0.001]}))
    found = of(traced)
    assert found.alone == of(SIDES).alone
    one, scale = found.found, scale_of(ECE)
    assert (one.kind, one.accepted, one.seeds, one.known, one.freedom) == ("same seed", 0, 5, 12, 8)
    pairs = list(zip(HERE, THERE, strict=False))
    assert one.by_seed == pytest.approx([scale.of(a) - scale.of(b) for a, b in pairs])
    assert one.worse == pytest.approx(sum(a - b for a, b in pairs) / 5)
    assert one.yardstick == pytest.approx(sum(THERE[:5]) / 5)
    expected = 2 * 0.3**2 * found.alone.sd**2
    assert one.sd == pytest.approx(math.sqrt((4 * expected + 2 * 0.01**2) / 6))
    # More seeds than were accepted have nothing to be compared with.
    short = of(replace(traced, accepted_each={"ece": THERE[:3]}))
    assert (short.found.seeds, len(short.found.by_seed), short.found.known) == (3, 3, 3)
    for broken in ([], [math.nan, *THERE[1:]], [*THERE[:-1], math.inf]):
        assert of(replace(traced, accepted_each={"ece": broken})).found == found.alone


def test_the_first_seed_as_the_file_has_it():
    traced = replace(SIDES, traced=True, jitter=Jitter(metrics={"ece": [0.5, -0.5]}))
    first = of(traced, seeds=1).first
    # Nothing from beside the file takes part, but that it is the same training.
    for forged in ({}, {"ece": [9.0] * 12}):
        assert of(replace(traced, accepted_each=forged, jitter=None), seeds=1).first == first
    assert first.worse == pytest.approx(0.09 - 0.095)
    assert first.sd == pytest.approx(math.sqrt(2) * 0.3 * of(SIDES).alone.sd)
    assert of(traced, seeds=2).first is of(SIDES, seeds=1).first is None
    unknown = replace(traced, accepted={"ece": replace(SURE, first=None)})
    assert of(unknown, seeds=1).first is None
    # A single accepted seed is its own mean.
    single = replace(traced, accepted={"ece": Uncertainty(0.01)})
    assert of(single, seeds=1).first.yardstick == MEAN


def test_the_dense_cell_is_exact_where_no_training_lies_between():
    dense = replace(SIDES, tuned=False)
    found = of(dense, seeds=1)
    assert found.found is found.alone
    assert (found.alone.kind, found.alone.sd, found.alone.deviation) == ("exact", 0, 0)
    # Of base networks that were trained anew, the trace knows the first.
    anew = replace(dense, same_base=False, share_base=(False, False))
    assert of(anew, seeds=1).found.kind == "another base"
    traced = of(replace(anew, traced=True), seeds=1)
    assert (traced.found.kind, traced.found.yardstick, traced.alone.kind) == ("exact", 0.095, "another base")
    assert (traced.first.sd, traced.first.yardstick) == (0, 0.095)
    assert of(replace(anew, traced=True), seeds=2).found.kind == "another base"


def test_the_same_base_by_what_lies_beside_the_file():
    beside = replace(SIDES, same_base=False, share_base=(False, False), pairing=Pairing(same_base=True))
    found = of(beside)
    assert (found.found.kind, found.alone.kind) == ("same base", "another base")
    dense = of(replace(beside, tuned=False), seeds=1)
    assert (dense.found.kind, dense.alone.kind) == ("exact", "another base")


def test_the_change_from_the_base():
    anew = replace(
        SIDES,
        same_base=False,
        share_base=(False, False),
        pairing=Pairing(changes={"ece": 0.03}, change_sd={"ece": 0.01}),
    )
    found = of(anew).found
    assert (found.kind, found.worse, found.by_seed) == ("change from the base", 0.03, (pytest.approx(0.3),))
    prior = (0.4 + 4) * 0.1**2
    assert found.sd == pytest.approx(math.sqrt((4 * prior + 11 * 0.1**2) / 15))
    assert found.accepted == 12
    # Where its deviation is not known, or is of a single base network, it is that of one seed.
    for sides in (
        replace(anew, share_base=(False, True), pairing=Pairing(changes={"ece": 0.03})),
        replace(anew, share_base=(False, True)),
    ):
        one = of(sides).found
        assert (one.kind, one.accepted, one.freedom) == ("change from the base", 1, 8)
        assert one.sd == pytest.approx(math.sqrt(prior))
    for nonsense in ({"ece": math.nan}, {"ece": math.inf}, {"nll": 0.1}):
        assert of(replace(anew, pairing=Pairing(changes=nonsense))).found.kind == "another base"
    for nonsense in (math.nan, math.inf, -0.1):
        pairing = replace(anew.pairing, change_sd={"ece": nonsense})
        assert of(replace(anew, pairing=pairing)).found.kind == "another base"
    assert of(replace(anew, tuned=False), seeds=1).found.kind == "another base"


def test_seeds_of_one_base_network_tell_nothing_of_others():
    ours = replace(SIDES, same_base=False, share_base=(True, False))
    assert of(ours).alone.one_base
    assert of(ours).alone.deviation == pytest.approx(of(ours).alone.sd * math.sqrt(1 + 1 / 12))
    theirs = of(replace(SIDES, same_base=False, share_base=(False, True))).alone
    assert (theirs.one_base, theirs.accepted, theirs.freedom) == (False, 1, 8)
    assert theirs.sd == pytest.approx(math.sqrt((0.4 + 9) * 0.1**2))
    assert not of(SIDES).alone.one_base


def test_the_sharpest_is_found():
    quiet = replace(SIDES, accepted={"ece": replace(SURE, sd=0.0001)}, traced=True)
    loud = replace(quiet, jitter=Jitter(metrics={"ece": [1.0, 1.0, 1.0]}), accepted_each={"ece": THERE[:1]})
    assert of(quiet).found.kind == "same seed"
    # One seed against itself, as noisy as two trainings, says less than five against twelve.
    assert of(loud).found.kind == "same base"


def test_a_metric_of_which_nothing_is_known():
    bare = Sides(replace(PRIOR, shares=PRIOR.shares))
    found = compare("mine", None, 0.6, 0.5, bare, seeds=1)
    assert (found.alone.kind, found.alone.sd, found.first) == ("exact", 0, None)
    assert found.found == found.alone
