"""Holm's procedure: against the textbook, and a part against the whole."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from pytest_prunecal.judge.holm import comparisons, rejected

p_values = st.dictionaries(
    st.integers(0, 30), st.one_of(st.floats(0, 1), st.floats(0, 0.01), st.just(0.01 / 7)), max_size=12
)
rates = st.floats(1e-4, 0.5)


def by_the_book(found, rate, comparisons):
    """Reject the smallest of m if it is at most rate/m, then the next if at most rate/(m-1), and so on."""
    left, out, remaining = dict(found), set(), comparisons
    while left:
        key = min(left, key=lambda name: left[name])
        if left.pop(key) > rate / remaining:
            return out
        out.add(key)
        remaining -= 1
    return out


@hypothesis.settings(max_examples=200)
@hypothesis.given(p_values, rates, st.integers(0, 100))
def test_it_is_the_books(found, rate, more):
    comparisons = max(len(found) + more, 1)
    # Which of two equal ones comes first makes no difference to how many are rejected.
    got, expected = rejected(found, rate, comparisons), by_the_book(found, rate, comparisons)
    assert sorted(found[key] for key in got) == sorted(found[key] for key in expected)


@hypothesis.settings(max_examples=200)
@hypothesis.given(p_values, rates, st.integers(0, 40), st.data())
def test_what_is_rejected_of_a_part_is_rejected_of_the_whole(found, rate, more, data):
    part = data.draw(st.sets(st.sampled_from(sorted(found)))) if found else set()
    comparisons = len(found) + more
    whole = rejected(found, rate, comparisons)
    assert rejected({key: found[key] for key in part}, rate, comparisons) <= whole


@hypothesis.settings(max_examples=100)
@hypothesis.given(p_values, rates, st.integers(0, 40))
def test_more_comparisons_never_reject_more(found, rate, more):
    comparisons = max(len(found), 1)
    assert rejected(found, rate, comparisons + more) <= rejected(found, rate, comparisons)


def test_by_hand():
    found = {"a": 0.0024, "b": 0.0025, "c": 0.006, "d": 0.5}
    assert rejected(found, 0.01, 4) == {"a", "b"}  # .0025, .0033, then .006 > .005
    assert rejected(found, 0.01, 3) == {"a", "b", "c"}
    assert rejected(found, 0.01, 100) == set()
    assert rejected({}, 0.01, 0) == set()


def test_runs_without_a_change_fail_no_oftener_than_promised():
    draws = np.random.default_rng(5).uniform(size=(4000, 20))
    failing = sum(bool(rejected(dict(enumerate(row)), 0.05, 20)) for row in draws)
    assert 140 <= failing <= 260  # 200 expected, give or take four deviations


def test_a_run_compares_each_cell_and_the_cells_of_a_model_together():
    two_cells = [["ece", "nll"], ["ece"]]
    assert comparisons([two_cells]) == 3 + 2
    assert comparisons([two_cells, [["ece"]]]) == 5 + 1 + 1
    assert comparisons([[[]], []]) == 0
