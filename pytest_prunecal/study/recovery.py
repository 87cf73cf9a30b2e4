"""Recovery: what a compressed network keeps of the dense one of the same run, which needs no baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import NETWORK
from pytest_prunecal.study.yaml_schema import number, optional, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.yaml_reader import Value
    from pytest_prunecal.study.yaml_schema import Reader


@dataclass(frozen=True)
class Recovery:
    """A rule of a metric.

    Attributes:
        share: what the number is of the dense network's at worst: at least so much of it where higher is
            better (0.99), at most so much where lower is (1.1).
        abs: how far it may be worse, in the metric's own unit, >= 0; of both, the one that allows more
            counts.
        where: `file:line` of the rule.

    Example:
        >>> rule = Recovery(share=0.99, abs=0.02)
        >>> str(rule), round(rule.room(0.9), 3), round(rule.room(4.0), 3)
        ('99% of dense, or 0.02 worse', 0.02, 0.04)
    """

    share: float | None = None
    abs: float | None = None
    where: str = ""

    def room(self, dense: float) -> float:
        """How far a number may be worse than the dense network's, in the metric's own unit."""
        return max(self.abs or 0.0, self._by_share * abs(dense))

    def relative(self, dense: float) -> bool:
        """Whether it is the share that allows more."""
        return self._by_share * abs(dense) > (self.abs or 0.0)

    @property
    def _by_share(self) -> float:
        return 0.0 if self.share is None else abs(1 - self.share)

    def __str__(self) -> str:
        """`99% of dense`, `0.01 worse`, or both."""
        share = "" if self.share is None else f"{100 * self.share:.4g}% of dense"
        room = "" if self.abs is None else f"{self.abs:g} worse"
        return ", or ".join(part for part in (share, room) if part)


def read(value: Value) -> dict[str, Recovery]:
    """Read a `recovery:`: by metric a share, `{share: number}`, `{abs: number}` or both."""
    return {metric: _rule(rule) for metric, rule in value.mapping().items()}


_BOUNDS: Reader[dict[str, Any]] = record(dict, share=optional(number(0)), abs=optional(number(0)))


def _rule(rule: Value) -> Recovery:
    if rule.content is None:
        return Recovery(rule.number(low=0), where=rule.where)
    bounds = _BOUNDS(rule)
    if not bounds:
        rule.fail(f"{rule.label} is empty; give a share such as 0.99, or {{abs: 0.01}}, or both")
    return Recovery(**bounds, where=rule.where)


def resolve(*levels: Mapping[str, Recovery] | None) -> dict[str, Recovery]:
    """Merge rules, the last level that names a metric winning: protocol, file, cell.

    A level that is there and empty (`recovery: {}`) takes away the rules of the levels before it.

    Example:
        >>> rules = resolve({"ece": Recovery(abs=0.01), "mpc": Recovery(0.98)}, None, {"mpc": Recovery(0.9)})
        >>> rules["ece"].abs, rules["mpc"].share, resolve(rules, {})
        (0.01, 0.9, {})
    """
    rules: dict[str, Recovery] = {}
    for level in levels:
        if level is not None:
            rules = {**rules, **level} if level else {}
    return rules


def check(rules: Mapping[str, Recovery] | None, metrics: Mapping[str, Metric]) -> None:
    """Refuse rules that can mean nothing.

    Raises:
        PrunecalError: the metric is not known or not one of predictions, or its share asks for more than the
            dense network has; with file and line.
    """
    for name, rule in (rules or {}).items():
        metric, what = metrics.get(name), f"{rule.where}: recovery of {name}"
        if metric is None or metric.where == NETWORK:
            known = ", ".join(other for other, one in metrics.items() if one.where != NETWORK)
            why = (
                "there is no such metric" if metric is None else "it tells of the network, not of its answers"
            )
            raise PrunecalError(f"{what}: {why}; rules are about {known}")
        if rule.share is None:
            continue
        if metric.higher_is_better and rule.share > 1:
            raise PrunecalError(
                f"{what}: {rule.share:g} asks for more than the dense network has; higher is better, so give "
                "a share of at most 1, such as 0.99"
            )
        if not metric.higher_is_better and rule.share < 1:
            raise PrunecalError(
                f"{what}: {rule.share:g} asks for less than the dense network has; lower is better, so give "
                "a share of at least 1, such as 1.1, or {abs: 0.01}"
            )
