"""How a cell is looked at under `auto`: over how many seeds, against what, and what that comes to."""

import itertools
import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from judged_cells import accepted, drawn, judged, looks_at

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.tolerance import EXACT, Tolerance
from pytest_prunecal.study.trace import Jitter
from pytest_prunecal.study.uncertainty import Uncertainty

EACH = [0.105, 0.1, 0.098, 0.09, 0.102, 0.11, 0.097, 0.1, 0.094, 0.101, 0.104, 0.099]
MEAN, SURE = accepted(EACH)
MEANS, ERRORS = {"ece": MEAN}, {"ece": SURE}
EFFECT = {"ece": Tolerance(abs=0.005)}
QUIET = Noise(4, 0.0, {kind: {"default": Share(error=0.02)} for kind in KINDS})
TRACED = {"traced": True, "accepted_each": {"ece": EACH}, "differences": ()}


def ece(*values, **given):
    return judged({"ece": list(values)}, MEANS, ERRORS, **given)


def settled(*values, **given):
    return ece(*values, **given).more == 0


def test_nothing_is_a_regression_on_a_single_training():
    bad = [0.9, 0.9, 0.9, 0.9, 0.9]
    verdicts = looks_at({"ece": bad * 4}, MEANS, ERRORS)
    assert [(one.seeds, one.status, one.more) for one in verdicts] == [
        (1, Status.OK, 2),
        (2, Status.OK, 3),
        (3, Status.OK, 5),
        (5, Status.REGRESSION, 0),
    ]
    assert verdicts[0].metrics[0].p_value < 1e-4


def test_one_training_that_went_wrong_is_forgiven():
    verdicts = looks_at({"ece": [0.9, *EACH, *EACH]}, MEANS, ERRORS)
    assert verdicts[-1].status is Status.OK
    assert verdicts[-1].seeds > 1
    assert looks_at({"ece": [0.9, 0.9, *EACH, *EACH]}, MEANS, ERRORS)[-1].seeds >= 5


def test_a_cell_in_no_doubt_is_looked_at_once():
    assert settled(MEAN)
    assert settled(0.01)
    assert not settled(0.13)


def test_a_cell_that_fails_already_asks_for_no_more():
    seeds = {"ece": [0.13], "nll": [0.6]}
    fixed = {"nll": EXACT}
    both = judged(seeds, MEANS | {"nll": 0.5}, ERRORS, fixed)
    assert (both.status, both.more) == (Status.REGRESSION, 0)
    assert both.metrics[0].more == 2
    lost = judged(seeds, MEANS, ERRORS)
    assert (lost.status, lost.more) == (Status.MISSING, 0)


def test_an_improvement_is_beyond_the_bound_and_more_than_noise_of_so_many_seeds():
    one, five = ece(0.075), ece(*[0.075] * 5)
    for verdict in (one, five):
        assert -verdict.metrics[0].change > 0
        assert verdict.metrics[0].bound < 0.025
    assert (one.status, five.status) == (Status.OK, Status.IMPROVEMENT)
    assert ece(*[0.075] * 5, min_effect={"ece": Tolerance(abs=0.026)}).status is Status.OK
    assert ece(*[0.09] * 5).status is Status.OK


@pytest.mark.parametrize(("most", "seeds"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (16, [1, 2, 3, 5])])
def test_caps(most, seeds):
    verdicts = looks_at({"ece": [0.9] * 16}, MEANS, ERRORS, most)
    assert [one.seeds for one in verdicts] == seeds
    assert verdicts[-1].status is Status.REGRESSION


def test_where_looks_begin_later_they_decide_at_once():
    assert looks_at({"ece": [0.9] * 16}, MEANS, ERRORS, start=7)[0].status is Status.REGRESSION
    assert [one.seeds for one in looks_at({"ece": [0.115] * 16}, MEANS, ERRORS, start=3)][:2] == [3, 5]


