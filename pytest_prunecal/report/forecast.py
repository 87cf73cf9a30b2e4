"""What the baseline that a run just accepted will see, estimated before anything is compared with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_prunecal.judge.noise import Accepted
from pytest_prunecal.judge.outlook import ahead_of
from pytest_prunecal.report.power import blindness, listing
from pytest_prunecal.study.cell import DENSE
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.measurement import Number


def lines(model: ModelRun, run: Run) -> Iterator[str]:
    """Say it, for the cells that were accepted: runs from the same base network."""
    # A candidate is compared with another network on the same images: of that, nothing can be foreseen here.
    accepted = [result for result in model.results if result.accepted and not result.cell.candidate]
    dense = next((other.measurement for other in model.results if other.cell.id == DENSE), None)
    numbers = dense.metrics if dense else {}
    cells = {result.cell.id: found for result in accepted if (found := _numbers(result, numbers))}
    if not cells:
        return
    ahead = ahead_of(
        cells,
        {result.cell.id: _tuned_by(result) for result in accepted},
        run.protocol,
        run.metrics,
        given_base=all(_given_base(result) for result in accepted),
    )
    rows = [
        (result, *_foreseen(row, ahead.allowance(result.cell.id, row.metric)))
        for result in accepted
        for row in result.rows.values()
        if row.metric in cells.get(result.cell.id, {})
    ]
    yield "what the accepted numbers will show, estimated for runs from the same base network:"
    yield blindness(rows, run) or "every change that matters"
    if run.power:
        yield from listing(rows, run)


def _tuned_by(result: CellResult) -> str | None:
    """The cell's pruner; None where it is not fine-tuned, and so has no training noise of its own."""
    return result.cell.pruner if result.pairing is None or result.pairing.tuned else None


def _foreseen(row: MetricVerdict, found: Allowance) -> tuple[MetricVerdict, Allowance]:
    """What was measured as the baseline that it is by now."""
    return replace(row, baseline=row.measured, allowance=found), found


def _numbers(result: CellResult, dense: Mapping[str, Number]) -> dict[str, Accepted]:
    """A cell's numbers under `auto` as they were accepted."""
    sure = result.measurement.uncertainty if result.measurement else {}
    return {
        row.metric: Accepted(
            row.measured,
            sure.get(row.metric, UNKNOWN).recorded,
            dense.get(row.metric),
            share_base=_given_base(result),
        )
        for row in result.rows.values()
        if row.measured is not None and row.tolerance.auto
    }


def _given_base(result: CellResult) -> bool:
    return result.measurement is not None and result.measurement.provenance.get("base") is not None
