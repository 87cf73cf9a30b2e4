"""Verdicts and tolerances, measurements and how metrics are written."""

import itertools
import json
import math
from types import MappingProxyType

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from judged_cells import circumstances

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.judge.judging import judge
from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study import yaml_reader
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric, in_order, known, recorded, written
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.tolerance import ALL, AUTO, EXACT, Tolerance, read_tolerances, resolve, rule_of
from pytest_prunecal.study.uncertainty import Uncertainty

NOISE = Noise(8, 0.4, {kind: {"default": Share()} for kind in KINDS})

finite = st.floats(-100, 100, allow_nan=False)
amounts = st.floats(0, 50).map(lambda value: round(value, 4))
names = st.sampled_from([*METRICS, "mine", "other"])
numbers = finite | st.integers(0, 10**9)
HIGHER = [name for name, metric in METRICS.items() if metric.higher_is_better]


def compared(found, baseline, tolerances=MappingProxyType({ALL: EXACT}), metrics=METRICS, **given):
    """Judge where nothing is said about noise: to the digit, unless tolerances say otherwise."""
    given = {"each": {name: [value] for name, value in found.items()}} | given
    return judge(found, baseline, tolerances, metrics, circumstances(NOISE, 0.001, **given))


def status(name, baseline, measured, tolerance=EXACT, metrics=METRICS):
    verdict = compared({name: measured}, {name: baseline}, {name: tolerance}, metrics)
    assert verdict.status is verdict.metrics[0].status
    return verdict.status


def test_directions():
    assert sorted(HIGHER) == ["accuracy", "int8", "mpc", "rpc", "sparsity"]
    room = Tolerance(abs=0.01)
    for name in METRICS:
        worse, better = (0.4, 0.6) if name in HIGHER else (0.6, 0.4)
        assert status(name, 0.5, worse, room) is Status.REGRESSION
        assert status(name, 0.5, better, room) is Status.IMPROVEMENT
        assert status(name, 0.5, 0.5, room) is Status.OK
    # Nothing is known of it: lower is better.
    assert status("mine", 0.5, 0.6, room) is Status.REGRESSION
    assert (
        status("mine", 0.5, 0.6, room, known([Metric("mine", higher_is_better=True)])) is Status.IMPROVEMENT
    )


@hypothesis.given(st.integers(-10_000, 10_000), st.integers(0, 5_000), st.sampled_from([-1, 1]), names)
def test_the_absolute_bound_is_exact(baseline, bound, sign, name):
    # In units of the last recorded digit; their binary representation must not show.
    room = Tolerance(abs=bound / 10_000)
    at = status(name, baseline / 10_000, (baseline + sign * bound) / 10_000, room)
    beyond = status(name, baseline / 10_000, (baseline + sign * (bound + 1)) / 10_000, room)
    assert at is Status.OK
    assert beyond is (Status.IMPROVEMENT if (sign > 0) == (name in HIGHER) else Status.REGRESSION)


def test_the_relative_bound_is_a_share_of_the_baseline():
    room = Tolerance(rel=0.05)
    assert status("macs", 1000, 1050, room) is Status.OK
    assert status("macs", 1000, 1051, room) is Status.REGRESSION
    assert status("macs", 1000, 949, room) is Status.IMPROVEMENT
    assert status("ece", -0.2, -0.19, room) is Status.OK  # of its magnitude
    assert status("ece", 0.0, 0.0001, room) is Status.REGRESSION


@hypothesis.given(amounts, amounts, finite)
def test_the_larger_bound_holds(absolute, relative, baseline):
    rule = Tolerance(absolute, relative)
    assert rule.bound(baseline) == max(absolute, relative * abs(baseline))


def test_without_a_rule_the_noise_decides():
    accepted = {"ece": 0.01, "nll": 0.5}
    sure = {name: Uncertainty(se=0.001) for name in accepted}
    both = {"measured": sure, "accepted": sure, "most": 1}
    for measured, found in ((0.0101, Status.OK), (0.2, Status.REGRESSION)):
        verdict = compared({"ece": measured, "nll": 0.5}, accepted, {}, **both)
        assert [(row.metric, row.status) for row in verdict.metrics] == [("ece", found), ("nll", Status.OK)]
        assert {row.tolerance for row in verdict.metrics} == {AUTO}
        assert all(row.bound == row.allowance.bound > 0 for row in verdict.metrics)


