"""Axes: round ticks that enclose what is drawn."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prunecal.report.html.axes import Axis, nice_ticks, value_ticks


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 10))
def test_ticks_are_few_even_and_enclose_the_range(low, width, most):
    high = low + max(width, abs(low) * 1e-3)
    ticks = nice_ticks(low, high, most)
    step = ticks[1] - ticks[0]
    slack = 1e-6 * step
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= most + 3
    assert all(later - earlier == pytest.approx(step, rel=1e-3) for earlier, later in pairwise(ticks))
    mantissa = step / 10 ** math.floor(math.log10(step * (1 + 1e-6)))
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-3


def test_ticks_by_example():
    assert nice_ticks(0, 0.7, 8) == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert value_ticks([0.97, 0.93], higher_is_better=True) == (0.93, 0.94, 0.95, 0.96, 0.97)
    assert value_ticks([0.01, 0.03], higher_is_better=False)[0] == 0
    assert value_ticks([0.15, 0.18], higher_is_better=False)[0] == 0.15
    assert value_ticks([0.2, 0.9], higher_is_better=True)[0] == 0
    flat = value_ticks([0.5, 0.5], higher_is_better=True)
    assert flat[0] < 0.5 < flat[-1]
    assert flat[-1] - flat[0] < 0.03
    assert value_ticks([0.0], higher_is_better=False)[0] == 0
    assert Axis((0.0, 0.05, 0.1), 0, 10).label(0.1) == "0.10"
    assert Axis((0.0, 20.0), 0, 10).label(20.0) == "20"
