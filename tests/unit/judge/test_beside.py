"""No file that lies beside a baseline makes a verdict milder than the baseline's own numbers allow."""

import math
from dataclasses import replace

import hypothesis
from hypothesis import strategies as st
from judged_cells import PRIOR, circumstances

from pytest_prunecal.judge.judging import judge
from pytest_prunecal.judge.noise import Level
from pytest_prunecal.judge.pooled import together
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import AUTO, EXACT, Tolerance
from pytest_prunecal.study.trace import Jitter
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

NAMES = ("accuracy", "ece", "nll", "macs", "mine")
QUICK = load("quick", BUILT_IN)
FLAT = Noise(1, 0.4, {kind: {"default": Share()} for kind in KINDS})  # a prior that expects nothing
EFFECT = {"accuracy": Tolerance(abs=0.005), "macs": Tolerance(rel=0.01)}
MOST = 9

any_number = st.floats() | st.sampled_from([0.0, -0.0, 1e-320, 1e300, -1e300, math.nan, math.inf, -math.inf])
by_name = st.dictionaries(st.sampled_from([*NAMES, "other"]), any_number) | st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.sampled_from([-1.0, 0.0, 1e-9, 1.0]))  # flattering in one direction or the other
)
lists_by_name = st.dictionaries(st.sampled_from(NAMES), st.lists(any_number, max_size=12))
pairings = st.builds(Pairing, same_base=st.booleans(), changes=by_name, change_sd=by_name)
jitters = st.none() | st.builds(Jitter, metrics=lists_by_name)
sure = st.builds(Uncertainty, st.none() | st.floats(0, 0.05)) | st.builds(
    Uncertainty, st.none() | st.floats(0, 0.05), st.floats(0, 0.05), st.sampled_from([2, 3, 12, 100])
)
fractions = st.floats(0, 1).map(lambda value: round(value, 4))


@st.composite
def comparisons(draw, seeds=(1, 2, 5, 9)):
    """One cell's numbers on both sides, what is known of them, and what is forged beside the baseline."""
    count = draw(st.sampled_from(seeds))
    accepted = {name: draw(fractions) for name in NAMES} | {"macs": draw(st.integers(0, 1000))}
    near = draw(st.booleans())  # to the accepted numbers, or anywhere
    measured = {
        name: mean + draw(st.floats(-0.05, 0.05)) if near else draw(fractions)
        for name, mean in accepted.items()
    } | {"macs": draw(st.integers(0, 1000))}
    spread = draw(st.sampled_from([0.0, 0.001]))
    each = {
        name: [value + (spread * (2 * seed - count + 1) if name != "macs" else 0) for seed in range(count)]
        for name, value in measured.items()
    }
    errors = {name: draw(st.just(UNKNOWN) | sure).recorded for name in NAMES}
    # The first accepted seed that people reviewed.
    errors = {
        name: replace(one, first=accepted[name] + 0.5 * one.reach) if one.sd and draw(st.booleans()) else one
        for name, one in errors.items()
    }
    share_base = draw(st.booleans())
    alone = circumstances(
        draw(st.sampled_from([QUICK.noise, PRIOR, FLAT])),
        draw(st.sampled_from([1e-2, 1e-5])),
        most=MOST,
        min_effect=draw(st.sampled_from([{}, EFFECT])),
        accepted=errors,
        dense={"accuracy": draw(fractions)},
        levels={"finetune": {"ece": Level(2.0, 0.5)}},
        same_base=share_base and draw(st.booleans()),
        share_base=(share_base, share_base),
        tuned=draw(st.booleans()),
        each=each,
        first={name: one.first for name, one in errors.items() if one.first is not None},
    )
    mixed = {name: draw(st.sampled_from([AUTO, EXACT, Tolerance(abs=0.01)])) for name in NAMES}
    rules = draw(st.sampled_from([{}, mixed]))
    # A forger may know what will be measured.
    known = {name: list(values) for name, values in each.items()}
    accepted_each = draw(st.sampled_from([known, known, {}]) | lists_by_name)
    # What the file has of the first seeds stands; for the others, those of the forger do.
    first = {name: values[0] for name, values in accepted_each.items() if values} | dict(alone.first)
    accepted_each = {
        name: [first[name], *values[1:]] if values else [] for name, values in accepted_each.items()
    }
    sides = replace(
        alone.sides,
        accepted_each=accepted_each,
        pairing=draw(pairings),
        jitter=draw(jitters),
        traced=draw(st.booleans()),
    )
    differences = draw(st.sampled_from([None, ()]))
    forged = replace(alone, sides=sides, first=first, differences=differences)
    return measured, accepted, rules, alone, forged


