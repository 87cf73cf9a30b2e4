"""How a run's false-alarm rate is shared: by the whole grid, whatever is selected."""

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.judge.rate import LOOKED_AT, OF_CELLS, OF_POOLED, shared
from pytest_prunecal.study.metric import METRICS

ALL = ["accuracy", "ece", "parameters", "macs"]
GRID = [(None, ALL), ("weight", ALL), ("weight", ALL), ("filter", ALL), ("filter", ["ece", "macs"])]


def test_the_shares():
    assert (OF_CELLS, OF_POOLED, LOOKED_AT) == (0.8, 0.2, 0.05)


def test_what_has_no_noise_takes_no_share():
    found = shared(0.01, GRID, METRICS, given_base=True)
    assert found.comparisons == 2 + 2 + 2 + 1  # no dense cell, no structure
    assert found.cell == pytest.approx(0.01 * 0.8 * 0.05 / 7)
    # accuracy and ECE of all cells and of weight's; of filter's, only ECE has two.
    assert found.pooled == pytest.approx(0.01 * 0.2 / 5)


def test_between_base_networks_everything_has_noise():
    found = shared(0.01, GRID, METRICS, given_base=False)
    assert found.comparisons == 18
    assert found.pooled == pytest.approx(0.01 * 0.2 / (4 + 4 + 2))


def test_the_cells_of_a_single_pruner_are_pooled_once():
    found = shared(0.01, GRID[:3], METRICS, given_base=True)
    assert found.pooled == pytest.approx(0.01 * 0.2 / 2)


def test_a_grid_without_comparisons():
    for cells in ([], [(None, ALL)], [("weight", [])]):
        found = shared(0.01, cells, METRICS, given_base=True)
        assert (found.comparisons, found.pooled) == (0, pytest.approx(0.002))
        assert 0 < found.cell < 0.01


cells = st.tuples(
    st.sampled_from([None, "weight", "filter"]), st.lists(st.sampled_from([*ALL, "mine"]), unique=True)
)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.lists(cells, max_size=8), st.booleans(), st.floats(1e-4, 0.5))
def test_all_shares_come_to_no_more_than_the_rate(grid, given_base, rate):
    found = shared(rate, grid, METRICS, given_base=given_base)
    deciding_looks, comparisons_of_each = (
        3,
        2,
    )  # over 5, 9 and 16 seeds; the sharpest, and that of the file alone
    assert found.cell * found.comparisons * deciding_looks * comparisons_of_each <= OF_CELLS * rate
    assert shared(rate, grid[::-1], METRICS, given_base=given_base) == found
