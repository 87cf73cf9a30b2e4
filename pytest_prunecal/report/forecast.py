"""What the baseline that a run just accepted will see, estimated before anything is compared with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.judge import holm
from pytest_prunecal.judge.auto_tolerance import Sample, Terms, allowance
from pytest_prunecal.report.power import Row, blindness, listing
from pytest_prunecal.study.cell import DENSE
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import EXACT
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.report.run import CellResult, ModelRun, Run


def lines(model: ModelRun, run: Run) -> Iterator[str]:
    """Say it, for the cells that were accepted: runs of one seed, from the same base network, same images."""
    accepted = [result for result in model.results if result.accepted]
    if not accepted:
        return
    level = run.protocol.false_alarms / _comparisons(run)
    rows = [row for result in accepted for row in _rows(result, model, run, level)]
    if not rows:
        return
    yield "what the accepted numbers will show, estimated for runs of one seed from the same base network:"
    yield blindness(rows, run) or "every change that matters"
    if run.power:
        yield from listing(rows, run)


def _rows(result: CellResult, model: ModelRun, run: Run, level: float) -> list[Row]:
    """One cell's comparisons to come."""
    assert result.verdict is not None  # noqa: S101 - an accepted cell was measured
    assert result.measurement is not None  # noqa: S101 - the same
    dense = next((other.measurement for other in model.results if other.cell.id == DENSE), None)
    found = []
    for row in result.verdict.metrics:
        if row.measured is None or not row.tolerance.auto:
            continue
        sure = result.measurement.uncertainty.get(row.metric, UNKNOWN)
        left = run.protocol.noise.paired * (1 + 1 / sure.seeds)
        paired = {} if sure.se is None else {row.metric: sure.se * math.sqrt(left)}
        forecast = allowance(
            row.metric,
            Sample(row.measured, Uncertainty(sure.se)),
            Sample(row.measured, sure),
            dense.metrics.get(row.metric) if dense else None,
            Pairing(same_base=True, tuned=result.cell.pruner is not None, paired=paired),
            Terms(
                run.protocol.noise,
                level,
                run.protocol.min_effect.get(row.metric, EXACT).bound(row.measured),
            ),
        )
        found.append((result, row, forecast))
    return found


def _comparisons(run: Run) -> int:
    """How many comparisons a run of the same cells will make."""
    models = [
        [
            [row.metric for row in result.verdict.metrics if row.tolerance.auto]
            for result in model.results
            if result.verdict
        ]
        for model in run.models
    ]
    return max(holm.comparisons(models), 1)