def test_where_nothing_is_noise_auto_allows_nothing():
    verdict = compared({"ece": 0.0101, "nll": 0.5}, {"ece": 0.01, "nll": 0.5}, {})
    assert [(row.metric, row.status) for row in verdict.metrics] == (
        [("ece", Status.REGRESSION), ("nll", Status.OK)]
    )


def test_below_the_smallest_effect_nobody_cares():
    effects = {"ece": Tolerance(abs=0.02), "macs": Tolerance(rel=0.1)}
    for ece, macs, found in ((0.12, 110, Status.OK), (0.1201, 110, Status.REGRESSION)):
        accepted = {"ece": 0.1, "macs": 100}
        assert compared({"ece": ece, "macs": macs}, accepted, {}, min_effect=effects).status is found
    better = compared({"ece": 0.0799, "macs": 90}, accepted, {}, min_effect=effects)
    assert [row.status for row in better.metrics] == [Status.IMPROVEMENT, Status.OK]


def test_the_network_that_was_accepted_passes_whatever_the_mean_over_seeds():
    measured = {"ece": 0.2, "accuracy": 0.5, "parameters": 11}
    accepted = {"ece": 0.1, "accuracy": 0.6, "parameters": 11}
    first = {"ece": 0.20001, "accuracy": 0.5}
    several = {"accepted": dict.fromkeys(first, Uncertainty(sd=0.12, seeds=3)), "first": first}
    verdict = compared(measured, accepted, **several)
    assert (verdict.status, verdict.replayed, verdict.headline) == (Status.OK, True, "identical")
    other = compared(measured | {"ece": 0.2001}, accepted, **several)
    assert (other.status, other.replayed) == (Status.REGRESSION, False)


@pytest.mark.parametrize(
    ("sure", "tolerance"),
    [
        ({}, EXACT),  # one seed is its own mean
        ({"ece": Uncertainty(sd=0.08, seeds=3)}, EXACT),  # no seed of three can be 0.1 away
        ({"ece": Uncertainty(se=0.001)}, AUTO),
        ({"ece": Uncertainty(se=0.001, sd=0.0125, seeds=99)}, AUTO),  # one of 99 could be, by bad luck
        # That is in the file, but not by how much.
        ({"ece": Uncertainty(se=0.001, sd=0.01, seeds=3, first=0.2)}, EXACT),
    ],
)
def test_a_first_seed_that_the_baseline_does_not_allow_excuses_nothing(sure, tolerance):
    given = {"accepted": sure, "measured": {"ece": Uncertainty(se=0.001)}, "first": {"ece": 0.2}, "most": 1}
    verdict = compared({"ece": 0.2}, {"ece": 0.1}, {"ece": tolerance}, **given)
    assert (verdict.status, verdict.replayed) == (Status.REGRESSION, False)


def test_whole_numbers_of_the_first_seed_are_as_far_from_their_mean_as_seeds_can_be():
    # 10, 11 and 14 channels: the mean is written as 12, the deviation as 2.1.
    given = {"accepted": {"macs": Uncertainty(sd=2.1, seeds=3)}, "first": {"macs": 14.0}}
    assert compared({"macs": 14}, {"macs": 12}, **given).identical
    assert compared({"macs": 16}, {"macs": 12}, **given | {"first": {"macs": 16.0}}).status.fails


def test_the_network_that_was_accepted_is_not_identical_where_another_metric_changed():
    first = {"first": {"ece": 0.2}, "accepted": {"ece": Uncertainty(sd=0.12, seeds=3)}}
    accepted = {"ece": 0.1, "mine": 0.5}
    worse = compared({"ece": 0.2, "mine": 0.6}, accepted, **first)
    assert (worse.status, worse.headline) == (Status.REGRESSION, "regression in mine")
    moved = compared({"ece": 0.2, "mine": 0.6}, accepted, {ALL: EXACT, "mine": Tolerance(abs=1)}, **first)
    assert (moved.status, moved.identical) == (Status.OK, False)


def test_a_metric_that_cannot_be_compared_says_why_and_the_others_are():
    verdict = compared(
        {"ece": 0.1, "mpc": 0.5}, {"ece": 0.1, "mpc": 0.9}, incomparable={"mpc": "other images"}
    )
    assert (verdict.status, verdict.headline) == (Status.INCOMPARABLE, "incomparable: other images")
    assert [row.status for row in verdict.metrics] == [Status.OK, Status.INCOMPARABLE]
    # Not even where the numbers happen to be those of the first seed.
    same = {"ece": 0.1, "mpc": 0.5}
    again = compared(same, same, first=same, incomparable={"mpc": "other images"})
    assert again.status is Status.INCOMPARABLE


