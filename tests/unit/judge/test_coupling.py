"""A seed against itself: what is expected of a repeat, what repeats show, and of how many cells."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.judge.coupling import COUPLING, Repeats, coupled, couplings
from pytest_prunecal.judge.noise import LEAST_FREEDOM, Spread

NOISE = Spread(variance=0.04, freedom=15, seeds=12, by_images=0.5)
EXPECTED = 2 * 0.3**2 * 0.04
finite = st.floats(-1, 1)


def test_a_seed_against_itself_by_hand():
    assert COUPLING == 0.3
    assert coupled(NOISE, [], 4) == (pytest.approx(math.sqrt(EXPECTED)), 8)
    sd, freedom = coupled(NOISE, [0.01, -0.02], 4)
    assert sd == pytest.approx(math.sqrt((4 * EXPECTED + 0.01**2 + 0.02**2) / 6))
    assert freedom == LEAST_FREEDOM == 8  # four of the prior, two of the repeats, and no fewer than that
    assert coupled(NOISE, [0.01] * 5, 4)[1] == 9
    assert coupled(NOISE, [], 4, 0.25)[0] == pytest.approx(math.sqrt(EXPECTED) / 2)


@hypothesis.given(st.lists(st.floats(), max_size=5), st.floats(1e-3, 50))
def test_a_seed_against_itself_is_never_noisier_than_two_trainings(repeats, level):
    sd, freedom = coupled(NOISE, repeats, 4, level)
    assert 0 < sd <= math.sqrt(2 * 0.04) * (1 + 1e-9)
    assert freedom == max(4 + sum(map(math.isfinite, repeats)), 8)


def of(group, *moved, metric="ece", noise=NOISE):
    return Repeats(group, metric, noise, moved)


def test_other_cells_by_hand():
    """A pruner's repeats, moderated by what the model's are."""
    shares = [0.1**2 / EXPECTED, 0.0, 0.2**2 / EXPECTED, 0.0]
    model = (4 + sum(shares)) / 8
    found = couplings([of("weight", 0.1, 0.0), of("filter", 0.2, 0.0), of("weight", metric="nll")], 4)
    assert found["weight"]["ece"] == pytest.approx((4 * model + shares[0]) / 6)
    assert found["filter"]["ece"] == pytest.approx((4 * model + shares[2]) / 6)
    assert found["weight"]["nll"] == 1  # nobody repeated it
    assert "nll" not in found["filter"]
    assert couplings([], 4) == {}


def test_repeats_as_expected_change_nothing():
    expected = math.sqrt(EXPECTED)
    found = couplings([of("weight", expected, -expected), of("filter", -expected, expected)], 4)
    assert found["weight"]["ece"] == found["filter"]["ece"] == pytest.approx(1)
    assert coupled(NOISE, [expected], 4, found["weight"]["ece"])[0] == pytest.approx(expected)


def test_what_has_no_noise_and_what_is_no_number_tells_nothing():
    silent = Spread(variance=0.0, freedom=15, seeds=12, by_images=0.0)
    found = couplings([of("weight", 0.1, noise=silent), of("weight", math.nan, math.inf)], 4)
    assert found == {"weight": {"ece": 1.0}}


@hypothesis.given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(finite, max_size=3)), max_size=6))
def test_quieter_repeats_never_make_a_cell_noisier(cells):
    louder = couplings([of(group, *moved) for group, moved in cells], 4)
    quieter = couplings([of(group, *(one / 2 for one in moved)) for group, moved in cells], 4)
    assert louder.keys() == quieter.keys()
    for group, found in louder.items():
        assert 0 < quieter[group]["ece"] <= found["ece"] * (1 + 1e-12)
