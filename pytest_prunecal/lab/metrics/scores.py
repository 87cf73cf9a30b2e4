"""Scores that are means over images: each function gives what every image adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.metrics.predictions import predictions_of

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.metrics.predictions import Predictions


def accuracy(logits: Tensor, labels: Tensor, predictions: Predictions | None = None) -> Tensor:
    """Whether each image's most probable class is its label's: 1.0 or 0.0, float64 (N,).

    Args:
        logits: (N, classes), any floating type.
        labels: (N,), integer class indices.
        predictions: `predictions_of` these, where they are known already.
    """
    return (predictions or predictions_of(logits, labels)).correct


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each label in nats, >= 0, float64 (N,); arguments as `accuracy`."""
    log_probability = torch.log_softmax(logits.to(torch.float64), dim=1)
    return -log_probability[torch.arange(len(labels)), labels]


def brier(logits: Tensor, labels: Tensor, predictions: Predictions | None = None) -> Tensor:
    """Multi-class Brier score (Brier 1950) of each image, in [0, 2], float64 (N,); arguments as `accuracy`.

    Sum over classes of (probability - 1 if it is the label else 0) squared.
    """
    error = (predictions or predictions_of(logits, labels)).probability.clone()
    error[torch.arange(len(labels)), labels] -= 1
    return error.square().sum(1)
