"""What the shipped gate can see, from its baseline file alone: no training is needed for it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from damaged import BASELINES, accepted
from gate import file_of, of, settings_of
from lab import METRICS, Subject

from pytest_prunecal.baseline import images as images_file
from pytest_prunecal.judge.pooled import together
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.measurement import Measurement

if TYPE_CHECKING:
    from records import Sight

    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.study.cell import Cell

STEP = 1e-4
"""A run that differs in the last recorded digit: cells that are identical are not pooled."""


MODELS = ("vgg19", "resnet20")


def report() -> list[Sight]:
    """The smallest true effects that are caught with 95 %: of cells, of pruners, of the model."""
    return [row for model in MODELS for row in seen_by(model)]


def seen_by(model: str) -> list[Sight]:
    """What the shipped gate of one model sees."""
    protocol = protocol_file.load("quick", Path())
    settings, found = settings_of(protocol), accepted(model)
    assert found.images is not None
    images = images_file.load((BASELINES / found.images.file).read_bytes(), "images")
    file = file_of(found, Subject(model, model, protocol, Extensions()), images, settings)
    cells = [cell for cell in file.cells if cell.id in found.cells]
    other, same = (
        {cell.id: of(file, cell, _like(file, cell, traced=traced), settings) for cell in cells}
        for traced in (False, True)
    )
    rows: list[Sight] = []
    for what, verdicts in (("fine-tuning differs", other), ("the same seed", same)):
        by_cell = {cell.id: _seen(verdicts[cell.id]) for cell in cells if cell.pruner}
        for number, name in enumerate(("lower quartile", "median cell", "upper quartile")):
            seen = {
                metric: _quartile([one[metric] for one in by_cell.values()], number) for metric in METRICS
            }
            rows.append({"model": model, "what": f"{what}, {name}", "detectable": seen})
    assert file.family is not None
    pooled = together(
        [(cell.pruner, other[cell.id]) for cell in cells],
        settings.metrics,
        protocol.min_effect,
        file.family.rate.pooled,
    )
    for group in dict.fromkeys(row.group for row in pooled):
        found_here = {row.metric: row.detectable for row in pooled if row.group == group}
        rows.append({"model": model, "what": f"all cells of {group or model}", "detectable": found_here})
    return rows


def _quartile(values: list[float], number: int) -> float:
    return statistics.quantiles(values, n=4, method="inclusive")[number]


def _seen(verdict: CellVerdict) -> dict[str, float]:
    return {
        row.metric: row.allowance.detectable
        for row in verdict.metrics
        if row.metric in METRICS and row.allowance
    }


def _like(file: GateFile, cell: Cell, *, traced: bool) -> Measurement:
    """A run of one seed that comes out as accepted, but for its last digit; with its trace or without."""
    accepted = file.accepted(cell)
    assert accepted is not None
    off = STEP if cell.pruner else 0.0
    numbers = {name: value + off * (name in METRICS) for name, value in accepted.metrics.items()}
    each = {name: [value] for name, value in numbers.items()}
    provenance: dict[str, str | int | float] = {"base": "pinned", "corruptions": "generated"}
    trace = file.images[cell.id].trace if traced else None
    return Measurement(numbers, {}, provenance, each=each, trace=trace)
