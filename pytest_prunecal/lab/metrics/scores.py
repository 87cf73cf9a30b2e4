"""Scores of one test set from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.metrics.calibration import ece_of, predictions_of

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.metrics.calibration import Predictions


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose largest logit is the label's, in [0, 1].

    Args:
        logits: (N, classes).
        labels: (N,), integer class indices.
    """
    return float((logits.max(dim=1).indices == labels).sum()) / len(labels)


def nll(logits: Tensor, labels: Tensor) -> float:
    """Mean negative log-likelihood of the labels in nats, >= 0, in float64; arguments as `accuracy`."""
    log_probability = torch.log_softmax(logits.to(torch.float64), dim=1)
    return float(-log_probability[torch.arange(len(labels)), labels].sum() / len(labels))


def brier(logits: Tensor, labels: Tensor) -> float:
    """Multi-class Brier score (Brier 1950), in [0, 2], computed in float64; arguments as `accuracy`.

    Mean over samples of sum over classes of (probability - 1 if it is the label else 0) squared.
    """
    return _brier(torch.softmax(logits.to(torch.float64), dim=1), labels)


def _brier(probability: Tensor, labels: Tensor) -> float:
    error = probability.clone()
    error[torch.arange(len(labels)), labels] -= 1
    return float(error.square().sum() / len(labels))


def scores(logits: Tensor, labels: Tensor, bins: int, found: Predictions | None = None) -> dict[str, float]:
    """All scores of one test set: accuracy, ece (equal mass), nll and brier.

    Args:
        logits: float32 (N, classes) on the CPU.
        labels: int64 (N,) on the CPU.
        bins: of the ECE.
        found: `predictions_of` these, where they are known already.
    """
    found = found or predictions_of(logits, labels)
    return {
        "accuracy": accuracy(logits, labels),
        "ece": ece_of(found, bins),
        "nll": nll(logits, labels),
        "brier": _brier(found.probability, labels),
    }
