"""What a network says of some images, found once for all metrics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """What a network says of N images: all that scores need besides the logits.

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
