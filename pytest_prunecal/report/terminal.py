"""The terminal summary: one line a cell, then what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.metric import written
from pytest_prunecal.report.facts import HEADLINE, reason
from pytest_prunecal.report.text import signed, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.report.run import CellResult, ModelRun, Run


def lines(run: Run) -> Iterator[str]:
    """Write the summary, line by line."""
    for model in run.models:
        yield from _model(model, run)
        yield ""
    totals = run.totals + (" (interrupted)" if run.interrupted else "")
    yield totals


def _model(model: ModelRun, run: Run) -> Iterator[str]:
    yield f"{model.model} under {run.protocol.name} ({run.protocol.fingerprint}), {model.file}"
    if model.results:
        header = ["cell"]
        for name in HEADLINE:
            header += [run.metrics[name].title, ""]
        yield from table([*header, "verdict"], [_row(result) for result in model.results])
    if model.environment:
        yield f"measured elsewhere than the baseline: {model.environment}"
    for result in model.results:
        for warning in result.measurement.warnings if result.measurement else ():
            yield f"{result.cell.id}: {warning}"
    improved = [result.cell.id for result in model.results if result.label == "improvement"]
    if improved:
        yield f"better than the baseline beyond tolerance: {', '.join(improved)}; keep it with"
        yield f"    {model.accept}"
    if model.orphans:
        yield (
            f"accepted cells that the protocol's grid no longer has: {', '.join(model.orphans)}; "
            "an update of the whole grid removes them"
        )
    if model.refreshed:
        yield model.refreshed


def _row(result: CellResult) -> list[str]:
    row = [result.cell.id]
    verdicts = {verdict.metric: verdict for verdict in result.verdict.metrics} if result.verdict else {}
    for name in HEADLINE:
        verdict = verdicts.get(name)
        if verdict is None or verdict.measured is None:
            row += ["-", ""]
            continue
        row += [written(verdict.measured), "" if verdict.change is None else signed(verdict.change)]
    if result.verdict is None:
        return [*row, f"error: {reason(result)}"]
    return [*row, result.verdict.headline if result.label == "regression" else result.label]
