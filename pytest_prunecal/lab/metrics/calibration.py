"""Expected calibration error: how far confidence is from accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """What a network says of N images: all that scores need besides the logits, found once.

    Attributes:
        probability: softmax, float64 (N, classes), on the CPU.
        confidence: the highest of each, (N,).
        correct: 1.0 where it is the label's, float64 (N,).
        ascending: `confidence` in ascending order.
        order: int64 (N,), the images in that order; those of equal confidence keep theirs.
    """

    probability: Tensor
    confidence: Tensor
    correct: Tensor
    ascending: Tensor
    order: Tensor


def predictions_of(logits: Tensor, labels: Tensor) -> Predictions:
    """Find them: logits (N, classes) of any floating type, labels (N,) integer class indices."""
    probability = torch.softmax(logits.detach().cpu().to(torch.float64), dim=1)
    confidence, predicted = probability.max(dim=1)
    ascending, order = torch.sort(confidence, stable=True)
    return Predictions(
        probability, confidence, (predicted == labels.cpu()).to(torch.float64), ascending, order
    )


def ece(logits: Tensor, labels: Tensor, bins: int = 10) -> float:
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

    Returns:
        A number in [0, 1]; lower is better.
    """
    return ece_of(predictions_of(logits, labels), bins)


def ece_of(found: Predictions, bins: int) -> float:
    """The same from predictions; see `ece`."""
    _, group, sizes = torch.unique_consecutive(found.ascending, return_inverse=True, return_counts=True)
    hits = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, group, found.correct[found.order])
    accuracy = (hits / sizes)[group]
    gaps = [
        (in_bin.sum() - hit.sum()).abs()
        for in_bin, hit in zip(found.ascending.tensor_split(bins), accuracy.tensor_split(bins), strict=True)
    ]
    return float(torch.stack(gaps).sum() / len(group))


def ece_equal_width(logits: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error with bins of equal width (Naeini et al. 2015; Guo et al. 2017).

    Bin b holds confidences in (b / bins, (b + 1) / bins]; empty bins count nothing. Arguments and result are
    those of `ece`.
    """
    found = predictions_of(logits, labels)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    index = torch.bucketize(found.confidence, edges[1:-1])
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, found.confidence - found.correct)
    return float(gap.abs().sum() / len(labels))
