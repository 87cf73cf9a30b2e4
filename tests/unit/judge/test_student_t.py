"""Student's t distribution against SciPy's."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st
from scipy import stats

from pytest_prunecal.judge.student_t import quantile, tail

freedoms = st.integers(1, 200)
settings = hypothesis.settings(max_examples=80)


@settings
@hypothesis.given(st.floats(-1e4, 1e4), freedoms)
@hypothesis.example(1e-12, 1)
def test_the_tail_is_scipys(t, freedom):
    # Of one degree of freedom SciPy's own is 2e-9 off near zero; that one is Cauchy's.
    expected = stats.cauchy.sf(t) if freedom == 1 else stats.t.sf(t, freedom)
    assert tail(t, freedom) == pytest.approx(expected, abs=1e-13)


@settings
@hypothesis.given(st.floats(0, 30), freedoms)
def test_the_two_tails_add_up(t, freedom):
    assert tail(t, freedom) + tail(-t, freedom) == pytest.approx(1, abs=1e-14)
    assert 0 <= tail(t, freedom) <= 0.5


@settings
@hypothesis.given(st.floats(-8, -0.1).map(lambda exponent: 10**exponent), st.integers(2, 200))
def test_the_quantile_is_scipys(probability, freedom):
    # A tail that small is known to 1e-14 of the whole, hence to a millionth of itself.
    assert quantile(probability, freedom) == pytest.approx(
        stats.t.isf(probability, freedom), rel=1e-5, abs=1e-9
    )
    assert quantile(1 - probability, freedom) == pytest.approx(-quantile(probability, freedom), rel=1e-5)


@settings
@hypothesis.given(st.floats(1e-5, 1 - 1e-5), freedoms)
def test_the_quantile_turns_the_tail_around(probability, freedom):
    assert tail(quantile(probability, freedom), freedom) == pytest.approx(probability, rel=1e-8)


@settings
@hypothesis.given(freedoms, st.floats(1e-6, 0.4), st.floats(1.01, 2))
def test_a_rarer_chance_lies_farther_out(freedom, probability, factor):
    assert quantile(probability, freedom) > quantile(probability * factor, freedom)


def test_by_hand():
    assert quantile(0.5, 7) == pytest.approx(0, abs=1e-12)
    assert tail(0.0, 4) == 0.5
    assert tail(1.0, 1) == pytest.approx(0.25)  # Cauchy
    assert tail(math.sqrt(2), 2) == pytest.approx((1 - math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("freedom", [1, 2, 3, 1000])
def test_probabilities_at_the_edge_have_a_finite_answer(freedom):
    for probability in (0.0, 1e-300, 1e-13):
        assert quantile(probability, freedom) == quantile(1e-13, freedom)
        assert math.isfinite(quantile(probability, freedom))
    assert tail(1e9, freedom) >= 0
    assert tail(-1e9, freedom) <= 1
