"""One network's metrics over the clean test images and every corrupted version of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.evaluation.bootstrap import Sampled, resampled_means
from pytest_prunecal.lab.evaluation.scored import Scored, Scores
from pytest_prunecal.study.metric import CORRUPTED, IMAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pytest_prunecal.study import measurement
    from pytest_prunecal.study.metric import Metric


@dataclass(frozen=True)
class Evaluated:
    """What evaluating a network gives.

    Attributes:
        metrics: of the clean test images and of the corrupted ones, by name.
        corrupted: scores of each corrupted set, by corruption and by severity, the latter as text.
        logits: of the clean test set, float32 (N, classes) on the CPU.
        sampled: the metrics image by image, and on resampled images.
        pixels: mean pixel of each corrupted set, in [0, 1], by name (`fog 1`); empty where nobody asked.
    """

    metrics: dict[str, float]
    corrupted: dict[str, dict[str, measurement.Scores]]
    logits: Tensor
    sampled: Sampled
    pixels: dict[str, float] = field(default_factory=dict)


class Tally:
    """Gathers one network's logits, test set by test set.

    A metric of corrupted images is the mean over the corrupted sets (mPC: Michaelis et al. 2019, eq. 1), a
    quotient that of two others (rPC: eq. 2; 0 for a network that is never right). Every paired metric of the
    clean images is scored on each corrupted set too, for the reports.

    Args:
        metrics: all there are, in canonical order; those of the network are left alone.
        labels: int64 (N,) on the CPU.
        bins: of calibration errors.
    """

    def __init__(self, metrics: Mapping[str, Metric], labels: Tensor, bins: int) -> None:
        self._metrics, self._labels, self._bins = metrics, labels, bins
        measured = [metric for metric in metrics.values() if not metric.quotient]
        self._on_clean = [metric for metric in measured if metric.where == IMAGES]
        self._on_corrupted = [metric for metric in measured if metric.where == CORRUPTED]
        told = [metric for metric in self._on_clean if metric.paired]
        functions = [metric.function for metric in told]
        self._told = [*told, *(metric for metric in self._on_corrupted if metric.function not in functions)]
        self._logits = torch.empty(0)
        self._clean: dict[str, Scored] = {}
        self._corrupted: dict[str, list[Scored]] = {metric.name: [] for metric in self._on_corrupted}
        self._sets: dict[str, dict[str, measurement.Scores]] = {}

    def clean(self, logits: Tensor) -> None:
        """Take the logits of the clean images, float32 (N, classes) on the CPU."""
        scores = Scores(logits, self._labels, self._bins)
        self._logits = logits
        self._clean = {metric.name: scores.of(metric) for metric in self._on_clean}

    def corrupted(self, corruption: str, severity: int, logits: Tensor) -> None:
        """Take the logits of one corrupted version of the same images."""
        scores = Scores(logits, self._labels, self._bins)
        told = {metric.name: scores.of(metric).value for metric in self._told}
        self._sets.setdefault(corruption, {})[str(severity)] = told
        for metric in self._on_corrupted:
            self._corrupted[metric.name].append(scores.of(metric))

    def result(self) -> Evaluated:
        """Sum up."""
        found = self._clean | {name: _mean(scores) for name, scores in self._corrupted.items()}
        values = {name: scored.value for name, scored in found.items()}
        columns = {name: one.column for name, one in found.items() if one.column is not None}
        replicates = {name: one.replicates for name, one in found.items() if one.replicates is not None}
        plain = {name: column for name, column in columns.items() if name not in replicates}
        replicates |= resampled_means(plain)
        for name, metric in self._metrics.items():
            if metric.quotient:
                above, below = metric.quotient
                values[name] = values[above] / values[below] if values[below] else 0.0
                # A resample may hold none of the few images that are right.
                replicates[name] = replicates[above] / replicates[below].clamp(min=1 / len(self._labels))
        return Evaluated(
            {name: values[name] for name in self._metrics if name in values},
            self._sets,
            self._logits,
            Sampled(
                {name: columns[name].float() for name in self._metrics if name in columns},
                {name: replicates[name] for name in self._metrics if name in replicates},
            ),
        )


def _mean(scores: list[Scored]) -> Scored:
    """A metric over all corrupted sets, the images resampled together."""
    columns = [scored.column for scored in scores if scored.column is not None]
    replicates = [scored.replicates for scored in scores if scored.replicates is not None]
    return Scored(
        sum(scored.value for scored in scores) / len(scores),
        torch.stack(columns).mean(0) if columns else None,
        torch.stack(replicates).mean(0) if len(replicates) == len(scores) else None,
    )