STRUCTURE = [("parameters", 1000, 640), ("macs", 1000, 640), ("sparsity", 0.5, 0.6)]


@pytest.mark.parametrize(("name", "accepted", "found"), STRUCTURE)
def test_another_structure_fails_in_either_direction(name, accepted, found):
    given = {"same_base": True, "min_effect": {name: Tolerance(rel=0.005)}}
    better = compared({name: found}, {name: accepted}, {name: AUTO}, **given)
    assert (better.status, better.headline) == (Status.CHANGED, f"changed in {name}")
    assert compared({name: accepted}, {name: found}, {name: AUTO}, **given).status is Status.REGRESSION
    near = round(accepted * 1.004, 4) if name == "sparsity" else 996
    assert compared({name: near}, {name: accepted}, {name: AUTO}, **given).status is Status.OK
    # Whoever says how much worse it may get has said that less is welcome.
    assert status(name, accepted, found, Tolerance(rel=0.01)) is Status.IMPROVEMENT


def test_a_regression_is_graver_than_another_structure():
    verdict = compared(
        {"accuracy": 0.5, "macs": 500}, {"accuracy": 0.9, "macs": 1000}, {ALL: AUTO}, same_base=True
    )
    assert (verdict.status, verdict.headline) == (Status.REGRESSION, "regression in accuracy")
    assert [row.metric for row in verdict.having(Status.CHANGED)] == ["macs"]


def test_structure_between_base_networks_that_differ_is_judged_in_both_directions_by_its_noise():
    noise = Noise(8, 0.4, {kind: {"default": Share(value=0.02)} for kind in KINDS})

    def of(measured, seeds=1, **given):
        values = {"macs": [measured] * seeds}
        return judge(
            {"macs": measured}, {"macs": 1000}, {}, METRICS, circumstances(noise, each=values, **given)
        )

    for measured, status in ((400, Status.CHANGED), (1600, Status.REGRESSION)):
        first = of(measured)
        assert (first.status, first.more) == (Status.OK, 2)  # no single network decides
        assert (of(measured, 5).status, of(measured, 5).more) == (status, 0)
        assert of(measured, most=1).status is status
        assert of(measured, most=1, min_effect={"macs": Tolerance(rel=0.7)}).status is Status.OK
    assert (of(1010).status, of(1010).more) == (Status.OK, 0)


RULER = Difference("corruptions", "fog 1", 0.5, 0.6)
FINETUNE = Difference("finetune", "loss 3", 2.1, 2.2, 1e-5)


def test_another_ruler_fails_and_says_so():
    verdict = compared({"ece": 0.1}, {"ece": 0.1}, differences=(RULER, FINETUNE))
    assert (verdict.status, verdict.screened, verdict.more) == (Status.CHANGED, True, 0)
    assert verdict.headline == "changed: the corrupted images differ: fog 1 0.5 -> 0.6"
    assert verdict.differences == (RULER, FINETUNE)
    assert {row.status for row in verdict.metrics} == {Status.OK}
    worse = compared({"ece": 0.2}, {"ece": 0.1}, differences=(RULER,))
    assert (worse.status, worse.headline) == (Status.REGRESSION, "regression in ece")


def test_another_fine_tuning_is_told_and_fails_where_that_was_asked_for():
    same = {"ece": 0.1}
    told = compared(same, same, differences=(FINETUNE,))
    assert (told.status, told.differences, told.reason) == (Status.OK, (FINETUNE,), "")
    fails = compared(same, same, differences=(FINETUNE,), changed_fails=True)
    assert (fails.status, fails.reason) == (
        Status.CHANGED,
        "fine-tuning differs from step 3 on (loss 2.1 -> 2.2)",
    )
    assert compared(same, same, differences=(), changed_fails=True).status is Status.OK
    assert not compared(same, same).screened


def test_a_ruler_that_changed_is_so_where_the_numbers_are_replayed():
    first = {"first": {"ece": 0.1}, "differences": (RULER,)}
    assert compared({"ece": 0.1}, {"ece": 0.1}, **first).status is Status.CHANGED


def test_names_are_compared_both_ways():
    verdict = compared({"accuracy": 0.9, "mine": 1.0}, {"accuracy": 0.9, "ece": 0.1})
    assert verdict.status is Status.MISSING
    assert verdict.status.fails
    assert verdict.headline == "ece has a baseline and was not measured; mine has no accepted number"
    rows = {row.metric: row for row in verdict.metrics}
    assert list(rows) == ["accuracy", "ece", "mine"]
    assert (rows["ece"].baseline, rows["ece"].measured, rows["ece"].change) == (0.1, None, None)
    assert (rows["mine"].baseline, rows["mine"].measured, rows["mine"].change) == (None, 1.0, None)


