"""What the gate can see: the smallest regression that each comparison catches, and what would sharpen it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.judge.holm import rejected
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.text_table import signed, table
from pytest_prunecal.study.metric import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

Row = tuple["CellResult", "MetricVerdict", "Allowance"]


def compared(model: ModelRun) -> list[Row]:
    """Every comparison under `auto` of a model."""
    return [
        (result, row, row.allowance)
        for result in model.results
        if result.verdict
        for row in result.verdict.metrics
        if row.allowance
    ]


def further(run: Run) -> list[tuple[ModelRun, CellResult, MetricVerdict]]:
    """What Holm's procedure rejects of the whole run besides what the cells rejected by themselves."""
    rows = {
        (model.model, result.cell.id, row.metric): (model, result, row)
        for model in run.models
        for result, row, _ in compared(model)
        if row.p_value is not None
    }
    p_values = {key: row.p_value or 0.0 for key, (_, _, row) in rows.items()}
    names = rejected(p_values, run.protocol.false_alarms, run.comparisons)
    return [rows[key] for key in rows if key in names and rows[key][2].status is not Status.REGRESSION]


def sight(model: ModelRun, run: Run) -> Iterator[str]:
    """Say which comparisons were made, and where noise hides what the protocol says matters."""
    rows = compared(model)
    if not rows:
        return
    noisy = [(found.basis, result.cell.id) for result, _, found in rows if found.sd]
    for basis, cells in _grouped(noisy).items():
        yield f"compared: {basis} ({_few(cells)})"
    for why, cells in _grouped(
        [
            (result.pairing.unpaired, result.cell.id)
            for result, _, found in rows
            if found.sd and result.pairing
        ]
    ).items():
        if why:
            yield f"not paired by image, hence less sharp: {why} ({_few(cells)})"
    if any(row.baseline_uncertainty.seeds == 1 and found.sd for _, row, found in rows):
        yield (
            "training noise is the protocol's estimate where the baseline has one seed; "
            "--prunecal-seeds=3 --prunecal-update measures it"
        )
    if line := blindness(model, run):
        yield line


def blindness(model: ModelRun, run: Run) -> str:
    """Where noise hides what the protocol says matters, by its worst example; empty where it does not."""
    return blindness_of(compared(model), run)


def blindness_of(rows: list[Row], run: Run) -> str:
    """The same of any comparisons."""
    blind = [(result, row, found) for result, row, found in rows if found.blind]
    if not blind:
        return ""
    result, row, found = max(blind, key=lambda item: item[2].noise / max(effect_of(item[1], run), 1e-12))
    return (
        f"{len(blind)} of {len(rows)} comparisons cannot see all that matters; the dullest is "
        f"{result.cell.id} {row.metric}: caught from {written(found.detectable)} on, "
        f"{written(effect_of(row, run))} matters; {cure(found)}"
    )


def implied(run: Run, model: ModelRun) -> list[str]:
    """What `further` finds of one model, in words."""
    return [
        f"{result.cell.id}: given these regressions, {row.metric} {signed(row.change or 0)} is one too"
        for where, result, row in further(run)
        if where is model
    ]


def listing(model: ModelRun) -> Iterator[str]:
    """List the smallest regression that each comparison of a model catches with a probability of 0.95."""
    return listing_of(compared(model))


def listing_of(rows: list[Row]) -> Iterator[str]:
    """The same of any comparisons."""
    metrics = list(dict.fromkeys(row.metric for _, row, _ in rows))
    by_cell: dict[str, dict[str, str]] = {}
    for result, row, found in rows:
        mark = "*" if found.blind else ""
        by_cell.setdefault(result.cell.id, {})[row.metric] = shown(row, found.detectable) + mark
    if by_cell:
        yield ""
        yield "smallest regression caught with 95 % probability (* noise hides smaller ones that matter)"
        yield from table(
            ["cell", *metrics],
            [[cell, *(cells.get(metric, "") for metric in metrics)] for cell, cells in by_cell.items()],
        )


def cure(found: Allowance) -> str:
    """What would bring the noise down to the smallest effect that matters, estimated."""
    seeds = f"{found.seeds} seeds on both sides" if found.seeds else ""
    images = f"{found.images:.1f} times the test images" if found.images else ""
    either = " or ".join(part for part in (seeds, images) if part)
    return (
        f"about {either} would show it" if either else "no affordable number of seeds or images would show it"
    )


def shown(row: MetricVerdict, value: float) -> str:
    """A bound in the way of its metric: counts in full."""
    return written(round(value)) if isinstance(row.measured, int) and math.isfinite(value) else written(value)


def effect_of(row: MetricVerdict, run: Run) -> float:
    """The smallest change of a metric that matters."""
    effect, value = run.protocol.min_effect.get(row.metric), row.baseline
    if value is None:
        value = row.measured
    return effect.bound(value) if effect and value is not None else 0.0


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, dict[str, None]] = {}
    for key, cell in pairs:
        groups.setdefault(key, {})[cell] = None
    return {key: list(cells) for key, cells in groups.items()}


def _few(cells: list[str]) -> str:
    return ", ".join(cells) if len(cells) <= 3 else f"{len(cells)} cells"
