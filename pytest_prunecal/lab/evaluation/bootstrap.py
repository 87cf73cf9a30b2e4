"""Sampling error: what the metrics of one network would be on other test images, and image by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


RESAMPLES = 500
"""Bootstrap resamples: the standard error is good to 3 % of itself."""
FEW_RESAMPLES = 50
"""Of a metric of the user's own, whose cost is not known: good to 10 %."""

_SEED = 20876


@dataclass(frozen=True)
class Sampled:
    """One network's results, image by image and resampled.

    Attributes:
        columns: by paired metric, what each image adds to it, float32 (N,): the mean of a column is the
            metric, of a calibration error a little less.
        replicates: by metric, float64: the metric on resampled test images, an image's clean and corrupted
            versions resampled together, and the same images for every network.
    """

    columns: dict[str, Tensor]
    replicates: dict[str, Tensor]


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


def resampled_means(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means of some columns, each float (N,), on resampled images: float64 (RESAMPLES,) each.

    Where all images say the same, so does every mean, exactly: the weights add up to 1 but for rounding.
    """
    if not columns:
        return {}
    stacked = torch.stack(list(columns.values()), dim=1).double()
    found = resampling(len(stacked)).double() @ stacked
    same = (stacked == stacked[0]).all(0)
    found[:, same] = stacked[0, same]
    return dict(zip(columns, found.unbind(1), strict=True))


def errors_of(samples: list[Sampled]) -> dict[str, float]:
    """Standard error, by metric, of the mean over networks tested on the same images.

    A user's own metric that could not be resampled for one of the networks has none.
    """
    return {
        name: float(torch.stack([sample.replicates[name] for sample in samples]).mean(0).std())
        for name in samples[0].replicates
        if all(name in sample.replicates for sample in samples)
    }
