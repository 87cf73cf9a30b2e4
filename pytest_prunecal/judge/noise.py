"""Training noise of a model's cells, from its baseline alone: nothing of the run under test enters.

The variance over seeds of one network's metric, on the metric's `Scale`, is what the accepted seeds show,
moderated by what the protocol's prior expects of the cell (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3,
eq. 1):

    v = (freedom s0 + (K - 1) sd^2) / (freedom + K - 1)
    s0 = a (paired + error^2) se^2 + b (damage (harm by which y is worse than the dense cell))^2

a and b, one of each a metric, fit the prior to the model's cells by the logarithms of their variances (ibid.,
section 6.2): where pruning does harm, some models mend it in every training alike and others do not. Both are
drawn towards 1, as by one cell that agrees with the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.metric import DECIMALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.uncertainty import Uncertainty

LEAST_FREEDOM = 8
"""Degrees of freedom that a variance has at least, however few seeds were accepted.

With the prior's own four, Student's t allows many times what the noise of a training was ever seen to do: of
splits of 60 real trainings of each of four damaged cells, at most 0.3 % failed without a change with eight.
"""

_LARGEST = 1e200
_RECORDED = 0.5 * 10.0**-DECIMALS  # of which a number has no more digits: a smaller deviation tells nothing
_LARGEST_LOG = 50.0
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


class Level(NamedTuple):
    """What the parts of a prior's variance are multiplied by.

    Attributes:
        images: that of the sampling error.
        damage: that of how far a cell lies from the dense one.
    """

    images: float = 1.0
    damage: float = 1.0


AS_EXPECTED = Level()


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
    kind: str,
    name: str,
    metric: Metric | None,
    accepted: Accepted,
    noise: Noise,
    level: Level = AS_EXPECTED,
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
    parts = _expected(kind, name, metric, accepted, noise)
    expected = min(level.images * parts.images + level.damage * parts.damage, _LARGEST)
    by_images = level.images * parts.images / expected if expected else 0.0
    seen = min((sure.sd or 0.0) * scale_of(metric).slope(accepted.mean), math.sqrt(_LARGEST))
    freedom = noise.freedom + sure.seeds - 1
    total = (noise.freedom * expected + (sure.seeds - 1) * seen * seen) / freedom
    return Spread(min(total, _LARGEST), max(freedom, LEAST_FREEDOM), sure.seeds, min(by_images, 1.0))


def levels(
    kind: str, cells: Iterable[Mapping[str, Accepted]], noise: Noise, metrics: Mapping[str, Metric]
) -> dict[str, Level]:
    """By metric, what fits the parts of the prior's variance to those of a model's cells over accepted seeds.

    Args:
        kind: of comparison, one of `study.prior.KINDS`.
        cells: of the whole baseline file, by metric.
        noise: the protocol's prior.
        metrics: what is known of each metric.
    """
    half = noise.freedom / 2
    of_prior = digamma(half) - math.log(half)
    excesses: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        for name, accepted in cell.items():
            sure = accepted.over(kind)
            parts = _expected(kind, name, metrics.get(name), accepted, noise)
            total = parts.images + parts.damage
            seen = (sure.sd or 0.0) * scale_of(metrics.get(name)).slope(accepted.mean)
            if sure.seeds > 1 and (sure.sd or 0.0) >= _RECORDED and seen < _LARGEST and total > 0:
                half = (sure.seeds - 1) / 2
                excess = 2 * math.log(seen) - math.log(total) - digamma(half) + math.log(half) + of_prior
                excesses.setdefault(name, []).append((parts.damage / total, excess))
    return {name: _fitted(found) for name, found in excesses.items()}


def _fitted(excesses: Sequence[tuple[float, float]]) -> Level:
    """Fit a cell's excess over the prior by the share of damage in it: least squares, drawn towards none."""
    both = sum(share * (1 - share) for share, _ in excesses)
    images = 1 + sum((1 - share) ** 2 for share, _ in excesses)
    damage = 1 + sum(share * share for share, _ in excesses)
    of_images = sum((1 - share) * excess for share, excess in excesses)
    of_damage = sum(share * excess for share, excess in excesses)
    scale = images * damage - both * both  # >= 1
    logs = (
        (damage * of_images - both * of_damage) / scale,
        (images * of_damage - both * of_images) / scale,
    )
    return Level(*(math.exp(min(max(one, -_LARGEST_LOG), _LARGEST_LOG)) for one in logs))


class _Parts(NamedTuple):
    """What the prior expects of a variance on the scale: by the test images, and by everything else."""

    images: float
    damage: float


def _expected(kind: str, name: str, metric: Metric | None, accepted: Accepted, noise: Noise) -> _Parts:
    share, se = noise.share(kind, name), accepted.uncertainty.se or 0.0
    scale = scale_of(metric)
    harm = 0.0 if accepted.dense is None else scale.sign * (accepted.mean - accepted.dense)
    # A cell that is better than the dense one was not harmed; of a count, either direction tells how much.
    harm = abs(harm) if scale.best is None else max(harm, 0.0)
    squared = scale.slope(accepted.mean) ** 2
    images = (noise.paired + share.error * share.error) * se * se * squared
    damage = share.variance(0.0, harm, accepted.mean) * squared
    return _Parts(*(min(_LARGEST, part) for part in (images, damage)))


def digamma(x: float) -> float:
    """Logarithmic derivative of the gamma function (Abramowitz & Stegun 1964, 6.3.5 and 6.3.18), x > 0."""
    below = 0.0
    while x < _FAR:
        below += 1 / x
        x += 1
    square = 1 / (x * x)
    return math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252)) - below