def test_a_cell_without_baseline():
    verdict = compared({"nll": 0.12345, "accuracy": 0.9}, None)
    assert (verdict.status, verdict.headline) == (
        Status.MISSING,
        "missing: no accepted numbers for this cell",
    )
    assert [(row.metric, row.baseline, row.measured) for row in verdict.metrics] == (
        [("accuracy", None, 0.9), ("nll", None, 0.1235 if round(0.12345, 4) == 0.1235 else 0.1234)]
    )


def test_an_accepted_cell_without_numbers():
    assert compared({"ece": 0.1}, {}).status is Status.MISSING
    assert compared({}, {"ece": 0.1}).status is Status.MISSING


def test_the_gravest_metric_decides():
    accepted = {"accuracy": 0.9, "ece": 0.1, "nll": 0.5}
    better = compared({"accuracy": 0.95, "ece": 0.1, "nll": 0.5}, accepted)
    mixed = compared({"accuracy": 0.95, "ece": 0.2, "nll": 0.6}, accepted)
    gone = compared({"accuracy": 0.95, "ece": 0.2}, accepted)
    assert (better.status, better.status.fails) == (Status.IMPROVEMENT, False)
    assert better.headline == "improvement in accuracy"
    assert (mixed.status, mixed.headline) == (Status.REGRESSION, "regression in ece, nll")
    assert (gone.status, gone.headline) == (Status.MISSING, "nll has a baseline and was not measured")
    assert [state for state in Status if state.fails] == [
        Status.CHANGED,
        Status.UNRECOVERED,
        Status.REGRESSION,
        Status.MISSING,
        Status.INCOMPARABLE,
    ]


@hypothesis.given(st.dictionaries(names, numbers))
def test_a_measurement_against_itself_as_recorded_is_identical(measured):
    accepted = {name: recorded(value) for name, value in measured.items()}
    verdict = compared(measured, accepted)
    assert verdict.identical
    assert verdict.headline == "identical"
    assert all(row.change == 0 for row in verdict.metrics)


@hypothesis.given(st.dictionaries(names, numbers))
def test_a_measurement_against_itself_as_written_and_read_is_identical(measured):
    text = "".join(f"{name}: {written(value)}\n" for name, value in measured.items()) or "{}"
    accepted = {name: value.numeric() for name, value in yaml_reader.parse(text, "f").mapping().items()}
    assert {name: type(value) for name, value in accepted.items()} == {
        name: type(value) for name, value in measured.items()
    }
    assert compared(measured, accepted).identical


@hypothesis.given(finite, st.lists(finite, min_size=2, max_size=8), amounts, amounts, names)
def test_worse_is_never_judged_milder(baseline, measured, absolute, relative, name):
    order = [Status.IMPROVEMENT, Status.OK, Status.REGRESSION]
    from_best = sorted(measured, reverse=name in HIGHER)
    found = [order.index(status(name, baseline, value, Tolerance(absolute, relative))) for value in from_best]
    assert all(first <= second for first, second in itertools.pairwise(found))


@hypothesis.given(finite, finite, amounts, amounts, names)
def test_more_room_is_never_judged_harder(baseline, measured, smaller, more, name):
    tight = status(name, baseline, measured, Tolerance(abs=smaller))
    wide = status(name, baseline, measured, Tolerance(abs=smaller + more))
    assert wide in (tight, Status.OK)


@hypothesis.given(finite, finite, names)
def test_the_change_is_what_the_table_shows(baseline, measured, name):
    row = compared({name: measured}, {name: recorded(baseline)}).metrics[0]
    assert row.change == pytest.approx(recorded(measured) - recorded(baseline), abs=1e-9)
    assert (row.change == 0) == (row.status is Status.OK)


def test_counts_are_compared_in_full():
    assert status("parameters", 20_035_018, 20_035_019) is Status.REGRESSION
    verdict = compared({"macs": 2**60 + 1}, {"macs": 2**60})
    assert (verdict.status, verdict.metrics[0].change) == (Status.REGRESSION, 1)


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (0.96884, 0.9688, "0.9688"),
        (0.5, 0.5, "0.5000"),
        (-0.00001, 0.0, "0.0000"),
        (1e22, 1e22, "1.0e+22"),
        (315010, 315010, "315010"),
        (0, 0, "0"),
    ],
)
def test_numbers_as_recorded_and_written(value, number, text):
    assert (recorded(value), written(value)) == (number, text)
    assert type(recorded(value)) is type(value)
    assert math.copysign(1, recorded(value)) == 1