def test_quiet_cells_allow_the_smallest_effect_that_matters_and_no_more():
    quiet = {**TRACED, "jitter": Jitter(metrics={"ece": [1e-5] * 8}), "min_effect": EFFECT}
    each = [MEAN + 0.1 * (value - MEAN) for value in EACH]
    calm = {"ece": accepted(each)[1]}
    given = quiet | {"accepted_each": {"ece": each}, "noise": QUIET}
    near, far = ([value + by for value in each] + [0.1] * 4 for by in (0.0044, 0.0051))
    same = looks_at({"ece": near}, MEANS, calm, **given)
    assert [(one.seeds, one.status) for one in same] == [(1, Status.OK)]
    worse = looks_at({"ece": far}, MEANS, calm, **given)
    assert [one.seeds for one in worse] == [1, 2, 3, 5]
    assert worse[-1].status is Status.REGRESSION
    assert (worse[-1].metrics[0].allowance.kind, worse[-1].metrics[0].bound) == ("same seed", 0.005)


def test_a_seed_that_came_out_again_as_it_was_accepted_settles_the_cell():
    # The first accepted seed is a bad one: by the mean alone, it is looked at again.
    each = [0.13, *EACH[1:]]
    mean, sure = accepted(each)
    given = TRACED | {"accepted_each": {"ece": each}}

    def more(value, sure=sure, **given):
        return judged({"ece": [value]}, {"ece": mean}, {"ece": sure}, **given).more

    assert more(0.13) == 2
    assert more(0.1305, **given) == 0
    assert more(0.125, **given) == 0
    # Not where it came out worse, nor where the file does not have it, nor where it is condemned by the mean.
    assert more(0.15, **given) == 2
    assert more(0.13, replace(sure, first=None), **given) == 2
    condemned = given | {"accepted_each": {"ece": [0.9] * 12}}
    assert more(0.9, replace(sure, first=0.9), **condemned) == 2
    # Whatever lies beside the file.
    forged = given | {"accepted_each": {"ece": [0.15] * 12}}
    assert more(0.15, **forged) == 2
    forged["jitter"] = Jitter(metrics={"ece": [9.0] * 9})
    assert more(0.15, **forged) == 2


def test_more_seeds_of_another_single_base_network_end_too():
    given = {"same_base": False, "share_base": (True, True), "level": 0.001}
    verdicts = looks_at({"ece": [0.9] * 16}, MEANS, ERRORS, **given)
    assert [one.seeds for one in verdicts] == [1, 2, 3, 5]
    assert verdicts[-1].status is Status.REGRESSION
    # They could only take a regression back.
    assert [one.seeds for one in looks_at({"ece": [0.14] * 16}, MEANS, ERRORS, **given)] == [1]
    back = looks_at({"ece": [0.9, *[0.1] * 15]}, MEANS, ERRORS, **given)
    assert (back[-1].seeds, back[-1].status) == (2, Status.OK)


def test_replayed_seeds_are_identical():
    first = {"ece": 0.105}
    one = ece(0.105, first=first)
    assert (one.replayed, one.headline, one.more) == (True, "identical", 0)
    three = ece(*EACH[:3], first=first, accepted_each={"ece": EACH})
    assert (three.replayed, three.headline) == (True, "identical")
    for seeds in ([0.105, 0.1, 0.0981], [0.1051, 0.1, 0.098], [*EACH, 0.1]):
        assert not ece(*seeds, first=first, accepted_each={"ece": EACH}).replayed
    # The first alone says nothing of further seeds.
    assert not ece(*EACH[:3], first=first).replayed
    assert not ece(0.105, first=first | {"nll": 0.3}).replayed


@pytest.mark.parametrize("rules", [{}, {"ece": EXACT}])
def test_seeds_that_only_lie_beside_the_file_excuse_nothing(rules):
    forged = [0.105, *[0.115] * 4]  # each is near enough to the mean, and all of them are not
    verdict = ece(*forged, tolerances=rules, first={"ece": 0.105}, accepted_each={"ece": forged}, level=0.01)
    assert (verdict.status, verdict.replayed) == (Status.REGRESSION, False)
    unknown = {"ece": replace(SURE, first=None)}
    given = {"first": {"ece": 0.116}, "most": 1, "level": 0.05}
    assert judged({"ece": [0.116]}, MEANS, unknown, **given).status is Status.REGRESSION
    assert judged({"ece": [0.116]}, MEANS, {"ece": replace(SURE, first=0.116)}, **given).identical


@pytest.mark.parametrize("named", [{}, {"ece": 0.1, "mine": 0.2}])
def test_metrics_of_which_little_is_known(named):
    names = {"ece": 0.1, "mine": 0.2, "rpc": 1.08, "macs": 100, "sparsity": 0.5}
    bare = judged({name: [value] for name, value in names.items()}, names, {})
    assert (bare.status, bare.headline, bare.more) == (Status.OK, "identical", 0)
    worse = judged({name: [value * 1.5] for name, value in named.items()}, names, {}, same_base=False)
    assert worse.status is Status.MISSING


