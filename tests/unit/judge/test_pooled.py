"""Cells of a model together, pruner by pruner and all at once."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from judged_cells import PRIOR, accepted, drawn, judged, scaled_prior
from scipy import stats

from pytest_prunecal.judge.pooled import ALL, OF_FEW_SEEDS, together
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.trace import Jitter
from pytest_prunecal.study.uncertainty import Uncertainty

LEVEL = 0.0005
MINE = {"mine": 0.5}  # judged as it is: the unit of its scale is its own


def cell(*changes, name="mine", se=0.01, sd=None, seeds=1, mean=0.5, **given):
    """A cell whose metric changed by this under each seed, for the better if negative."""
    sign = -1 if name in METRICS and METRICS[name].higher_is_better else 1
    sure = {name: Uncertainty(se, sd, seeds)}
    return judged({name: [mean + sign * change for change in changes]}, {name: mean}, sure, **given)


def pool(cells, effect=None, level=LEVEL, pruner="weight"):
    return together([(pruner, one) for one in cells], METRICS, effect or {}, level)


def test_two_cells_by_hand():
    (found,) = pool([cell(0.01, sd=0.005, seeds=12), cell(0.03, sd=0.01, seeds=12)])
    prior = 1.4 * 0.01**2
    own = [(4 * prior + 11 * sd * sd) / 15 * (1 + 1 / 12) for sd in (0.005, 0.01)]
    weights = [1 / variance for variance in own]
    shares = [weight / sum(weights) for weight in weights]
    assert (found.group, found.metric, found.cells, found.status) == (ALL, "mine", 2, Status.OK)
    assert found.change == pytest.approx(shares[0] * 0.01 + shares[1] * 0.03)
    satterthwaite = 15 / sum(share * share for share in shares)
    freedom = round(1 / (1 / satterthwaite + 1 / (4 + 11 + 11)))  # the prior is one and the same
    assert 10 < freedom < 15 < satterthwaite < 30
    # Each change over its deviation is a Student's t, and the mean taken for one of the same variance.
    sd = math.sqrt(sum(share**2 * one * 15 / 13 for share, one in zip(shares, own, strict=True)))
    sd *= math.sqrt((freedom - 2) / freedom)
    assert found.bound == pytest.approx(stats.t.isf(LEVEL, freedom) * sd)
    assert found.detectable == pytest.approx(found.bound + stats.t.isf(0.05, freedom) * sd)
    assert found.p_value == pytest.approx(stats.t.sf(found.change / sd, freedom))


def test_what_hardly_weighs_adds_nothing():
    (found,) = pool([cell(0.01, sd=0.005, seeds=12), cell(0.03, se=1e3, sd=1e3, seeds=12)])
    deviation = math.sqrt((4 * 1.4 * 0.01**2 + 11 * 0.005**2) / 15 * (1 + 1 / 12))
    freedom = round(1 / (1 / 15 + 1 / 26))
    sd = deviation * math.sqrt(15 / 13 * (freedom - 2) / freedom)
    assert found.bound == pytest.approx(stats.t.isf(LEVEL, freedom) * sd, rel=1e-3)


def test_the_priors_error_is_that_of_all_cells_alike():
    # Of single accepted seeds only the prior is known, however many cells there are.
    (found,) = pool([cell(0.01) for _ in range(20)])
    sd = math.sqrt(1.4 * 2 / 20) * 0.01
    assert found.bound == pytest.approx(stats.t.isf(OF_FEW_SEEDS * LEVEL, 8) * sd)
    (several,) = pool([cell(0.01, sd=math.sqrt(1.4) * 0.01, seeds=2) for _ in range(20)])
    freedom = round(1 / (1 / (8 * 20) + 1 / (4 + 20)))
    sd = math.sqrt(1.4 * 1.5 / 20 * 8 / 6 * (freedom - 2) / freedom) * 0.01
    assert several.bound == pytest.approx(stats.t.isf(OF_FEW_SEEDS * LEVEL, freedom) * sd)
    assert OF_FEW_SEEDS == 0.1  # as measured


def test_a_regression_that_no_cell_shows():
    cells = [cell(0.03, sd=0.012, seeds=12) for _ in range(8)]
    assert {one.status for one in cells} == {Status.OK}
    (found,) = pool(cells)
    assert (found.status, found.cells) == (Status.REGRESSION, 8)
    assert found.change > found.bound
    assert found.p_value < LEVEL


@pytest.mark.parametrize(("name", "sign"), [("ece", 1), ("accuracy", -1), ("mine", 1)])
def test_directions(name, sign):
    def of(change):
        (found,) = pool([cell(change, name=name, sd=0.012, seeds=12) for _ in range(8)])
        assert found.change == pytest.approx(sign * change)
        return found.status

    assert [of(0.03), of(1e-3), of(-0.03)] == [Status.REGRESSION, Status.OK, Status.IMPROVEMENT]


def test_changes_that_cancel_are_none():
    (found,) = pool([cell(change) for change in (0.04, -0.04) * 4])
    assert (found.status, found.change) == (Status.OK, pytest.approx(0))


def test_the_mean_has_a_smallest_effect_of_its_own():
    cells = [cell(0.03, sd=0.012, seeds=12) for _ in range(8)]
    for effect, status in (
        (Tolerance(abs=0.031), Status.OK),
        (Tolerance(rel=0.0601), Status.OK),
        (Tolerance(abs=0.025), Status.REGRESSION),
    ):
        (found,) = pool(cells, {"mine": effect})
        assert (found.status, found.p_value == 1) == (status, status is Status.OK)


def test_only_the_first_seed_of_each_takes_part():
    # How many more there are depends on how bad the first ones were.
    once, longer = ([cell(0.01, *more, sd=0.012, seeds=12)] * 4 for more in ([], [0.5, 0.5]))
    assert pool(longer) == pool(once)


def test_what_is_not_of_the_same_base_network_is_left_out():
    other = [cell(0.04, same_base=False) for _ in range(4)]
    fixed = cell(0.04, tolerances={"mine": Tolerance(abs=1)})
    unchanged = cell(0.0)
    assert pool([*other, fixed, unchanged]) == ()
    assert pool([*other, fixed, unchanged, cell(0.04)]) == ()  # one is not many
    (found,) = pool([*other, fixed, unchanged, cell(0.04), cell(0.02)])
    assert (found.cells, found.change) == (2, pytest.approx(0.03))
    assert pool([cell(0.04, tuned=False), cell(0.02, tuned=False)], pruner=None) == ()
    assert pool([]) == ()


def test_pruner_by_pruner_where_there_are_several():
    bad, good = ([cell(change, sd=0.012, seeds=12) for _ in range(6)] for change in (0.04, -0.039))
    rows = together([("weight", one) for one in bad] + [("filter", one) for one in good], METRICS, {}, LEVEL)
    assert [(row.group, row.status, row.cells) for row in rows] == [
        (ALL, Status.OK, 12),
        ("weight", Status.REGRESSION, 6),
        ("filter", Status.IMPROVEMENT, 6),
    ]
    assert [row.group for row in pool(bad)] == [ALL]
    alone = together([*(("weight", one) for one in bad), ("filter", cell(0.01))], METRICS, {}, LEVEL)
    assert [(row.group, row.cells) for row in alone] == [(ALL, 7), ("weight", 6)]


def test_metric_by_metric_in_their_order():
    cells = [cell(0.01, name=name) for name in ("mine", "ece", "accuracy") for _ in range(2)]
    assert [found.metric for found in pool(cells)] == ["accuracy", "ece", "mine"]


def test_the_same_seed_weighs_more():
    traced = {
        "traced": True,
        "accepted_each": {"mine": [0.491] * 12},
        "jitter": Jitter(metrics={"mine": [0.0] * 20}),
    }
    sharp = cell(0.001, sd=0.012, seeds=12, **traced)  # 0.01 worse than that seed was
    assert sharp.metrics[0].single.found.kind == "same seed"
    (found,) = pool([sharp, cell(0.03, sd=0.012, seeds=12)])
    assert 0.01 < found.change < 0.012


sizes = st.tuples(st.floats(0.002, 0.1), st.sampled_from([1, -1]), st.floats(0.001, 0.1))


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.lists(sizes, min_size=2, max_size=12))
def test_the_mean_lies_among_the_changes_and_is_known_better_than_any(drawn_cells):
    cells = [(size * sign, sd) for size, sign, sd in drawn_cells]
    (found,) = pool([cell(change, se=1e-9, sd=sd, seeds=12) for change, sd in cells])
    changes = [round(0.5 + change, 4) - 0.5 for change, _ in cells]
    assert min(changes) - 1e-9 <= found.change <= max(changes) + 1e-9
    # Nearly: of two cells of which one hardly weighs, the prior is less sure than each takes it for.
    alone = stats.t.isf(LEVEL, 15) * min(sd for _, sd in cells) * math.sqrt(13 / 12)
    assert found.bound < 1.15 * alone


def test_noise_alone_passes_as_often_as_promised():
    # Deviations that scatter as the prior says; its own error, the same of all cells, as well.
    random = np.random.default_rng(8)
    level, runs, alarms = 0.02, 250, 0
    for _ in range(runs):
        cells = []
        for _ in range(8):
            sd = scaled_prior("mine", 0.5) * np.sqrt(PRIOR.freedom / random.chisquare(PRIOR.freedom))
            mean, sure = accepted(drawn(random, "mine", 0.5, sd, 4))
            cells.append(judged({"mine": drawn(random, "mine", 0.5, sd, 1)}, {"mine": mean}, {"mine": sure}))
        alarms += any(row.status is Status.REGRESSION for row in pool(cells, level=level))
    assert alarms <= stats.binom.isf(1e-4, runs, level)


def test_a_wrong_prior_alone_passes_as_often_as_promised():
    random = np.random.default_rng(9)
    level, runs, alarms = 0.02, 250, 0
    for _ in range(runs):
        # Four degrees of freedom of the prior: so wrong it is, for all cells of a metric alike.
        sd = scaled_prior("mine", 0.5) * np.sqrt(PRIOR.freedom / random.chisquare(PRIOR.freedom))
        cells = []
        for _ in range(8):
            mean, sure = accepted(drawn(random, "mine", 0.5, sd, 1))
            cells.append(judged({"mine": drawn(random, "mine", 0.5, sd, 1)}, {"mine": mean}, {"mine": sure}))
        alarms += any(row.status is Status.REGRESSION for row in pool(cells, level=level))
    assert alarms <= stats.binom.isf(1e-4, runs, level)


def beside(change, **given):
    """A cell of three accepted seeds, whose first stands beside the file only."""
    return cell(change, sd=0.012, seeds=3, most=16, **given)


def of(cells):
    return [row.status for row in pool(cells)]


def test_first_seeds_that_nobody_can_review_hide_no_regression_of_all_cells():
    assert of([beside(0.013)] * 40) == [Status.REGRESSION]
    forged = beside(0.013, first={"mine": 0.513})
    assert forged.identical
    assert of([forged] * 40) == [Status.REGRESSION]
    assert of([beside(0.001, first={"mine": 0.501})] * 20) == []  # what repeats the first seed is not told of


def test_a_cell_made_sharp_from_beside_does_not_outweigh_the_others():
    sharp = {
        "traced": True,
        "accepted_each": {"mine": [0.55] * 3},
        "jitter": Jitter(metrics={"mine": [0.0] * 99}),
    }
    assert of([*[beside(0.02)] * 19, beside(0.0001, **sharp)]) == [Status.REGRESSION]
