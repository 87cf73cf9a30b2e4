"""What a gate will see before anything is compared, against direct calls and simple cases."""

import math
from dataclasses import replace

import pytest

from pytest_prunecal.judge.auto_tolerance import Terms, allowance
from pytest_prunecal.judge.compared import Sides, compare
from pytest_prunecal.judge.noise import LEAST_FREEDOM, Accepted
from pytest_prunecal.judge.outlook import Ahead, ahead_of
from pytest_prunecal.judge.pooled import ALL
from pytest_prunecal.judge.rate import Rate, shared
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.prior import Noise, Share
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import EXACT, Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)
SURE = Uncertainty(0.008, 0.006, 12)
CELLS = {
    "dense": {"accuracy": Accepted(0.95, Uncertainty(0.006))},
    "weight-0.3": {"accuracy": Accepted(0.94, SURE, 0.95)},
    "weight-0.5": {"accuracy": Accepted(0.93, SURE, 0.95)},
    "filter-0.3": {"accuracy": Accepted(0.80, SURE, 0.95)},
    "filter-0.5": {"accuracy": Accepted(0.70, SURE, 0.95)},
}
PRUNERS = {cell: None if cell == "dense" else cell.partition("-")[0] for cell in CELLS}
AHEAD = ahead_of(CELLS, PRUNERS, QUICK, METRICS, given_base=True)
# Nothing but test images: a deviation of 0.01 with a thousand degrees of freedom, on a scale that is flat.
IMAGES_ALONE = Ahead(
    {
        "mine-0.5": {"own": Accepted(5.0, Uncertainty(0.01))},
        "mine-0.7": {"own": Accepted(5.0, Uncertainty(0.01))},
    },
    {"mine-0.5": "mine", "mine-0.7": "mine"},
    Noise(1000, 1.0, {"finetune": {"default": Share()}}),
    {},
    {},
    Rate(0.001, 0.001, 1),
    most=1,
    levels={},
)


def test_what_is_accepted_is_seen_as_a_run_will_be_judged():
    sides = Sides(
        QUICK.noise,
        accepted={"accuracy": SURE},
        dense={"accuracy": 0.95},
        levels={"finetune": AHEAD.levels},
        same_base=True,
        each={"accuracy": (0.94,)},
    )
    change = compare("accuracy", METRICS["accuracy"], 0.94, 0.94, sides, seeds=1).alone
    terms = Terms(AHEAD.rate.cell, 0.005, QUICK.repeat)
    judged, found = allowance(change, terms, METRICS["accuracy"]), AHEAD.allowance("weight-0.3", "accuracy")
    assert found == judged
    assert found.detectable == judged.detectable > found.bound


def test_the_rate_is_that_of_the_whole_file():
    named = [(PRUNERS[cell], ["accuracy"]) for cell in CELLS]
    assert AHEAD.rate == shared(QUICK.false_alarms, named, METRICS, given_base=True)


def test_a_dense_cell_from_the_same_base_has_no_noise():
    found = AHEAD.allowance("dense", "accuracy")
    assert (found.kind, found.sd, found.bound) == ("exact", 0.0, 0.005)


def test_four_times_the_images_halve_what_is_of_the_images_alone():
    one, four = (IMAGES_ALONE.allowance("mine-0.5", "own", images=images) for images in (1, 4))
    assert one.sd == pytest.approx(0.01 * math.sqrt(2))
    assert four.detectable == pytest.approx(one.detectable / 2)
    one, four = (IMAGES_ALONE.pooled(ALL, "own", images=images) for images in (1, 4))
    assert four.detectable == pytest.approx(one.detectable / 2)


def test_images_leave_what_is_not_theirs():
    noise = Noise(1000, 1.0, {"finetune": {"default": Share(value=0.002)}})  # of 5.0: 0.01, as the images
    ahead = replace(IMAGES_ALONE, noise=noise)
    one, many = (ahead.change("mine-0.5", "own", images=images) for images in (1, 1e9))
    assert many.sd == pytest.approx(one.sd / math.sqrt(2))
    assert (one.by_images, many.by_images) == (pytest.approx(0.5), pytest.approx(0, abs=1e-6))


def test_more_accepted_seeds_see_more_up_to_the_noise_of_the_run():
    seen = [IMAGES_ALONE.allowance("mine-0.5", "own", seeds).sd for seeds in (1, 3, 10**6)]
    assert seen == pytest.approx([0.01 * math.sqrt(2), 0.01 * math.sqrt(4 / 3), 0.01], rel=1e-3)
    freedom = [AHEAD.change("weight-0.3", "accuracy", seeds).freedom for seeds in (1, 12)]
    assert freedom == [LEAST_FREEDOM, QUICK.noise.freedom + 11]


def test_pooled_cells_see_more_than_one():
    one = AHEAD.median("accuracy")
    weight, every = AHEAD.pooled("weight", "accuracy"), AHEAD.pooled(ALL, "accuracy")
    assert (weight.cells, every.cells) == (2, 4)
    assert every.detectable < weight.detectable < one.detectable
    assert AHEAD.groups == ["weight", "filter"]
    assert IMAGES_ALONE.groups == []
    alone = replace(AHEAD, cells={"weight-0.3": CELLS["weight-0.3"]})
    assert alone.pooled(ALL, "accuracy") is None


def test_the_median_is_that_of_cells_with_noise():
    bounds = sorted(AHEAD.allowance(cell, "accuracy").bound for cell in CELLS if cell != "dense")
    assert AHEAD.median("accuracy").bound == bounds[2]
    assert AHEAD.median("ece") is None
    assert replace(AHEAD, cells={"dense": CELLS["dense"]}).median("accuracy") is None


def test_the_smallest_effect_that_matters_is_the_protocols():
    ahead = replace(AHEAD, min_effect={"accuracy": Tolerance(abs=0.01, rel=0.1)})
    assert ahead.effect("filter-0.5", "accuracy") == Tolerance(0.01, 0.1).bound(0.7)
    assert replace(AHEAD, min_effect={}).effect("dense", "accuracy") == EXACT.bound(0.95) == 0
