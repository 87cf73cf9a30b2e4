"""The terminal summary: one line a cell, then what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.report import forecast
from pytest_prunecal.report.failure import together_table
from pytest_prunecal.report.power import implied, listing, sight
from pytest_prunecal.report.text_table import signed, sure, table
from pytest_prunecal.report.wording import HEADLINE, reason
from pytest_prunecal.study.metric import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.report.run import CellResult, ModelRun, Run


def lines(run: Run) -> Iterator[str]:
    """Write the summary, line by line."""
    for model in run.models:
        yield from _model(model, run)
        yield ""
    yield from _further(run)
    totals = run.totals + (" (interrupted)" if run.interrupted else "")
    yield totals
    if run.reused:
        yield "reused: nothing that these numbers depend on has changed; --prunecal-fresh measures again"


def _model(model: ModelRun, run: Run) -> Iterator[str]:
    yield f"{model.model} under {run.protocol.name} ({run.protocol.fingerprint}), {model.file}"
    if model.results:
        header = ["cell"]
        for name in HEADLINE:
            header += [run.metrics[name].title, "", ""]
        yield from table([*header, "verdict"], [_row(result) for result in model.results])
        yield from _legend(model)
    if model.environment:
        yield f"measured elsewhere than the baseline: {model.environment}"
        yield "    under auto that is allowed for like another training; a fixed tolerance stays as it is"
    yield from sight(model, run)
    yield from _together(model, run)
    if run.power:
        yield from listing(model)
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
    yield from forecast.lines(model, run)
    if model.refreshed:
        yield model.refreshed


def _together(model: ModelRun, run: Run) -> Iterator[str]:
    """The cells compared all at once, where anything changed or the user wants to know."""
    if model.together and (run.power or any(row.change for row in model.together)):
        yield ""
        yield "all cells together, weighted by how sure each is"
        yield from together_table(model.together)
        yield ""


def _legend(model: ModelRun) -> Iterator[str]:
    """What stands behind the numbers."""
    rows = [row for result in model.results if result.verdict for row in result.verdict.metrics]
    spread = any(row.measured_uncertainty.sd is not None for row in rows)
    if any(row.measured_uncertainty.se is not None for row in rows):
        yield f"± sampling error on the test images{'/deviation over seeds' if spread else ''}"


def _further(run: Run) -> Iterator[str]:
    """What Holm's procedure rejects besides, once the regressions are known."""
    for model in run.models:
        yield from (f"{model.model} {line}" for line in implied(run, model))


def _row(result: CellResult) -> list[str]:
    row = [result.cell.id]
    verdicts = {verdict.metric: verdict for verdict in result.verdict.metrics} if result.verdict else {}
    for name in HEADLINE:
        verdict = verdicts.get(name)
        if verdict is None or verdict.measured is None:
            row += ["-", "", ""]
            continue
        change = "" if verdict.change is None else signed(verdict.change)
        row += [written(verdict.measured), sure(verdict.measured_uncertainty), change]
    if result.verdict is None:
        return [*row, f"error: {reason(result)}"]
    return [*row, result.verdict.headline if result.label == "regression" else result.label]
