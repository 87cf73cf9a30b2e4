"""No file that lies beside a baseline makes a verdict milder than the baseline's own numbers allow."""

from __future__ import annotations

import math
from dataclasses import replace

import hypothesis
from hypothesis import strategies as st

from pytest_prunecal.judge.pooled import together
from pytest_prunecal.judge.verdict import Circumstances, Status, judge
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import AUTO, EXACT, Tolerance
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

NAMES = ("accuracy", "ece", "nll", "macs", "mine")
QUICK = load("quick", BUILT_IN)
FLAT = Noise(1, 0.4, {kind: {"default": Share()} for kind in KINDS})  # a prior that expects nothing
EFFECT = {"accuracy": Tolerance(abs=0.005), "macs": Tolerance(rel=0.01)}

any_number = st.floats() | st.sampled_from([0.0, -0.0, 1e-320, 1e300, -1e300, math.nan, math.inf, -math.inf])
by_name = st.dictionaries(st.sampled_from([*NAMES, "other"]), any_number) | st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.sampled_from([-1.0, 0.0, 1e-9, 1.0]))  # flattering in one direction or the other
)
forged = st.builds(
    Pairing,
    same_base=st.booleans(),
    paired=by_name,
    changes=by_name,
    change_errors=by_name,
    change_spread=st.dictionaries(
        st.sampled_from(NAMES),
        st.lists(st.tuples(st.integers(-(10**12), 10**12) | st.integers(-1, 4), any_number), max_size=3),
    ),
)
sure = st.builds(Uncertainty, st.none() | st.floats(0, 0.05)) | st.builds(
    Uncertainty, st.none() | st.floats(0, 0.05), st.floats(0, 0.05), st.sampled_from([2, 3, 12, 100])
)
fractions = st.floats(0, 1).map(lambda value: round(value, 4))


@st.composite
def comparisons(draw):
    """One cell's numbers on both sides, what is known of them, and what is forged beside the baseline."""
    accepted = {name: draw(fractions) for name in NAMES} | {"macs": draw(st.integers(0, 1000))}
    near = draw(st.booleans())  # to the accepted numbers, or anywhere
    measured = {
        name: mean + draw(st.floats(-0.05, 0.05)) if near else draw(fractions)
        for name, mean in accepted.items()
    } | {"macs": draw(st.integers(0, 1000))}
    circumstances = Circumstances(
        draw(st.sampled_from([QUICK.noise, FLAT])),
        0.01,
        comparisons=draw(st.sampled_from([5, 100])),  # few, as quantiles take their time
        min_effect=draw(st.sampled_from([{}, EFFECT])),
        measured={name: draw(st.just(UNKNOWN) | sure) for name in NAMES},
        accepted={name: draw(st.just(UNKNOWN) | sure) for name in NAMES},
        dense={"accuracy": draw(fractions)},
        same_base=draw(st.booleans()),
    )
    mixed = {name: draw(st.sampled_from([AUTO, EXACT, Tolerance(abs=0.01)])) for name in NAMES}
    rules = draw(st.sampled_from([{}, mixed]))
    # Those of a forger, who may know what will be measured.
    first = {name: value for name, value in measured.items() if draw(st.booleans())} | draw(by_name)
    chosen = draw(st.sampled_from([measured, first]))
    return (
        measured,
        accepted,
        rules,
        circumstances,
        replace(circumstances, pairing=draw(forged), first=draw(st.sampled_from([first, dict(chosen), {}]))),
    )


def by_metric(verdict):
    return {row.metric: row for row in verdict.metrics}


@hypothesis.settings(max_examples=250)
@hypothesis.given(comparisons())
def test_a_regression_by_the_baseline_alone_stays_one(case):
    measured, accepted, rules, alone, beside = case
    before = by_metric(judge(measured, accepted, rules, METRICS, alone))
    after = by_metric(judge(measured, accepted, rules, METRICS, beside))
    for name, row in before.items():
        found = after[name]
        if row.status is Status.REGRESSION and found.status is not Status.REGRESSION:
            # A fixed tolerance knows nothing of seeds; their deviation, which people review, allows this one.
            assert not row.tolerance.auto
            assert found.replayed
            assert alone.accepted != dict.fromkeys(NAMES, UNKNOWN)
            rounding = 0.5 if name == "macs" else 1e-4
            assert abs(row.change) <= alone.accepted[name].reach + rounding + 1e-9
        if row.tolerance.auto:
            assert found.p_value <= row.p_value
            assert found.allowance.sd <= row.allowance.sd
            assert math.isfinite(found.bound)
            assert found.alone == row.allowance


@hypothesis.settings(max_examples=60)
@hypothesis.given(st.lists(comparisons(), min_size=2, max_size=6), st.sampled_from([0.01, 0.0005]))
def test_a_regression_of_all_cells_together_by_the_baseline_alone_stays_one(cases, level):
    def found(which):
        cells = [judge(case[0], case[1], {}, METRICS, replace(case[which], same_base=True)) for case in cases]
        rows = together(cells, METRICS, {}, level, 8)
        return {row.metric for row in rows if row.status is Status.REGRESSION}

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
