"""Tolerances: how far a metric may move for the worse before that is a regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.document import Value


@dataclass(frozen=True)
class Tolerance:
    """Room for one metric: the larger of the two bounds, as in `pytest.approx`.

    Attributes:
        abs: absolute bound, in the metric's own unit, >= 0.
        rel: relative bound, as a share of the baseline's magnitude, >= 0.
        source: where the rule is written: `protocol quick`, or `file:line`.
    """

    abs: float = 0.0
    rel: float = 0.0
    source: str = "no tolerance given"

    def bound(self, baseline: float) -> float:
        """How far from `baseline` is still within tolerance, in the metric's own unit."""
        return max(self.abs, self.rel * abs(baseline))

    def __str__(self) -> str:
        """`0.02`, `5%`, `0.02 or 5%`, `exact`."""
        bounds = ([f"{self.abs:g}"] if self.abs else []) + ([f"{100 * self.rel:.3g}%"] if self.rel else [])
        return " or ".join(bounds) or "exact"


EXACT = Tolerance()


def read_tolerances(value: Value, source: str = "") -> dict[str, Tolerance]:
    """Read a `tolerance:` mapping: metric name to `{abs: number}`, `{rel: number}` or both.

    Args:
        value: the mapping.
        source: where to say that the rules are written; default: each rule's file and line.
    """
    tolerances = {}
    for metric, rule in value.mapping().items():
        bounds = {kind: bound.number(low=0) for kind, bound in rule.mapping(("abs", "rel")).items()}
        if not bounds:
            rule.fail(f"{rule.label} is empty; give abs, rel or both, such as {{abs: 0.02}}")
        tolerances[metric] = Tolerance(**bounds, source=source or rule.where)
    return tolerances


def resolve(*levels: Mapping[str, Tolerance]) -> dict[str, Tolerance]:
    """Merge tolerances, the last level that names a metric winning: protocol, file, cell."""
    return {metric: rule for level in levels for metric, rule in level.items()}
