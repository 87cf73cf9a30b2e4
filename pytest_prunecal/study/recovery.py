"""Recovery: what a compressed network keeps of the dense one of the same run, which needs no baseline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recovery:
    """A rule of a metric.

    Attributes:
        share: what the number is of the dense network's at worst: at least so much of it where higher is
            better (0.99), at most so much where lower is (1.1).
        abs: how far it may be worse, in the metric's own unit, >= 0; of both, the one that allows more
            counts.
        where: `file:line` of the rule.
    """

    share: float | None = None
    abs: float | None = None
    where: str = ""
