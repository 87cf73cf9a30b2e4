"""The scale of a metric: monotone, and turned around by `worsening`."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.judge.scale import OFFSET, Scale, scale_of
from pytest_prunecal.study.metric import METRICS

SCALES = [Scale(), Scale(-1), *map(scale_of, METRICS.values())]
scales = st.sampled_from(SCALES)
numbers = st.floats(-3, 3)


def test_by_hand():
    assert OFFSET == 0.02
    accuracy = scale_of(METRICS["accuracy"])
    assert accuracy == Scale(-1, 1.0)
    assert accuracy.of(0.9) == pytest.approx(math.log(0.12))
    assert accuracy.of(1.0) == pytest.approx(math.log(0.02))
    assert accuracy.slope(0.9) == pytest.approx(1 / 0.12)
    ece = scale_of(METRICS["ece"])
    assert (ece.of(0.01), ece.slope(0.01)) == (pytest.approx(math.log(0.03)), pytest.approx(1 / 0.03))
    assert scale_of(METRICS["parameters"]) == scale_of(None) == Scale()
    assert (Scale(-1).of(0.3), Scale(-1).slope(0.3), Scale(-1).worsening(0.3, 0.1)) == (-0.3, 1, 0.1)


def test_what_has_a_best_value_has_it_at_the_end_of_its_bounds():
    for metric in METRICS.values():
        assert (metric.best is None) == metric.structure
        if metric.best is not None and metric.name != "rpc":
            assert metric.best == metric.bounds[1 if metric.higher_is_better else 0]


@hypothesis.given(scales, numbers, st.floats(1e-6, 3))
def test_worse_is_higher(scale, value, step):
    assert scale.of(value + scale.sign * step) > scale.of(value)


@hypothesis.given(scales, numbers, st.floats(-3, 3))
def test_worsening_turns_the_scale_around(scale, value, by):
    worse = scale.worsening(value, by)
    assert scale.of(value + scale.sign * worse) == pytest.approx(scale.of(value) + by, abs=1e-6)


@hypothesis.given(scales, numbers)
def test_the_slope_is_that_of_the_scale(scale, value):
    step = 1e-6
    hypothesis.assume(scale.best is None or abs(value - scale.best) > 1e-4)
    rise = scale.of(value + scale.sign * step) - scale.of(value - scale.sign * step)
    assert rise / (2 * step) == pytest.approx(scale.slope(value), rel=1e-3)


@hypothesis.given(scales, st.floats(), st.floats())
def test_any_number_is_taken(scale, value, by):
    for found in (scale.of(value), scale.slope(value), scale.worsening(value, by)):
        assert isinstance(found, float | int)


def test_better_than_the_best_goes_on():
    # rPC is a quotient, and no bound of it.
    rpc = scale_of(METRICS["rpc"])
    assert rpc.of(1.02) == pytest.approx(math.log(0.02) - 1)
    assert rpc.of(1.5) < rpc.of(1.02) < rpc.of(1.0)
    assert rpc.worsening(1.02, 1.0) == pytest.approx(0.02)


def test_no_step_is_too_large():
    assert math.isfinite(Scale(1, 0.0).worsening(0.1, 1e6))
    assert Scale(1, 0.0).worsening(0.1, math.inf) > 1e303
    assert Scale(1, 0.0).worsening(0.1, -1e6) < -1e4
