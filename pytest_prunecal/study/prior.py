"""Training noise as a protocol knows it beforehand, for baselines whose own seeds do not tell."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("finetune", "change", "retrain")
"""Where a comparison's training noise comes from: fine-tuning from the same base network; the change from a
base network that was trained anew; that base network itself, fine-tuned or not."""

DEFAULT = "default"


@dataclass(frozen=True)
class Share:
    """How large a metric's training noise is, in units of what every cell knows of itself.

    Attributes:
        error: standard deviation over seeds as a multiple of the sampling error.
        damage: as a share of how far the cell lies from the dense cell: where pruning did harm, how much of
            it fine-tuning mends is a matter of luck.
        value: as a share of the metric's magnitude, for counts.
    """

    error: float = 0.0
    damage: float = 0.0
    value: float = 0.0

    def variance(self, se: float, damage: float, value: float) -> float:
        """Variance over seeds of one network's metric, in the metric's unit squared."""
        parts = (self.error * se, self.damage * damage, self.value * value)
        return sum(part * part for part in parts)


@dataclass(frozen=True)
class Noise:
    """A protocol's prior of the training noise: a scaled inverse chi-squared distribution of its variance.

    Attributes:
        freedom: degrees of freedom: how many seeds, less one, the prior is worth, >= 1.
        paired: share of the sampling variance that is left between two trainings of a cell when both are
            tested on the same images; for estimates made before there is a second training.
        shares: by kind of comparison and metric; `default` for metrics that are not named.
    """

    freedom: int
    paired: float
    shares: dict[str, dict[str, Share]]

    def share(self, kind: str, metric: str) -> Share:
        """The prior of one metric under one kind of comparison."""
        by_metric = self.shares[kind]
        return by_metric.get(metric, by_metric[DEFAULT])
