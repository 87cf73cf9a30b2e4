"""What the study writes down: of each judged run in memory, of all runs in a JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True)
class Row:
    """One comparison of a judged run.

    Attributes:
        worse: the measured number's change for the worse.
        judged: the change for the worse that the gate judged.
        bound: how far it may go.
        sd: its deviation under no change.
        detectable: the smallest true change for the worse that the gate claims to catch.
        power: the claimed probability of catching each of `study.EFFECTS`.
        basis: which comparison it is, in words.
        measured: the measured number.
    """

    worse: float
    judged: float
    bound: float
    sd: float
    detectable: float
    power: list[float]
    basis: str
    measured: float


@dataclass(frozen=True)
class Pooled:
    """One metric over the cells of a judged run.

    Attributes:
        judged: the mean change for the worse that the gate judged.
        detectable: the smallest true one that the gate claims to catch.
    """

    judged: float
    detectable: float


@dataclass(frozen=True)
class Judged:
    """What the gate said of one run.

    Attributes:
        failed: whether it failed.
        cells_failed: whether one of its cells did by itself.
        caught: `cell metric` of every regression.
        fixed: what fixed bounds would have caught instead, by bound.
        rows: by `cell metric`.
        together: by metric.
        size: bytes of the baseline's results by image.
    """

    failed: bool
    cells_failed: bool
    caught: list[str]
    fixed: dict[float, list[str]]
    rows: dict[str, Row]
    together: dict[str, Pooled]
    size: int


class Rate(TypedDict):
    """How many runs failed, and the 95 % interval of the rate that this tells of."""

    count: int
    runs: int
    rate: float
    interval: list[float]


FalseAlarms = TypedDict(
    "FalseAlarms",
    {
        "auto": Rate,
        "auto, fresh runs": Rate,
        "auto, cells alone": Rate,
        "fixed 0.005": Rate,
        "fixed 0.01": Rate,
        "caught": dict[str, int],
        "bases": dict[str, int],
    },
)
"""Of runs without a change: how many fail, by each rule; what is caught, and which comparisons were made."""

Detection = TypedDict(
    "Detection",
    {
        "what": str,
        "effect": float,
        "claimed": float,
        "above": bool,
        "auto": Rate,
        "cells": Rate,
        "fixed 0.005": Rate,
        "fixed 0.01": Rate,
        "caught by": list[tuple[str, int]],
    },
)
"""Of a fault: where it stands out most, its true effect there, the smallest that the gate claims to catch,
whether that is exceeded, how often each rule caught it, and what did."""

Point = TypedDict(
    "Point",
    {"effect": float, "predicted": float, "observed": float, "by metric": dict[str, list[float]]},
)
"""Power at one effect, a share of the smallest claimed to be caught: predicted and observed."""

Results = TypedDict(
    "Results",
    {
        "false alarms": dict[str, FalseAlarms],
        "detection": dict[str, dict[str, Detection]],
        "calibration": dict[str, list[Point]],
        "bytes of results by image": int,
    },
)
"""All of the study: by situation and seeds of the baseline; detection by the latter and by fault."""
