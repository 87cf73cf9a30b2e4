"""Tolerances: how far a metric may move for the worse before that is a regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.yaml_schema import number, optional, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.yaml_reader import Value
    from pytest_prunecal.study.yaml_schema import Reader

ALL = "*"
"""Stands for every metric, where a file says `tolerance: auto`."""


@dataclass(frozen=True)
class Tolerance:
    """Room for one metric: what its noise explains, or the larger of two bounds, as in `pytest.approx`.

    Attributes:
        abs: absolute bound, in the metric's own unit, >= 0.
        rel: relative bound, as a share of the baseline's magnitude, >= 0.
        source: where the rule is written: `protocol quick`, or `file:line`.
        auto: whether the bound follows from the noise instead; see `pytest_prunecal.judge.auto_tolerance`.

    Example:
        >>> Tolerance(abs=0.02, rel=0.05).bound(baseline=0.8)
        0.04000000000000001
        >>> str(Tolerance(abs=0.02, rel=0.05))
        '0.02 or 5%'
    """

    abs: float = 0.0
    rel: float = 0.0
    source: str = "no tolerance given"
    auto: bool = False

    def bound(self, baseline: float) -> float:
        """How far from `baseline` is still within a fixed tolerance, in the metric's own unit."""
        return max(self.abs, self.rel * abs(baseline))

    def __str__(self) -> str:
        """`auto`, `0.02`, `5%`, `0.02 or 5%`, `exact`."""
        if self.auto:
            return "auto"
        bounds = ([f"{self.abs:g}"] if self.abs else []) + ([f"{100 * self.rel:.3g}%"] if self.rel else [])
        return " or ".join(bounds) or "exact"


EXACT = Tolerance()
AUTO = Tolerance(auto=True, source="default")


def read_tolerances(value: Value, source: str = "") -> dict[str, Tolerance]:
    """Read a `tolerance:`: `auto`, or by metric `auto`, a number, `{abs: number}`, `{rel: number}` or both.

    Args:
        value: the text or mapping.
        source: where to say that the rules are written; default: each rule's file and line.
    """
    if value.content is None:
        return {ALL: _single(value, source)}
    return {metric: _rule(rule, source) for metric, rule in value.mapping().items()}


_BOUNDS: Reader[dict[str, Any]] = record(dict, abs=optional(number(0)), rel=optional(number(0)))


def _rule(rule: Value, source: str) -> Tolerance:
    if rule.content is None:
        if rule.scalar() == "auto":
            return _single(rule, source)
        return Tolerance(rule.number(low=0), source=source or rule.where)
    bounds = _BOUNDS(rule)
    if not bounds:
        rule.fail(f"{rule.label} is empty; give abs, rel or both, such as {{abs: 0.02}}, or auto")
    return Tolerance(**bounds, source=source or rule.where)


def _single(value: Value, source: str) -> Tolerance:
    if value.scalar() != "auto":
        value.fail(f"{value.label} must be auto, or a rule by metric such as {{mpc: {{abs: 0.02}}}}")
    return Tolerance(auto=True, source=source or value.where)


def resolve(*levels: Mapping[str, Tolerance]) -> dict[str, Tolerance]:
    """Merge tolerances, the last level that names a metric winning: protocol, file, cell.

    A level that says `auto` for all metrics takes the place of every rule of the levels before it.

    Example:
        >>> rules = resolve({"ece": Tolerance(0.01), "mpc": Tolerance(0.02)}, {"ece": Tolerance(0.03)})
        >>> rules["ece"].abs, rules["mpc"].abs
        (0.03, 0.02)
    """
    rules: dict[str, Tolerance] = {}
    for level in levels:
        rules = dict(level) if ALL in level else {**rules, **level}
    return rules


def rule_of(metric: str, rules: Mapping[str, Tolerance]) -> Tolerance:
    """The rule that applies to a metric: its own, else that of all metrics, else `auto`."""
    return rules.get(metric, rules.get(ALL, AUTO))