def test_a_quotient_better_than_the_best():
    for mean in (0.99, 1.0, 1.2):
        sure = {"rpc": Uncertainty(0.01, 0.02, 12)}
        assert judged({"rpc": [mean]}, {"rpc": mean}, sure).status is Status.OK
        bad = looks_at({"rpc": [mean - 0.5] * 16}, {"rpc": mean}, sure)
        assert bad[-1].status is Status.REGRESSION


GRID = {"accuracy": 0.97, "ece": 0.03, "nll": 0.1, "mpc": 0.8, "rpc": 0.83, "mine": 0.5, "macs": 1000}
metric = st.sampled_from(list(GRID))
sure_numbers = st.builds(Uncertainty, st.none() | st.floats(0, 0.1)) | st.builds(
    Uncertainty, st.none() | st.floats(0, 0.1), st.floats(0, 0.1), st.integers(2, 12)
)


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    metric,
    st.lists(st.floats(-1, 2), min_size=2, max_size=6),
    sure_numbers,
    st.sampled_from([1, 2, 5, 9]),
    st.booleans(),
    st.booleans(),
)
def test_worse_is_never_judged_milder(name, values, sure, count, same_base, traced):
    sign = 1 if name in METRICS and METRICS[name].higher_is_better else -1
    order = [Status.IMPROVEMENT, Status.OK, Status.REGRESSION]
    if name == "macs":
        order[0] = Status.CHANGED
    found = []
    for value in sorted(values, key=lambda value: -sign * value):
        given = {"same_base": same_base, "traced": traced, "accepted_each": {name: [GRID[name]] * 9}}
        verdict = judged(
            {name: [value] * count}, {name: GRID[name]}, {name: sure}, min_effect=EFFECT, **given
        )
        found.append(order.index(verdict.status))
    assert all(first <= second for first, second in itertools.pairwise(found))


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.permutations(list(GRID)), st.integers(0, 3))
def test_the_order_of_metrics_makes_no_difference(names, seed):
    random = np.random.default_rng(seed)
    seeds = {name: drawn(random, name, value, 0.2, 3) for name, value in GRID.items()}
    sure = dict.fromkeys(GRID, Uncertainty(0.01, 0.02, 5))
    plain = judged(seeds, GRID, sure)
    mixed = judged(
        {name: seeds[name] for name in names},
        {name: GRID[name] for name in names[::-1]},
        {name: sure[name] for name in names},
    )
    assert mixed == plain


any_float = st.floats(-1e300, 1e300) | st.sampled_from([0.0, -0.0, 1e-320, 0.5, 1.0])
any_sure = st.builds(Uncertainty, st.none() | st.floats(0, 1e300)) | st.builds(
    Uncertainty,
    st.none() | st.floats(0, 1e300),
    st.floats(0, 1e300),
    st.sampled_from([2, 12, 1000]),
    st.none() | any_float,
)


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    metric,
    st.lists(any_float, min_size=1, max_size=6),
    any_float,
    any_sure,
    st.booleans(),
    st.booleans(),
    st.none() | any_float,
)
@hypothesis.example(
    name="ece", values=[0.0], mean=0.0, sure=Uncertainty(), tuned=True, same_base=False, dense=None
)
@hypothesis.example(
    name="accuracy",
    values=[1.0] * 5,
    mean=1.0,
    sure=Uncertainty(0.0, 0.0, 12, 1.0),
    tuned=True,
    same_base=False,
    dense=1.0,
)
def test_any_finite_numbers_get_a_verdict(name, values, mean, sure, tuned, same_base, dense):
    given = {
        "tuned": tuned,
        "same_base": same_base,
        "dense": {} if dense is None else {name: dense},
        "accepted_each": {name: values[::-1]},
        "traced": True,
        "first": {name: values[0]},
    }
    verdict = judged({name: values}, {name: mean}, {name: sure.recorded}, min_effect=EFFECT, **given)
    (row,) = verdict.metrics
    assert not math.isnan(row.bound)
    assert 0 <= row.p_value <= 1
    assert row.more == 0 or len(values) < row.more <= 16
