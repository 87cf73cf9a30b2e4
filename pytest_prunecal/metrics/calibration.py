"""Expected calibration error: how far confidence is from accuracy."""

from __future__ import annotations

import torch
from torch import Tensor


def ece(logits: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error with equal-mass bins (Nguyen & O'Connor 2015; arXiv 2405.20876).

    Samples are sorted by confidence and split, as evenly as possible, into `bins` groups; the error is the
    sum over groups of n_b / n * |mean confidence - mean accuracy|. Samples of equal confidence share their
    mean accuracy, so that the order of the samples cannot change the result.

    Args:
        logits: (N, classes), any floating type; the softmax is taken in float64.
        labels: (N,), integer class indices.
        bins: number of groups, >= 1; may exceed N.

    Returns:
        A number in [0, 1]; lower is better.
    """
    confidence, correct = confidence_of(logits, labels)
    confidence, order = torch.sort(confidence, stable=True)
    _, group, sizes = torch.unique_consecutive(confidence, return_inverse=True, return_counts=True)
    hits = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, group, correct[order])
    accuracy = (hits / sizes)[group]
    gaps = [
        (in_bin.sum() - hit.sum()).abs()
        for in_bin, hit in zip(confidence.tensor_split(bins), accuracy.tensor_split(bins), strict=True)
    ]
    return float(torch.stack(gaps).sum() / len(labels))


def ece_equal_width(logits: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error with bins of equal width (Naeini et al. 2015; Guo et al. 2017).

    Bin b holds confidences in (b / bins, (b + 1) / bins]; empty bins count nothing. Arguments and result are
    those of `ece`.
    """
    confidence, correct = confidence_of(logits, labels)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    index = torch.bucketize(confidence, edges[1:-1])
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, confidence - correct)
    return float(gap.abs().sum() / len(labels))


def confidence_of(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Highest softmax probability of each sample, and 1.0 where it is right; float64 (N,) on the CPU."""
    probability = torch.softmax(logits.detach().cpu().to(torch.float64), dim=1)
    confidence, predicted = probability.max(dim=1)
    return confidence, (predicted == labels.cpu()).to(torch.float64)
