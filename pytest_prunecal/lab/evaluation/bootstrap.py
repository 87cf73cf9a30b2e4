"""Sampling error: what the metrics of one network would be on other test images, and image by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.metrics.calibration import predictions_of
from pytest_prunecal.study.image_results import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from pytest_prunecal.lab.metrics.calibration import Predictions

RESAMPLES = 500
"""Bootstrap resamples: the standard error is good to 3 % of itself."""
FEW_RESAMPLES = 50
"""Of a metric of the user's own, whose cost is not known: good to 10 %."""

_SEED = 20876


@dataclass(frozen=True)
class Sampled:
    """One network's results, image by image and resampled.

    Attributes:
        columns: float32 (6, N): what each image adds to each of `COLUMNS`; a row's mean is the metric, for
            the two calibration errors a little less, see `_softened`.
        replicates: by metric, float64 (RESAMPLES,): the metric on resampled test images, an image's clean
            and corrupted versions resampled together, and the same images for every network.
    """

    columns: Tensor
    replicates: dict[str, Tensor]


class Sampler:
    """Gathers one network's results over the clean test set and the corrupted ones.

    Args:
        labels: int64 (N,) on the CPU.
        bins: of the ECE.
    """

    def __init__(self, labels: Tensor, bins: int) -> None:
        self._labels, self._bins = labels, bins
        self._clean: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._gaps: list[Tensor] = []
        self._eces: list[Tensor] = []

    def clean(self, logits: Tensor, found: Predictions | None = None) -> None:
        """Take the logits of the clean images, float32 (N, classes) on the CPU.

        Args:
            logits: of the clean images.
            found: `predictions_of` them, where they are known already.
        """
        hit, gap, ece = self._calibration(logits, found)
        rows = torch.arange(len(self._labels))
        log_probability = torch.log_softmax(logits.double(), dim=1)
        error = log_probability.exp()
        nll = -log_probability[rows, self._labels]
        error[rows, self._labels] -= 1
        self._clean = [hit, gap, nll, error.square().sum(1), ece]

    def corrupted(self, logits: Tensor, found: Predictions | None = None) -> None:
        """Take the logits of one corrupted version of the same images; see `clean`."""
        hit, gap, ece = self._calibration(logits, found)
        self._hits.append(hit)
        self._gaps.append(gap)
        self._eces.append(ece)

    def result(self) -> Sampled:
        """Sum up."""
        hit, gap, nll, brier, ece = self._clean
        mpc, corrupted_gap = torch.stack(self._hits).mean(0), torch.stack(self._gaps).mean(0)
        columns = dict(zip(COLUMNS, (hit, gap, nll, brier, mpc, corrupted_gap), strict=True))
        weights = resampling(len(self._labels)).double()
        means = weights @ torch.stack([hit, nll, brier, mpc], dim=1)
        accuracy = means[:, 0]
        return Sampled(
            torch.stack([columns[name] for name in COLUMNS]).float(),
            {
                "accuracy": accuracy,
                "ece": ece,
                "nll": means[:, 1],
                "brier": means[:, 2],
                "mpc": means[:, 3],
                "rpc": means[:, 3] / accuracy.clamp(min=1 / len(self._labels)),
                "corrupted_ece": torch.stack(self._eces).mean(0),
            },
        )

    def _calibration(self, logits: Tensor, found: Predictions | None) -> tuple[Tensor, Tensor, Tensor]:
        """Of one test set: which images are right, what each adds to the ECE, the ECE of each resample."""
        found = found or predictions_of(logits, self._labels)
        hit = found.correct
        gap = found.confidence - hit
        bins = torch.empty(len(gap), dtype=torch.int64)
        for number, members in enumerate(found.order.tensor_split(self._bins)):
            bins[members] = number
        apart = torch.zeros(len(gap), self._bins).scatter_(1, bins[:, None], gap.float()[:, None])
        ece = (resampling(len(gap)) @ apart).abs().sum(1).double()
        return hit, _softened(apart.double(), bins) * gap, ece


def _softened(apart: Tensor, bins: Tensor) -> Tensor:
    """The slope of each image's bin: +1 or -1 if its gap is certain, in between if noise may turn its sign.

    The ECE adds up absolute gaps. A gap far from zero moves with each of its images; one that is nothing but
    noise hardly moves, whichever image changes.
    """
    total = apart.sum(0)
    size = torch.bincount(bins, minlength=apart.shape[1]).clamp(min=1)
    spread = (apart.square().sum(0) - total.square() / size).clamp(min=1e-24).sqrt()
    return torch.erf(total / spread / 2**0.5)[bins]


@lru_cache(maxsize=2)
def resampling(images: int) -> Tensor:
    """Weights of a bootstrap (Efron 1979): float32 (RESAMPLES, images), each row adding up to 1."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randint(images, (RESAMPLES, images), generator=generator)
    return torch.zeros(RESAMPLES, images).scatter_add_(1, drawn, torch.full(drawn.shape, 1 / images))


def resampled(function: Callable[..., float], logits: Tensor, labels: Tensor) -> Tensor | None:
    """A user's own metric on resampled test images: float64 (FEW_RESAMPLES,).

    None if it has no value on some of them, as a metric may that needs every class.
    """
    generator = torch.Generator().manual_seed(_SEED)
    values = []
    for _ in range(FEW_RESAMPLES):
        drawn = torch.randint(len(labels), (len(labels),), generator=generator)
        try:
            values.append(float(function(logits[drawn], labels[drawn])))
        except Exception:  # noqa: BLE001 - whatever a user's function raises: then it has no sampling error
            return None
    replicates = torch.tensor(values, dtype=torch.float64)
    return replicates if replicates.isfinite().all() else None


def errors_of(samples: list[Sampled]) -> dict[str, float]:
    """Standard error, by metric, of the mean over networks tested on the same images.

    A user's own metric that could not be resampled for one of the networks has none.
    """
    return {
        name: float(torch.stack([sample.replicates[name] for sample in samples]).mean(0).std())
        for name in samples[0].replicates
        if all(name in sample.replicates for sample in samples)
    }


def paired_errors(difference: Mapping[str, Tensor]) -> dict[str, float]:
    """Standard errors of the mean of differences by image, each float (N,)."""
    names = list(difference)
    stacked = torch.stack([difference[name] for name in names], dim=1).double()
    spread = (resampling(len(stacked)).double() @ stacked).std(0)
    return {name: float(error) for name, error in zip(names, spread, strict=True)}
