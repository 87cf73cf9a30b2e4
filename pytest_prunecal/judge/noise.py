"""Training noise of a model's cells, from its baseline alone: nothing of the run under test enters.

The variance over seeds of one network's metric, on the metric's `Scale`, is what the accepted seeds show,
moderated by what the protocol's prior expects of the cell (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3,
eq. 1):

    v = (freedom s0 + (K - 1) sd^2) / (freedom + K - 1)
    s0 = level ((paired + error^2) se^2 + (damage (y - dense))^2)

`level`, one a metric, fits the prior to the model's cells by the mean of their log variances (ibid., section
6.2), drawn towards 1 as by one cell that agrees with the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prunecal.judge.scale import scale_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.uncertainty import Uncertainty

_LARGEST = 1e200
_FAR = 6.0  # from where on the asymptotic series of digamma is good to 1e-9


@dataclass(frozen=True)
class Accepted:
    """One metric of one accepted cell.

    Attributes:
        mean: the metric.
        uncertainty: how sure it is.
        dense: the metric of the accepted dense cell; None if there is none.
        share_base: whether all its seeds started from one base network.
    """

    mean: float
    uncertainty: Uncertainty
    dense: float | None = None
    share_base: bool = False

    def over(self, kind: str) -> Uncertainty:
        """How sure it is under a kind of comparison: seeds that share a base tell nothing of other bases."""
        if self.share_base and kind != "finetune":
            return replace(self.uncertainty, sd=None, seeds=1, first=None)
        return self.uncertainty

    def deviating(self, sd: float | None) -> Accepted:
        """The same with another deviation over seeds; with that of a single seed where it is None."""
        seeds = self.uncertainty.seeds if sd is not None else 1
        return replace(self, uncertainty=replace(self.uncertainty, sd=sd, seeds=seeds, first=None))


@dataclass(frozen=True)
class Spread:
    """Training noise of one network's metric, on the metric's scale.

    Attributes:
        variance: over seeds, >= 0.
        freedom: its degrees of freedom.
        seeds: whose mean the accepted number is.
        by_images: share of the variance that more test images would lower, in [0, 1].
    """

    variance: float
    freedom: int
    seeds: int
    by_images: float


def spread(
    kind: str, name: str, metric: Metric | None, accepted: Accepted, noise: Noise, level: float = 1.0
) -> Spread:
    """The training noise of one metric of one cell.

    Args:
        kind: of comparison, one of `study.prior.KINDS`.
        name: the metric's.
        metric: what is known of it.
        accepted: the baseline's side.
        noise: the protocol's prior.
        level: what the prior's variance is multiplied by, see `levels`.
    """
    sure = accepted.over(kind)
    expected, by_images = _expected(kind, name, metric, accepted, noise)
    seen = 0.0 if sure.sd is None else (sure.sd * scale_of(metric).slope(accepted.mean)) ** 2
    freedom = noise.freedom + sure.seeds - 1
    total = (noise.freedom * level * expected + (sure.seeds - 1) * seen) / freedom
    return Spread(min(total, _LARGEST), freedom, sure.seeds, by_images)


def levels(
    kind: str, cells: Iterable[Mapping[str, Accepted]], noise: Noise, metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """By metric, what fits the prior's variance to that of a model's cells over their accepted seeds.

    Args:
        kind: of comparison, one of `study.prior.KINDS`.
        cells: of the whole baseline file, by metric.
        noise: the protocol's prior.
        metrics: what is known of each metric.
    """
    logs: dict[str, list[float]] = {}
    for cell in cells:
        for name, accepted in cell.items():
            sure = accepted.over(kind)
            expected, _ = _expected(kind, name, metrics.get(name), accepted, noise)
            seen = (sure.sd or 0.0) * scale_of(metrics.get(name)).slope(accepted.mean)
            if sure.seeds > 1 and 0 < seen < _LARGEST and expected > 0:
                half = (sure.seeds - 1) / 2
                excess = 2 * math.log(seen) - math.log(expected) - digamma(half) + math.log(half)
                logs.setdefault(name, []).append(excess)
    half = noise.freedom / 2
    of_prior = digamma(half) - math.log(half)
    return {
        name: math.exp(min(sum(each + of_prior for each in found) / (len(found) + 1), 100.0))
        for name, found in logs.items()
    }


def _expected(
    kind: str, name: str, metric: Metric | None, accepted: Accepted, noise: Noise
) -> tuple[float, float]:
    """What the prior expects of a variance on the scale, and the share of it that is of the test images."""
    share, se = noise.share(kind, name), accepted.uncertainty.se or 0.0
    damage = 0.0 if accepted.dense is None else abs(accepted.mean - accepted.dense)
    of_images = (noise.paired + share.error * share.error) * se * se
    total = noise.paired * se * se + share.variance(se, damage, accepted.mean)
    if not 0 < total < math.inf:
        return (_LARGEST if total else 0.0), 0.0
    slope = scale_of(metric).slope(accepted.mean)
    return min(total * slope * slope, _LARGEST), of_images / total


def digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function (Abramowitz & Stegun 1964, 6.3.5 and 6.3.18), x > 0."""
    below = 0.0
    while x < _FAR:
        below += 1 / x
        x += 1
    square = 1 / (x * x)
    return math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252)) - below
