"""Checks of what was stored and may have been put there by anybody: of types, and of what numbers can be.

Each raises a ValueError or a TypeError. A number that is wrong and could be right cannot be told: whoever can
write into a store decides what its numbers are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.metric import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.metric import Metric

_ROUNDING = 1e-6
"""How far a mean of numbers within bounds may lie outside them."""


def record(value: object, what: str, names: set[str] | None = None) -> dict[str, Any]:
    """Check a mapping, of these names and no others where they are given."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{what} is no mapping")
    if names is not None and value.keys() != names:
        raise ValueError(f"{what} has not the entries {', '.join(sorted(names))}")
    return value


def text(value: object, what: str) -> str:
    """Check a text."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is no text")
    return value


def items(value: object, what: str) -> list[Any]:
    """Check a list."""
    if not isinstance(value, list):
        raise TypeError(f"{what} is no list")
    return value


def texts(value: object, what: str) -> tuple[str, ...]:
    """Check a list of texts."""
    return tuple(text(each, what) for each in items(value, what))


def truth(value: object, what: str) -> bool:
    """Check a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is neither true nor false")
    return value


def number(value: object, what: str, least: float = -math.inf) -> int | float:
    """Check a finite number, no bool."""
    if type(value) not in (int, float):
        raise TypeError(f"{what} is no number")
    assert isinstance(value, (int, float))  # noqa: S101 - for the type checker
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{what} is not finite, or less than {least}")
    return value


def whole(value: object, what: str, least: int) -> int:
    """Check a whole number."""
    found = number(value, what, least)
    if not isinstance(found, int):
        raise TypeError(f"{what} is no whole number")
    return found


def numbers(value: object, what: str, least: float = -math.inf) -> dict[str, int | float]:
    """Check a mapping of finite numbers."""
    return {name: number(each, f"{what}: {name}", least) for name, each in record(value, what).items()}


def _finite_or_not(value: object, what: str) -> dict[str, float]:
    found = record(value, what)
    return {name: each if each == math.inf else number(each, name) for name, each in found.items()}


def within_bounds(values: Mapping[str, float], metrics: Mapping[str, Metric]) -> None:
    """Check that each number is one that its metric can be; whole where the metric counts something."""
    for name, value in values.items():
        if name not in metrics:
            raise ValueError(f"there is no metric {name}")
        least, most = metrics[name].bounds
        if not least - _ROUNDING <= value <= most + _ROUNDING:
            raise ValueError(f"{name} is {value}, and lies between {least} and {most}")
        if metrics[name].count and metrics[name].where == NETWORK and value != int(value):
            raise ValueError(f"{name} is {value}, and is a whole number")


def scores(value: object, metrics: Mapping[str, Metric]) -> dict[str, dict[str, dict[str, float]]]:
    """Check the scores of corrupted sets, by corruption, severity and metric.

    They are shown and not compared, so one may be infinite where its metric may: an NLL is, where a network
    is sure of what is wrong.
    """
    found = {
        corruption: {
            severity: _finite_or_not(of_set, f"{corruption} {severity}")
            for severity, of_set in record(levels, corruption).items()
        }
        for corruption, levels in record(value, "the corrupted sets").items()
    }
    for levels in found.values():
        for of_set in levels.values():
            within_bounds(of_set, metrics)
    return found
