"""The looks at a cell: how many, and what they see, against NumPy and against `judge` itself."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from judged_cells import LEVEL, PRIOR, accepted, drawn, judged, looks_at, scaled_prior
from scipy import stats

from pytest_prunecal.judge.sequence import (
    EARLIEST,
    LIMITS,
    LOOKS,
    POWER,
    Plan,
    deviation,
    limit,
    next_look,
)
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.looks import MOST

FRESH = Plan(accepted=12, freedom=15, level=1e-5, most=16)


def test_the_known_constants():
    assert LOOKS == (1, 2, 3, 5, 9, 16)
    assert (EARLIEST, MOST, POWER) == (5, 16, 0.95)
    assert list(LIMITS) == list(LOOKS[:-1])
    assert list(LIMITS.values()) == sorted(LIMITS.values())
    assert [limit(seeds) for seeds in (1, 4, 5, 8, 16, 99)] == [LIMITS[look] for look in (1, 3, 5, 5, 9, 9)]


@pytest.mark.parametrize(
    ("most", "looks"),
    [
        (1, [1]),
        (2, [1, 2]),
        (4, [1, 2, 3, 4]),
        (5, [1, 2, 3, 5]),
        (7, [1, 2, 3, 5, 7]),
        (16, [*LOOKS]),
        (99, [*LOOKS]),
    ],
)
def test_a_cap_ends_the_looks(most, looks):
    plan = replace(FRESH, most=most)
    assert plan.looks == looks
    assert [plan.decides(look) for look in looks] == [look >= 5 or look == looks[-1] for look in looks]


@hypothesis.given(st.integers(1, 40), st.integers(1, 40))
def test_looks_come_to_an_end(seeds, most):
    look = next_look(seeds, most)
    assert look == 0 or seeds < look <= max(most, seeds)


def test_deviations_by_hand():
    assert deviation(4, 0) == 0.5
    assert deviation(4, 12) == pytest.approx((1 / 4 + 1 / 12) ** 0.5)
    assert FRESH.noise(5) == pytest.approx(stats.t.isf(1e-5, 15) * (1 / 5 + 1 / 12) ** 0.5)
    shared = replace(FRESH, one_base=True)
    assert shared.deviation(16) == shared.deviation(1) == FRESH.deviation(1)


def test_when_a_look_is_followed_by_another():
    assert FRESH.goes_on(1) == pytest.approx(LIMITS[1] * FRESH.deviation(1))
    # What is surely less than the smallest effect that matters is none of its business.
    effect = 9.0
    assert replace(FRESH, floor=effect).goes_on(1) == pytest.approx(effect - 2.33 * FRESH.deviation(1))
    same_seed = Plan(0, 6, 1e-5, 12, floor=effect)
    assert same_seed.goes_on(1) == effect
    # More seeds of one base network can only take a regression back.
    shared = replace(FRESH, one_base=True)
    assert shared.goes_on(1) == shared.goes_on(5) == shared.noise(1)


def by_numpy(plan, effect, runs, random):
    """Share of runs that find a true effect, and their mean number of seeds."""
    quantile = stats.t.isf(plan.level, plan.freedom)
    true = np.sqrt(plan.freedom / random.chisquare(plan.freedom, runs))
    yardstick = random.normal(size=runs) / np.sqrt(plan.accepted) if plan.accepted else np.zeros(runs)
    seeds = random.normal(size=(runs, 16))
    if plan.one_base:
        seeds = np.repeat(seeds[:, :1], 16, axis=1)
    alive, found, cost = np.ones(runs, bool), np.zeros(runs, bool), np.zeros(runs)
    looks = [look for look in (1, 2, 3, 5, 9, 16) if look < plan.most] + [plan.most]
    for look in looks:
        cost[alive] = look
        sd = np.sqrt((1 if plan.one_base else 1 / look) + (1 / plan.accepted if plan.accepted else 0))
        ordered = np.sort(seeds[:, :look], axis=1)
        mean = ordered.mean(1)
        steady = mean if look < 5 else mean - (ordered[:, -1] - ordered[:, -2]) / look
        change, judged_by = effect + true * (mean - yardstick), effect + true * (steady - yardstick)
        significant = (judged_by / sd >= quantile) & (change > plan.floor)
        rejected = alive & significant & (look >= 5 or look == plan.most)
        found |= rejected
        if plan.one_base:
            goes_on = change > max(quantile * sd, plan.floor)
        elif plan.accepted:
            goes_on = change > max(limit(look), plan.floor / sd - 2.33) * sd
        else:
            goes_on = change > max(limit(look) * sd, plan.floor)
        alive &= ~rejected & (goes_on | significant)
    return found.mean(), cost.mean()


PLANS = [
    FRESH,
    Plan(3, 6, 1e-4, 16),
    Plan(1, 4, 1e-3, 5),
    Plan(12, 15, 1e-5, 1),
    Plan(12, 15, 1e-5, 16, floor=6.0),
    Plan(0, 6, 1e-4, 12),
    Plan(0, 6, 1e-4, 12, floor=8.0),
    Plan(12, 15, 1e-5, 16, one_base=True),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_power_is_what_numpy_says(plan):
    random = np.random.default_rng(11)
    for share in (0.6, 0.8, 1.0, 1.2):
        effect = share * plan.detectable
        seen, _ = by_numpy(plan, effect, 20_000, random)
        assert plan.power(effect) == pytest.approx(seen, abs=0.03)
    assert plan.power(plan.detectable) == pytest.approx(POWER, abs=1e-3)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_noise_alone_is_found_no_oftener_than_the_rate(plan):
    found, _ = by_numpy(replace(plan, level=0.01), 0.0, 20_000, np.random.default_rng(5))
    looks = sum(plan.decides(look) for look in plan.looks)
    assert found <= 0.01 * looks + 4 * (0.01 / 20_000) ** 0.5


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    st.sampled_from([0, 1, 3, 12]),
    st.integers(1, 20),
    st.sampled_from([1e-5, 1e-3]),
    st.sampled_from([1, 3, 5, 16]),
)
def test_more_is_found_more_often(accepted_seeds, freedom, level, most):
    plan = Plan(accepted_seeds, freedom, level, most)
    powers = [plan.power(effect) for effect in (0.0, 1.0, 3.0, 10.0, 1e9)]
    assert powers == sorted(powers)
    assert powers[-1] == 1
    floored = replace(plan, floor=2 * plan.detectable)
    assert floored.detectable > plan.detectable


MEAN, SEEDS = 0.1, 8


def run(random, effect, *, most=16, level=LEVEL):
    """The looks at a cell whose metric got worse, in deviations as the baseline, drawn too, has them."""
    sd = scaled_prior("ece", MEAN) * np.sqrt(PRIOR.freedom / random.chisquare(PRIOR.freedom))
    mean, sure = accepted(drawn(random, "ece", MEAN, sd, SEEDS))
    means, errors = {"ece": mean}, {"ece": sure}
    (row,) = judged({"ece": [mean]}, means, errors).metrics
    worse = MEAN + row.allowance.scale.worsening(MEAN, effect * row.allowance.unit)
    return looks_at({"ece": drawn(random, "ece", worse, sd, 16)}, means, errors, most, level=level)


@pytest.mark.parametrize("effect", [2.5, 3.5, 5.0])
def test_a_run_of_judge_finds_what_the_plan_says(effect):
    random, runs = np.random.default_rng(2), 250
    plan = Plan(SEEDS, PRIOR.freedom + SEEDS - 1, LEVEL, 16)
    found = sum(run(random, effect)[-1].status is Status.REGRESSION for _ in range(runs))
    low, high = (stats.binom.ppf(tail, runs, plan.power(effect)) for tail in (1e-4, 1 - 1e-4))
    assert low - 0.02 * runs <= found <= high + 0.02 * runs


def test_a_run_without_a_change_passes_as_often_as_promised():
    random = np.random.default_rng(4)
    runs, level = 500, 0.01
    found = [run(random, 0.0, level=level) for _ in range(runs)]
    alarms = sum(looks[-1].status.fails for looks in found)
    # At most the level at each of three deciding looks.
    assert alarms <= stats.binom.isf(1e-4, runs, 3 * level)
    assert sum(looks[-1].seeds for looks in found) / runs < 1.6
    assert {looks[-1].seeds for looks in found} <= {*LOOKS}


@pytest.mark.parametrize("most", [1, 2, 4, 16])
def test_a_ruined_cell_is_found_at_the_first_look_that_may_decide(most):
    looks = run(np.random.default_rng(1), 200.0, most=most)
    assert looks[-1].status is Status.REGRESSION
    assert [one.seeds for one in looks] == {1: [1], 2: [1, 2], 4: [1, 2, 3, 4], 16: [1, 2, 3, 5]}[most]
    assert [one.more for one in looks][-1] == 0
    assert {one.status for one in looks[:-1]} <= {Status.OK}
