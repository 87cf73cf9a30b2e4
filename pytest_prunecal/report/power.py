"""What the gate can see: the smallest regression that each comparison catches, and what would sharpen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.report.comparison import CAUGHT
from pytest_prunecal.report.numbers import amount, caught
from pytest_prunecal.report.text_table import table
from pytest_prunecal.report.wording import BLIND, metric_of
from pytest_prunecal.report.yardstick import yardstick
from pytest_prunecal.study.metric import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import MetricVerdict, Recovered
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


def sight(model: ModelRun, run: Run) -> Iterator[str]:
    """Say which comparisons were made, and where noise hides what the protocol says matters."""
    rows = compared(model)
    if not rows:
        return
    noisy = [(yardstick(found), result.cell.id) for result, _, found in rows if found.sd]
    for words, cells in _grouped(noisy).items():
        yield f"compared {words} ({_few(cells)})"
    why = [
        (result.pairing.unpaired, result.cell.id) for result, _, found in rows if found.sd and result.pairing
    ]
    for words, cells in _grouped(why).items():
        if words:
            yield f"less sharp than it could be: {words} ({_few(cells)})"
    if line := blindness(rows, run):
        yield line


def blindness(rows: list[Row], run: Run) -> str:
    """Where noise hides what the protocol says matters, by its worst example; empty where it does not."""
    blind = [(result, row, found) for result, row, found in rows if found.blind]
    if not blind:
        return ""
    result, row, found = max(blind, key=lambda item: item[2].noise / max(effect_of(item[1], run), 1e-12))
    seen = caught(found.detectable, metric_of(row.metric, run.metrics), row.baseline)
    return (
        f"{len(blind)} of {len(rows)} comparisons cannot see all that matters; the dullest is "
        f"{result.cell.id} {row.metric}: caught from {seen} on, {hidden(row, run)}"
    ).replace("caught from none on", "no change is caught")


def by_cell(rows: list[Row], run: Run) -> tuple[list[str], dict[str, dict[str, MetricVerdict]]]:
    """Comparisons as a table: its metrics in canonical order, and by cell and metric what stands in it."""
    found: dict[str, dict[str, MetricVerdict]] = {}
    for result, row, _ in rows:
        found.setdefault(result.cell.id, {})[row.metric] = row
    return in_order({row.metric for _, row, _ in rows}, run.metrics), found


def listing(rows: list[Row], run: Run) -> Iterator[str]:
    """List the smallest regression that each comparison catches with a probability of 0.95."""
    if rows:
        metrics, cells = by_cell(rows, run)
        yield ""
        yield (
            f"smallest regression caught with 95 % probability ({BLIND} noise hides smaller ones that matter)"
        )
        yield from table(
            ["cell", *metrics],
            [[cell, *(_caught(found.get(name), run) for name in metrics)] for cell, found in cells.items()],
        )


def recoveries(model: ModelRun, run: Run) -> Iterator[str]:
    """List the smallest distance from the dense network that each rule of recovery catches, likewise."""
    cells = {
        result.cell.id: {row.metric: row for row in result.verdict.recovery}
        for result in model.results
        if result.verdict and result.verdict.recovery
    }
    if cells:
        names = in_order({name for found in cells.values() for name in found}, run.metrics)
        yield ""
        yield "smallest distance from the dense network that a rule of recovery catches with 95 % probability"
        yield from table(
            ["cell", *names],
            [[cell, *(_caught_of(found.get(name), run) for name in names)] for cell, found in cells.items()],
        )


def _caught_of(row: Recovered | None, run: Run) -> str:
    if row is None or row.dense is None:
        return ""
    return caught(row.detectable, metric_of(row.metric, run.metrics), row.dense)


def _caught(row: MetricVerdict | None, run: Run) -> str:
    if row is None:
        return ""
    mark = BLIND if row.allowance and row.allowance.blind else ""
    return CAUGHT.text(row, metric_of(row.metric, run.metrics)) + mark


def hidden(row: MetricVerdict, run: Run) -> str:
    """The smallest change that matters, and what would show it; empty where nothing is hidden."""
    if row.allowance is None or not row.allowance.blind:
        return ""
    return f"{amount(effect_of(row, run), metric_of(row.metric, run.metrics))} matters; {cure(row.allowance)}"


def cure(found: Allowance) -> str:
    """What would bring the noise down to the smallest effect that matters, estimated."""
    seeds, images = found.wanted_seeds, found.wanted_images
    either = " or ".join(
        part
        for part in (
            f"{seeds} accepted seeds (--prunecal-seeds={seeds} --prunecal-update)" if seeds else "",
            f"{images:.1f} times the test images" if images else "",
        )
        if part
    )
    return (
        f"about {either} would show it" if either else "no affordable number of seeds or images would show it"
    )


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
