"""What is odd about a dense network and its data: no error, but whoever accepts the numbers should know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.lab.datasets.base import Dataset

_DEVIATIONS = 2


def doubts(dataset: Dataset, accuracy: float) -> Iterator[str]:
    """Say what makes a dense network look broken, each in one sentence.

    Args:
        dataset: what it was trained on and is measured on.
        accuracy: share of the test images on which it is right, 0 to 1.
    """
    missing = _missing(dataset.train_labels, dataset.classes)
    if missing:
        yield (
            f"data set {dataset.name!r}: no training image is of class {_listed(missing)}, of classes 0 to "
            f"{dataset.classes - 1}; labels count from 0"
        )
    share, images = _most_frequent(dataset.test_labels)
    # As many standard deviations above it as images that were guessed seldom reach.
    reach = share + _DEVIATIONS * math.sqrt(share * (1 - share) / images)
    if share < 1 and accuracy <= reach:
        yield (
            f"the dense network is right on {accuracy:.1%} of the test images, and naming their most "
            f"frequent class always is on {share:.1%}: it seems to have learned nothing; look at the "
            "learning rate, the labels, the normalisation of images and, if there is one, the checkpoint"
        )


def _missing(labels: torch.Tensor, classes: int) -> list[int]:
    counts = torch.bincount(labels, minlength=classes)
    return [int(label) for label in torch.nonzero(counts == 0).flatten()]


def _listed(labels: list[int]) -> str:
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"{labels[0]}{more}"


def _most_frequent(labels: torch.Tensor) -> tuple[float, int]:
    """Share of the most frequent class, and the number of images."""
    return int(torch.bincount(labels).max()) / len(labels), len(labels)