def by_metric(verdict):
    return {row.metric: row for row in verdict.metrics}


@hypothesis.settings(max_examples=120)
@hypothesis.given(comparisons())
def test_what_fails_by_the_baseline_alone_fails(case):
    measured, accepted, rules, alone, beside = case
    before = by_metric(judge(measured, accepted, rules, METRICS, replace(alone, first={})))
    after = by_metric(judge(measured, accepted, rules, METRICS, beside))
    for name, row in before.items():
        found = after[name]
        if row.status.fails and not found.status.fails:
            # One seed's numbers that stand in the file, which people review, or that its deviation allows.
            assert found.replayed
            errors = alone.sides.accepted[name]
            rounding = 0.5 if name == "macs" else 1e-4
            assert abs(row.change) <= errors.reach + rounding + 1e-9
            if row.tolerance.auto:
                assert (alone.sides.seeds, errors.first is None) == (1, False)
        if row.tolerance.auto and not found.replayed:
            assert found.p_value <= row.p_value
            assert found.bound <= row.bound or found.status.fails
        assert not math.isnan(found.bound)


@hypothesis.settings(max_examples=70)
@hypothesis.given(comparisons(seeds=(1, 2)))
def test_fewer_looks_are_had_only_of_a_first_seed_that_came_out_as_reviewed(case):
    measured, accepted, _, alone, beside = case
    before = by_metric(judge(measured, accepted, {}, METRICS, replace(alone, first={})))
    after = by_metric(judge(measured, accepted, {}, METRICS, beside))
    for name, row in before.items():
        found = after[name]
        if row.more and not found.more and not (found.status.fails or found.replayed):
            errors = alone.sides.accepted[name]
            first = errors.first if errors.seeds > 1 else accepted[name]
            assert (alone.sides.seeds, first is None) == (1, False)
            assert row.p_value > alone.level
            sign = -1 if name in METRICS and METRICS[name].higher_is_better else 1
            worse = sign * (alone.sides.each[name][0] - first)
            scale, single = row.allowance.scale, row.allowance.unit
            effect = alone.min_effect.get(name, EXACT).bound(accepted[name])
            most = max(scale.worsening(first, 1.5 * 0.3 * 2**0.5 * single), effect)
            assert worse <= most * (1 + 1e-6) + 1e-9 or not alone.sides.same_base


@hypothesis.settings(max_examples=20)
@hypothesis.given(
    st.lists(comparisons(seeds=(1, 5)), min_size=2, max_size=5), st.sampled_from([0.01, 0.0005])
)
def test_a_regression_of_pooled_cells_by_the_baseline_alone_stays_one(cases, level):
    def found(which):
        cells = []
        for position, case in enumerate(cases):
            given = case[which]
            given = replace(
                given,
                first=given.first if which == 4 else {},
                sides=replace(given.sides, same_base=True, share_base=(True, True), tuned=True),
            )
            cells.append(("ab"[position % 2], judge(case[0], case[1], {}, METRICS, given)))
        rows = together(cells, METRICS, {}, level)
        return {(row.group, row.metric) for row in rows if row.status is Status.REGRESSION}

    assert found(3) <= found(4)


@hypothesis.given(sure)
def test_the_reach_of_one_seed_is_what_seeds_can_show(uncertainty):
    found = uncertainty.recorded
    if found.sd is None:
        assert found.reach == 0
    else:
        # The farthest: all others equal.
        farthest = uncertainty.sd * (uncertainty.seeds - 1) / math.sqrt(uncertainty.seeds)
        assert farthest <= found.reach * (1 + 1e-9) + 1e-12
        assert found.reach <= 1.1 * farthest + 1e-12
