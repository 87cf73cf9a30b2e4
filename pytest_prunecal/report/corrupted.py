"""What reports tell of the corrupted test sets: their order, and the corruption that costs a cell most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.measurement import Measurement, Scores
    from pytest_prunecal.study.protocol import Protocol


@dataclass(frozen=True)
class Worst:
    """The corruption that costs a cell most: the lowest accuracy, averaged over its severities.

    Attributes:
        corruption: its name.
        accuracy: mean over its severities, in [0, 1].
        ece: mean over the same sets; None if they have none.
    """

    corruption: str
    accuracy: float
    ece: float | None


def corrupted_sets(measurement: Measurement, protocol: Protocol) -> dict[str, dict[str, Scores]]:
    """A measurement's corrupted sets in the protocol's order, severities ascending."""
    order = protocol.evaluation.corruptions
    names = sorted(
        measurement.corrupted,
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    return {
        name: {
            key: measurement.corrupted[name][key]
            for key in sorted(measurement.corrupted[name], key=by_severity)
        }
        for name in names
    }


def by_severity(text: str) -> tuple[float, str]:
    """Sort key of severities, which measurements carry as text."""
    return (int(text) if text.isdecimal() else math.inf, text)


def worst_corruption(measurement: Measurement, protocol: Protocol) -> Worst | None:
    """The corruption with the lowest mean accuracy, the first of equals; None where none is known."""
    candidates = []
    for name, levels in corrupted_sets(measurement, protocol).items():
        accuracy = mean_score(levels, "accuracy")
        if accuracy is not None:
            candidates.append(Worst(name, accuracy, mean_score(levels, "ece")))
    return min(candidates, key=lambda worst: worst.accuracy, default=None)


def mean_score(levels: Mapping[str, Scores], score: str) -> float | None:
    """Mean of one score over the severities that have it; None if none has."""
    values = [scores[score] for scores in levels.values() if score in scores]
    return sum(values) / len(values) if values else None
