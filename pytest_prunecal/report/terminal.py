"""The terminal summary: one line a cell, then what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.report import ending, forecast
from pytest_prunecal.report.comparison import POOLED
from pytest_prunecal.report.looks import looked_again
from pytest_prunecal.report.numbers import number, signed, sure
from pytest_prunecal.report.power import compared, listing, recoveries, sight
from pytest_prunecal.report.text_table import comparison, table
from pytest_prunecal.report.wording import TOGETHER, briefly, differing, legend_of, reason, title_of, totals
from pytest_prunecal.study.metric import shown
from pytest_prunecal.study.text import LONGEST_TEXT, flowing, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_prunecal.report.run import CellResult, ModelRun, Run


def lines(run: Run) -> Iterator[str]:
    """Write the summary, line by line."""
    yield from map(line, _lines(run))


def _lines(run: Run) -> Iterator[str]:
    for model in run.models:
        yield from _model(model, run)
        yield ""
    yield totals(run.results) + (" (interrupted)" if run.interrupted else "")
    if any(result.reused for result in run.results):
        yield "reused: nothing that these numbers depend on has changed; --prunecal-fresh measures again"
    yield from ending.lines(run)


def _model(model: ModelRun, run: Run) -> Iterator[str]:
    yield f"{model.model} under {run.protocol.name} ({run.protocol.fingerprint}), {model.file}"
    if model.results:
        names = shown(run.metrics)
        titles = [part for name in names for part in (title_of(run.metrics[name]), "", "")]
        rows = [_row(result, names) for result in model.results]
        yield from table(["cell", *titles, "verdict"], rows)
    if legend := legend_of(model):
        yield legend
    if model.environment:
        yield f"measured elsewhere than the baseline: {flowing(model.environment)}"
        yield "    under auto that is allowed for like another training; a fixed tolerance stays as it is"
    yield from sight(model, run)
    yield from looked_again(model, run)
    yield from _pooled(model, run)
    if run.power:
        yield from listing(compared(model), run)
        yield from recoveries(model, run)
    for result in model.results:
        for warning in result.measurement.warnings if result.measurement else ():
            yield f"{result.cell.id}: {flowing(warning)}"
    improved = [result.cell.id for result in model.results if result.label == "improvement"]
    if improved:
        yield f"better than the baseline beyond tolerance: {', '.join(improved)}; keep it with"
        yield f"    {model.keep}"
    if model.orphans:
        orphans = line(", ".join(model.orphans), LONGEST_TEXT)
        yield (
            f"accepted cells that nothing registered or configured can make: {orphans}; "
            "an update of the whole grid removes them"
        )
    yield from forecast.lines(model, run)
    if model.refreshed:
        yield model.refreshed


def _pooled(model: ModelRun, run: Run) -> Iterator[str]:
    """The cells compared together, where anything changed or the user wants to know."""
    if model.pooled and (run.power or any(row.change for row in model.pooled)):
        yield ""
        yield TOGETHER
        yield from comparison(POOLED, model.pooled, run.metrics)
        yield ""


def _row(result: CellResult, names: Sequence[str]) -> list[str]:
    row = [result.cell.id]
    for name in names:
        row += [number(result.measured.get(name)), sure(result.sure(name)), signed(result.change(name))]
    if result.verdict is None:
        return [*row, f"error: {reason(result)}"]
    verdict = result.verdict
    full = result.label == "regression" or (result.label == "changed" and verdict.reason)
    said = verdict.headline if full else result.label
    if verdict.short:
        names = ", ".join(row.metric for row in verdict.short)
        said = f"{said} in {names}" if result.label == "unrecovered" else f"{said}; unrecovered in {names}"
    return [*row, "; ".join(part for part in (said, briefly(differing(result.verdict))) if part)]
