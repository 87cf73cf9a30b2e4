"""What the study writes down, of each run in memory and of all runs in a JSON file."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Rate(TypedDict):
    """How many of some runs did something, and the 95 % interval of the rate that this tells of."""

    count: int
    runs: int
    interval: list[float]
    upper: float


def rate(flags: Sequence[bool]) -> Rate:
    """Count; intervals are Clopper and Pearson's (1934), `upper` is the one-sided limit."""
    test = stats.binomtest(sum(flags), len(flags), alternative="two-sided")
    above = stats.binomtest(sum(flags), len(flags), alternative="less")
    found = test.proportion_ci(0.95)
    return {
        "count": sum(flags),
        "runs": len(flags),
        "interval": [found.low, found.high],
        "upper": above.proportion_ci(0.95).high,
    }


@dataclass(frozen=True)
class Run:
    """What the gate said of one run.

    Attributes:
        caught: what failed, see `gate.Outcome.caught`.
        seeds: over how many seeds each tuned cell was measured.
        stages: of each cell whose trace differs, the first stage that does.
        decided: over how many seeds the last of the cells that failed was measured; 0 if none failed.
    """

    caught: list[str]
    seeds: dict[str, int]
    stages: dict[str, str]
    decided: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.caught)


class Quiet(TypedDict):
    """Runs without a change: how many fail, by what, and what they cost."""

    seeds: int
    failed: Rate
    cells: Rate
    cost: float
    looks: dict[str, int]
    caught: dict[str, int]


def quiet(seeds: int, runs: Sequence[Run]) -> Quiet:
    """Sum up runs without a change, `seeds` being how many different ones they are made of."""
    return {
        "seeds": seeds,
        "failed": rate([run.failed for run in runs]),
        "cells": rate([any("together" not in one for one in run.caught) for run in runs]),
        "cost": statistics.fmean(cost for run in runs for cost in run.seeds.values()),
        "looks": counted(cost for run in runs for cost in run.seeds.values()),
        "caught": counted(one for run in runs for one in run.caught),
    }


def counted(found: Iterable[object]) -> dict[str, int]:
    """How often each occurs, as JSON has it, in order."""
    counts = Counter(found)
    return {str(key): counts[key] for key in sorted(counts, key=lambda key: (isinstance(key, str), key))}


class Damaged(TypedDict):
    """One cell of a real gate over many splits of its seeds."""

    cell: str
    seeds: int
    failed: Rate
    cost: float
    caught: dict[str, int]


class Detection(TypedDict):
    """One fault over some runs: whether it is told, whether it fails, by what, and over how many seeds."""

    expected: str
    stages: dict[str, int]
    told: Rate
    failed: Rate
    decided: dict[str, int]
    caught: list[tuple[str, int]]
    what: str
    effect: float
    claimed: float


class Finished(TypedDict):
    """One candidate over resamplings of the test set: whether it fails, by what, and what it truly does.

    Attributes:
        fault: whether it is one.
        failed: how many resamplings it fails on.
        caught: by what.
        what: the metric in which the effect is the largest share of the claim.
        effect: on the whole test set, for the worse.
        claimed: the smallest that is caught with 95 %.
    """

    fault: bool
    failed: Rate
    caught: list[tuple[str, int]]
    what: str
    effect: float
    claimed: float


class Alike(TypedDict):
    """Two networks without a difference over resamplings of the test set: how many fail, and by what."""

    failed: Rate
    caught: list[tuple[str, int]]


class Candidates(TypedDict):
    """Finished networks: planted faults, and pairs that are equally good."""

    images: int
    planted: dict[str, Finished]
    alike: dict[str, Alike]


class Point(TypedDict):
    """Comparisons for which about the same power is claimed: how much, and what was caught."""

    claimed: float
    observed: float
    comparisons: int


class Sight(TypedDict):
    """What one comparison, or several pooled, can see: by metric, from which true effect on with 95 %."""

    model: str
    what: str
    detectable: dict[str, float]


class Elsewhere(TypedDict):
    """One session of the shipped gate in another environment.

    Attributes:
        what: the environment.
        cells: how many were measured.
        compared: how many of them had a trace to compare with.
        differ: what differs in the screen.
        labels: how many cells have each.
        cost: seeds looked at, the mean of tuned cells.
        worst: by metric, the largest change for the worse of any cell.
    """

    what: str
    cells: int
    compared: int
    differ: list[str]
    labels: dict[str, int]
    cost: float
    worst: dict[str, float]


Results = TypedDict(
    "Results",
    {
        "false alarms": dict[str, Quiet],
        "damaged": list[Damaged],
        "detection": dict[str, Detection],
        "power": dict[str, list[Point]],
        "candidates": Candidates,
        "detectable": list[Sight],
        "environments": list[Elsewhere],
    },
    total=False,
)
"""All of the study, part by part."""
