"""Power claimed and observed: effects planted in what networks say of images, not added to numbers.

`predictions turned` gives a share of the images the network's second choice, in the code that evaluates; all
metrics are then computed from such predictions. The same training without it tells the true effect, free of
training noise.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from detection import FAULT_SEEDS, gate_of, order, subject
from false_alarms import BASELINE, SEEDS, trials
from gate import Gate
from lab import METRICS, drawn, tiny

from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.looks import MOST
from pytest_prunecal.study.metric import METRICS as KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from records import Point

    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.lab.over_seeds import Trial

FAULT = "predictions turned"
SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
RUNS = 20
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.93, 0.97, 0.9999, 1.1)
"""Of claimed power; the one from 0.93 to 0.97 is what `detectable` promises."""


def fault_of(share: float) -> str:
    return FAULT if share == 0.02 else f"{FAULT}={share:g}"


def true_effects(folder: Path, share: float) -> dict[tuple[str, str], float]:
    """By cell and metric, by how much a share of turned predictions makes it worse."""
    found = {}
    for cell in tiny().cells:
        for metric in METRICS:
            changes = [
                trials(folder, seed, fault_of(share))[cell.id].measurement.metrics[metric]
                - trials(folder, seed)[cell.id].measurement.metrics[metric]
                for seed in range(1, FAULT_SEEDS + 1)
            ]
            found[cell.id, metric] = scale_of(KNOWN[metric]).sign * statistics.fmean(changes)
    return found


def untraced(run: Sequence[Mapping[str, Trial]]) -> list[dict[str, Trial]]:
    """The trials as those of a run whose fine-tuning differs: no seed is compared with itself."""
    return [
        {cell: replace(one, measurement=replace(one.measurement, trace=None)) for cell, one in each.items()}
        for each in run
    ]


def path_of(looks: Sequence[CellVerdict], metric: str) -> bool:
    """Whether a cell's looks catch one metric, each look being had only if this metric asks for it."""
    for verdict in looks:
        row = next(row for row in verdict.metrics if row.metric == metric)
        if row.status is Status.REGRESSION:
            return True
        if not row.more:
            return False
    return False


def pairs(folder: Path, *, same_seed: bool) -> list[tuple[float, bool]]:
    """Power claimed, and whether the effect was caught, of every comparison of every run at every share."""
    found = []
    effects = {share: true_effects(folder, share) for share in SHARES}
    for number in range(RUNS):
        if same_seed:
            gate, seeds = gate_of(folder, number), order(number)[:FAULT_SEEDS]
        else:
            fresh = drawn(number, range(FAULT_SEEDS + 1, SEEDS + 1), BASELINE)
            gate = Gate(subject(), [trials(folder, seed) for seed in fresh])
            seeds = drawn(number, range(1, FAULT_SEEDS + 1), min(MOST, FAULT_SEEDS))
        for share, by_row in effects.items():
            run = [trials(folder, seed, fault_of(share)) for seed in seeds]
            for cell in gate.file.cells:
                if cell.pruner is None:
                    continue
                looks = gate.looks(cell, run if same_seed else untraced(run))
                for metric in METRICS:
                    row = next(row for row in looks[0].metrics if row.metric == metric)
                    effect = by_row[cell.id, metric]
                    if effect > 0 and row.allowance:
                        found.append((row.allowance.power(effect), path_of(looks, metric)))
    return found


def report(folder: Path) -> dict[str, list[Point]]:
    """Claimed and observed, in bins of what is claimed."""
    return {
        what: binned(pairs(folder, same_seed=same))
        for what, same in (("fine-tuning differs", False), ("the same seed", True))
    }


def binned(found: Sequence[tuple[float, bool]]) -> list[Point]:
    """Sum up by claimed power."""
    points: list[Point] = []
    for low, high in pairwise(BINS):
        inside = [(said, seen) for said, seen in found if low <= said < high]
        if inside:
            points.append(
                {
                    "claimed": statistics.fmean(said for said, _ in inside),
                    "observed": statistics.fmean(seen for _, seen in inside),
                    "comparisons": len(inside),
                }
            )
    return points