def test_order_of_metrics():
    assert in_order({"zeta", "macs", "alpha", "ece", "accuracy"}, METRICS) == (
        ["accuracy", "ece", "macs", "alpha", "zeta"]
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "is nan; a measurement must be finite"),
        (float("inf"), "is inf; a measurement must be finite"),
        (np.float64(0.5), "is a float64; it must be a plain int or float"),
        (np.int64(1), "is a int64"),
        (True, "is a bool"),
        ("0.5", "is a str"),
        (None, "is a NoneType"),
    ],
)
def test_measurements_hold_plain_finite_numbers(value, says):
    with pytest.raises(PrunecalError, match=f"^metric ece {says}"):
        Measurement({"accuracy": 0.5, "ece": value})


def test_measurements_cross_processes_whole():
    scores = {"accuracy": 0.5, "ece": 0.1, "nll": 1.0, "brier": 0.5}
    measurement = Measurement(
        {"ece": 0.1, "macs": 3},
        {"fog": {"3": scores}},
        {"torch": "2.11.0"},
        ("floored",),
        {"ece": Uncertainty(0.01, 0.02, 3)},
        ImageResults(
            {"ece": 0.1},
            {"ece": [0.2, 0.0]},
            "cafe",
            {"ece": 0.3},
            Columns(("ece",), b"\0\xff"),
            Columns((), b""),
        ),
    )
    assert json.loads(json.dumps(measurement.to_dict())) == measurement.to_dict()
    assert Measurement.from_dict(measurement.to_dict()) == measurement
    pairing = Pairing(same_base=True, changes={"ece": -0.1}, change_sd={"ece": 0.2}, unpaired="why")
    assert Pairing(**json.loads(json.dumps(pairing.to_dict()))) == pairing
    assert measurement["macs"] == 3
    with pytest.raises(KeyError, match="no metric 'nll'; measured were ece, macs"):
        measurement["nll"]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (EXACT, "exact"),
        (Tolerance(abs=0.02), "0.02"),
        (Tolerance(rel=0.05), "5%"),
        (Tolerance(abs=0.02, rel=0.125), "0.02 or 12.5%"),
        (AUTO, "auto"),
    ],
)
def test_tolerances_as_text(rule, text):
    assert str(rule) == text


def test_reading_tolerances():
    value = yaml_reader.parse("ece: {abs: 0.02}\nmacs:\n  rel: 5e-2\n  abs: 1\n", "f.yaml")
    assert read_tolerances(value) == {
        "ece": Tolerance(0.02, 0.0, "f.yaml:1"),
        "macs": Tolerance(1.0, 0.05, "f.yaml:3"),
    }
    assert {rule.source for rule in read_tolerances(value, "protocol x").values()} == {"protocol x"}


def test_reading_auto_and_bare_numbers():
    value = yaml_reader.parse("ece: 0.02\nmacs:\n  auto\n", "f.yaml")
    assert read_tolerances(value) == {
        "ece": Tolerance(0.02, 0.0, "f.yaml:1"),
        "macs": Tolerance(source="f.yaml:3", auto=True),
    }
    assert read_tolerances(yaml_reader.parse("auto", "f.yaml"), "here") == {
        ALL: Tolerance(source="here", auto=True)
    }


def test_auto_for_all_metrics_takes_the_place_of_every_rule_before_it():
    tight, wide = Tolerance(abs=0.1), Tolerance(abs=1)
    auto = Tolerance(source="f.yaml:5", auto=True)
    assert resolve({"ece": wide}, {ALL: auto}, {"nll": tight}) == {ALL: auto, "nll": tight}
    rules = resolve({ALL: auto}, {"ece": wide}, {"nll": tight})
    assert [rule_of(name, rules) for name in ("ece", "nll", "mpc")] == [wide, tight, auto]
    assert rule_of("ece", {}) is AUTO
    assert resolve({ALL: auto}, {ALL: tight}) == {ALL: tight}


def test_the_last_level_that_names_a_metric_wins():
    wide, tight = Tolerance(abs=1), Tolerance(abs=0.1)
    assert resolve({"ece": wide, "nll": wide}, {}, {"ece": tight}) == {"ece": tight, "nll": wide}
