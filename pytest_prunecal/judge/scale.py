"""The scale on which a metric's training noise is judged: the logarithm of the distance from the best value.

Where pruning did harm, trainings differ more, and mostly to the bad side. The logarithm of the distance from
what no network can beat takes both away; the offset keeps the scale nearly linear where networks are good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prunecal.study.metric import Metric

OFFSET = 0.02


@dataclass(frozen=True)
class Scale:
    """The scale of one metric; larger is worse.

    Attributes:
        sign: +1 for a metric that is better lower, -1 for one that is better higher.
        best: what no network can beat; None for a metric that is judged as it is.

    Example:
        >>> accuracy = Scale(-1, best=1.0)
        >>> round(accuracy.of(0.9) - accuracy.of(0.95), 3)
        0.539
        >>> round(accuracy.worsening(0.95, 0.539), 3)
        0.05
    """

    sign: int = 1
    best: float | None = None

    def of(self, value: float) -> float:
        """A number of the metric on the scale; a straight line goes on beyond what should be the best."""
        if self.best is None:
            return self.sign * value
        distance = self.sign * (value - self.best)
        return math.log(distance + OFFSET) if distance > 0 else math.log(OFFSET) + distance / OFFSET

    def slope(self, value: float) -> float:
        """How fast the scale rises there, per unit of the metric; > 0."""
        if self.best is None:
            return 1.0
        return 1 / (max(self.sign * (value - self.best), 0.0) + OFFSET)

    def worsening(self, value: float, by: float) -> float:
        """How much worse, in the metric's unit, a step on the scale makes a number; negative for better.

        Where that is more than a float holds, it is 1e304.
        """
        if self.best is None:
            return by
        place = min(self.of(value) + by, _HIGHEST)
        floor = math.log(OFFSET)
        distance = math.exp(place) - OFFSET if place > floor else (place - floor) * OFFSET
        return distance - self.sign * (value - self.best)


_HIGHEST = 700.0  # of what has an exponential: 1e304


def scale_of(metric: Metric | None) -> Scale:
    """A metric's scale; one that is not known is better lower, and judged as it is."""
    if metric is None:
        return Scale()
    return Scale(-1 if metric.higher_is_better else 1, metric.best)
