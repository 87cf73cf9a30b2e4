"""How a measurement relates to the accepted one by what lies beside the baseline file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.image_results import paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.study.image_results import Columns, ImageResults
    from pytest_prunecal.study.metric import Metric


@dataclass(frozen=True)
class Pairing:
    """How a cell's measurement relates to the accepted one.

    Attributes:
        same_base: whether both started from the very same base network, by its digest.
        tuned: whether the cell was trained further after its base network; the dense cell was not.
        changes: by metric, how much more the cell differs from its own base network than the accepted one
            did from its own: (measured - its base) - (accepted - its base).
        change_sd: by metric, the deviation over the accepted seeds of the distance from the base network.
        unpaired: why nothing beside the file tells more; empty if it does.
        paired: by metric, the sampling error of the difference between two finished networks on the same test
            images, >= 0; empty for cells that are trained.
    """

    same_base: bool = False
    tuned: bool = True
    changes: dict[str, float] = field(default_factory=dict)
    change_sd: dict[str, float] = field(default_factory=dict)
    unpaired: str = ""
    paired: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON and for crossing xdist."""
        return asdict(self)


def pair(measured: ImageResults, accepted: ImageResults, *, tuned: bool) -> Pairing:
    """Compare two sides in what both know of themselves and of their base networks."""
    names = measured.base_metrics.keys() & accepted.base_metrics.keys()
    names &= measured.metrics.keys() & accepted.metrics.keys()
    return Pairing(
        same_base=measured.base == accepted.base,
        tuned=tuned,
        changes={
            name: (measured.metrics[name] - measured.base_metrics[name])
            - (accepted.metrics[name] - accepted.base_metrics[name])
            for name in measured.base_metrics
            if name in names
        },
        change_sd={name: sd for name, sd in accepted.change_sd.items() if name in names},
    )


def pair_finished(measured: ImageResults, accepted: ImageResults, metrics: Mapping[str, Metric]) -> Pairing:
    """Compare two finished networks image by image: nothing was trained, so the images are all the noise.

    Args:
        measured: the new side.
        accepted: the baseline's side.
        metrics: all there are.
    """
    if measured.cell.images != accepted.cell.images:
        return Pairing(
            tuned=False, unpaired="the baseline's results by image are of another number of images"
        )
    ours, theirs = (_columns(side.cell, side.metrics, metrics) for side in (measured, accepted))
    return Pairing(
        tuned=False,
        paired={name: error_of_mean(ours[name], theirs[name]) for name in ours if name in theirs},
    )


def _columns(
    content: Columns, values: Mapping[str, float], metrics: Mapping[str, Metric]
) -> dict[str, Sequence[float]]:
    """One network's columns; a quotient's follows from its parts', to first order (the delta method)."""
    columns: dict[str, Sequence[float]] = {name: content.values(name) for name in content.names}
    names = [name for name in paired(columns, metrics) if name in values]
    for name in names:
        if name not in columns:
            above, below = metrics[name].quotient or ("", "")
            divisor = values.get(below) or math.inf  # the rPC of a network that is never right is 0
            quotient = values[name]
            columns[name] = [
                (one - quotient * other) / divisor
                for one, other in zip(columns[above], columns[below], strict=True)
            ]
    return {name: columns[name] for name in names}


def error_of_mean(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Standard error of the mean of differences, image by image: sd of them / sqrt(N); NaN for one image.

    Example:
        >>> error_of_mean([1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0])
        0.28867513459481287
    """
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    count = len(differences)
    if count < 2:
        return math.nan
    mean = math.fsum(differences) / count
    squares = math.fsum((one - mean) ** 2 for one in differences)
    return math.sqrt(squares / (count - 1) / count)
