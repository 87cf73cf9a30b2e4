"""Rows dealt round the classes: every prefix is balanced."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pytest_prunecal.lab.datasets.order import round_robin


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_round_robin_is_a_balanced_permutation(assert_balanced, labels):
    labels = np.unique(labels, return_inverse=True)[1]
    order = round_robin(labels)
    assert sorted(order) == list(range(len(labels)))
    assert_balanced(labels[order], labels.max() + 1)
    for label in set(labels.tolist()):
        assert (np.diff(order[labels[order] == label]) > 0).all()
