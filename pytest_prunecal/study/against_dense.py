"""A compressed network beside the dense one of the same run, in one metric."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study import stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.metric import Metric

_ROUNDING = 1e-9
"""Share by which a covariance may exceed the product of its deviations."""


@dataclass(frozen=True)
class AgainstDense:
    """What is known of both numbers, tested on the same images.

    Attributes:
        dense: the dense network's number; the mean where there are several seeds.
        each: the dense network's number under each seed.
        se: sampling error of the compressed network's number, >= 0; None where it is not known.
        dense_se: that of the dense network's.
        covariance: of the two numbers over the same resampled test images; 0 where it is not known.
    """

    dense: float
    each: list[float]
    se: float | None = None
    dense_se: float | None = None
    covariance: float = 0.0

    def error(self, times: float) -> float:
        """Sampling error of the compressed network's number less `times` the dense one's, >= 0."""
        ours, theirs = self.se or 0.0, times * (self.dense_se or 0.0)
        return math.sqrt(max(ours * ours + theirs * theirs - 2 * times * self.covariance, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON and for crossing xdist."""
        return asdict(self)


def read(value: object, metrics: Mapping[str, Metric]) -> dict[str, AgainstDense]:
    """Read what was stored, by metric; raises ValueError or TypeError where it can be none."""
    found = {}
    for name, entry in stored.record(value, "what it is beside the dense network").items():
        data = stored.record(entry, name, {"dense", "each", "se", "dense_se", "covariance"})
        errors = {
            key: None if data[key] is None else float(stored.number(data[key], key, 0))
            for key in ("se", "dense_se")
        }
        one = AgainstDense(
            dense=float(stored.number(data["dense"], name)),
            each=[float(stored.number(each, name)) for each in stored.items(data["each"], name)],
            covariance=float(stored.number(data["covariance"], "covariance")),
            **errors,
        )
        for number in (one.dense, *one.each):
            stored.within_bounds({name: number}, metrics)
        if abs(one.covariance) > (one.se or 0.0) * (one.dense_se or 0.0) * (1 + _ROUNDING) + _ROUNDING**2:
            raise ValueError(f"its covariance of {name} is larger than its deviations allow")
        found[name] = one
    return found
