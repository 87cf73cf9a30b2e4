"""All cells of a model together."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st
from scipy import stats

from pytest_prunecal.judge.pooled import pooled, together
from pytest_prunecal.judge.verdict import Circumstances, Status, judge
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.prior import Noise, Share
from pytest_prunecal.study.tolerance import EXACT, Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

PRIOR = {"default": Share(error=1)}
NOISE = Noise(8, 0.4, {"finetune": PRIOR, "change": PRIOR, "retrain": PRIOR})
SAME = Pairing(same_base=True)
FAINT = {kind: {"default": Share(error=0.05)} for kind in NOISE.shares}
LEVEL = 0.0005


def row(change, se=0.01, name="ece", pairing=SAME, rules=None, sd=None, seeds=1):
    """One cell's comparison; its change has a deviation of twice its sampling error."""
    one, accepted = Uncertainty(se), Uncertainty(se, sd, seeds)
    given = Circumstances(
        NOISE,
        0.01,
        comparisons=20,
        measured={name: one},
        accepted={name: accepted},
        pairing=pairing,
    )
    (found,) = judge({name: 0.5 + change}, {name: 0.5}, rules or {}, METRICS, given).metrics
    return found


def pool(rows, effect=EXACT):
    return pooled(rows, METRICS, {row.metric: effect for row in rows}, LEVEL, NOISE.freedom)


def test_two_cells_by_hand():
    (found,) = pool([row(0.01, 0.005), row(0.03, 0.01)])
    # Deviations .01 and .02, hence weights .8 and .2.
    sd = math.sqrt(0.008**2 + 0.004**2)
    assert (found.metric, found.cells, found.status) == ("ece", 2, Status.OK)
    assert found.change == pytest.approx(0.8 * 0.01 + 0.2 * 0.03)
    assert found.bound == pytest.approx(stats.t.isf(LEVEL, 8) * sd)
    assert found.detectable == pytest.approx(found.bound + stats.t.isf(0.05, 8) * sd)
    assert found.p_value == pytest.approx(stats.t.sf(found.change / sd, 8))


def test_deviations_over_seeds_correct_the_prior_of_all_cells_at_once():
    # Each of two cells varies half as much again as the prior expects of its 3 seeds.
    expected = math.sqrt(2) * 0.01
    (found,) = pool([row(0.01, sd=1.5 * expected, seeds=3) for _ in range(2)])
    factor = (8 + 2 * 2 * 1.5**2) / (8 + 4)
    sd = math.sqrt(factor / 2) * expected * math.sqrt(1 + 1 / 3)
    assert found.bound == pytest.approx(stats.t.isf(LEVEL, 12) * sd)
    assert found.detectable == pytest.approx(found.bound + stats.t.isf(0.05, 12) * sd)
    (louder,) = pool([row(0.01, sd=3 * expected, seeds=3) for _ in range(2)])
    assert louder.bound > found.bound


def test_a_regression_that_no_cell_shows():
    rows = [row(0.04) for _ in range(8)]  # two deviations each
    assert {found.status for found in rows} == {Status.OK}
    (found,) = pool(rows)
    assert (found.status, found.cells) == (Status.REGRESSION, 8)
    assert found.change == pytest.approx(0.04)
    assert found.change > found.bound
    assert found.p_value < LEVEL


@pytest.mark.parametrize(("name", "worse"), [("ece", 0.04), ("accuracy", -0.04)])
def test_directions(name, worse):
    def of(change):
        (found,) = pool([row(change, name=name) for _ in range(8)])
        return found.status

    assert [of(worse), of(0.0), of(-worse)] == [Status.REGRESSION, Status.OK, Status.IMPROVEMENT]


def test_changes_that_cancel_are_none():
    (found,) = pool([row(change) for change in (0.04, -0.04) * 4])
    assert (found.status, found.change) == (Status.OK, pytest.approx(0))


def test_the_mean_has_a_smallest_effect_of_its_own():
    rows = [row(0.04) for _ in range(8)]
    assert pool(rows, Tolerance(abs=0.041))[0].status is Status.OK
    assert pool(rows, Tolerance(rel=0.0801))[0].status is Status.OK
    assert pool(rows, Tolerance(abs=0.035))[0].status is Status.REGRESSION
    assert pool(rows, Tolerance(abs=0.041))[0].p_value == 1


def test_what_is_not_independent_is_left_out():
    other = [row(0.04, pairing=Pairing()) for _ in range(4)]
    dense = row(0.0, pairing=Pairing(same_base=True, tuned=False))
    fixed = row(0.04, rules={"ece": Tolerance(abs=1)})
    assert pool([*other, dense, fixed]) == ()
    assert pool([*other, dense, fixed, row(0.04)]) == ()  # one is not many
    (found,) = pool([*other, dense, fixed, row(0.04), row(0.02)])
    assert (found.cells, found.change) == (2, pytest.approx(0.03))


def test_metric_by_metric_in_their_order():
    rows = [row(0.01, name=name) for name in ("mine", "ece", "accuracy") for _ in range(2)]
    assert [found.metric for found in pool(rows)] == ["accuracy", "ece", "mine"]
    assert pool([]) == ()


@hypothesis.given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.1)), min_size=2, max_size=12))
def test_together_is_never_duller_than_the_sharpest_cell(cells):
    rows = [row(change, se) for change, se in cells]
    (found,) = pool(rows)
    assert found.detectable <= min(
        stats.t.isf(LEVEL, 8) * one.allowance.sd + stats.t.isf(0.05, 8) * one.allowance.sd for one in rows
    ) * (1 + 1e-9)
    changes = [one.allowance.change for one in rows]
    assert min(changes) - 1e-12 <= found.change <= max(changes) + 1e-12


def cell(change, pairing=SAME, first=None, noise=NOISE):
    """A cell of three accepted seeds, as the baseline and what lies beside it have it."""
    given = Circumstances(
        noise,
        0.01,
        comparisons=20,
        measured={"ece": Uncertainty(0.01)},
        accepted={"ece": Uncertainty(0.01, 0.035, 3)},
        same_base=True,
        pairing=pairing,
        first=first or {},
    )
    return judge({"ece": 0.5 + change}, {"ece": 0.5}, {}, METRICS, given)


def of(cells):
    return [row.status for row in together(cells, METRICS, {}, LEVEL, NOISE.freedom)]


def test_first_seeds_that_nobody_can_review_hide_no_regression_of_all_cells():
    assert of([cell(0.04)] * 20) == [Status.REGRESSION]
    forged = cell(0.04, first={"ece": 0.54})
    assert forged.identical
    assert of([forged] * 20) == [Status.REGRESSION]
    assert of([cell(0.001, first={"ece": 0.501})] * 20) == []  # what repeats the first seed is not told of


def test_a_cell_made_sharp_from_beside_does_not_outweigh_the_others():
    noise = Noise(8, 0.4, FAINT)  # nearly all that the prior expects is the sampling error
    worse = [cell(0.05, noise=noise)] * 19
    assert of([*worse, cell(-0.05, noise=noise)]) == [Status.REGRESSION]
    sharp = Pairing(same_base=True, paired={"ece": 0.0})
    assert of([*worse, cell(-0.05, sharp, noise=noise)]) == [Status.REGRESSION]
