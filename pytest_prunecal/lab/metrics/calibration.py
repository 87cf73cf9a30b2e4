"""Expected calibration error: how far confidence is from accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.metrics.functions import OverImages
from pytest_prunecal.lab.metrics.predictions import predictions_of

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.metrics.predictions import Predictions


def ece(logits: Tensor, labels: Tensor, bins: int = 10, predictions: Predictions | None = None) -> float:
    """Expected calibration error with equal-mass bins (Nguyen & O'Connor 2015; arXiv 2405.20876).

    Samples are sorted by confidence and split, as evenly as possible, into `bins` groups; the error is the
    sum over groups of n_b / n * |mean confidence - mean accuracy|. Samples of equal confidence share their
    mean accuracy, so that the order of the samples cannot change the result.

    Example:
        Sure to 0.9, and right three times in four:

        >>> logits = torch.tensor([[0.9, 0.1]]).log().expand(4, 2)
        >>> round(ece(logits, torch.tensor([0, 0, 0, 1])), 4)
        0.15

    Args:
        logits: (N, classes), any floating type; the softmax is taken in float64.
        labels: (N,), integer class indices.
        bins: number of groups, >= 1; may exceed N.
        predictions: `predictions_of` these, where they are known already.

    Returns:
        A number in [0, 1]; lower is better.
    """
    found = predictions or predictions_of(logits, labels)
    _, group, sizes = torch.unique_consecutive(found.ascending, return_inverse=True, return_counts=True)
    hits = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, group, found.correct[found.order])
    accuracy = (hits / sizes)[group]
    gaps = [
        (in_bin.sum() - hit.sum()).abs()
        for in_bin, hit in zip(found.ascending.tensor_split(bins), accuracy.tensor_split(bins), strict=True)
    ]
    return float(torch.stack(gaps).sum() / len(group))


def ece_over_images(
    logits: Tensor, labels: Tensor, resamples: Tensor, bins: int = 10, predictions: Predictions | None = None
) -> OverImages:
    """The same with what each image adds to it, and what it is on resampled images.

    A resample keeps the bins of the whole test set. What the images add is a little less than the error in
    the mean, see `_softened`.

    Args:
        logits: as `ece`.
        labels: as `ece`.
        resamples: float32 (resamples, N), the weight of each image in each.
        bins: as `ece`.
        predictions: as `ece`.
    """
    found = predictions or predictions_of(logits, labels)
    gap = found.confidence - found.correct
    members = torch.empty(len(gap), dtype=torch.int64)
    for number, images in enumerate(found.order.tensor_split(bins)):
        members[images] = number
    apart = torch.zeros(len(gap), bins).scatter_(1, members[:, None], gap.float()[:, None])
    replicates = (resamples @ apart).abs().sum(1).double()
    value = ece(logits, labels, bins, found)
    return OverImages(value, _softened(apart.double(), members) * gap, replicates)


def _softened(apart: Tensor, bins: Tensor) -> Tensor:
    """The slope of each image's bin: +1 or -1 if its gap is certain, in between if noise may turn its sign.

    The ECE adds up absolute gaps. A gap far from zero moves with each of its images; one that is nothing but
    noise hardly moves, whichever image changes.
    """
    total = apart.sum(0)
    size = torch.bincount(bins, minlength=apart.shape[1]).clamp(min=1)
    spread = (apart.square().sum(0) - total.square() / size).clamp(min=1e-24).sqrt()
    return torch.erf(total / spread / 2**0.5)[bins]
