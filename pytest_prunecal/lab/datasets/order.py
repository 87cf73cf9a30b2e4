"""An order of images in which every prefix holds the classes as evenly as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def round_robin(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Deals the classes in turn: the first image of each class, then the second of each, and so on.

    In any prefix two classes differ by at most one image, until the smaller of them is used up.

    Args:
        labels: Integers, (N,).

    Returns:
        A permutation of 0 to N - 1; images of one class keep their order.
    """
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    # The last key of lexsort is the first to decide; (rank, label) occurs once, so no tie is left.
    return np.lexsort((labels, rank)).astype(np.int64)
