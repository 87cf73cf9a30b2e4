"""Which cells were measured over more seeds, because something looked worse, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.judge.auto_tolerance import Terms, plan_of
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.tolerance import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.judge.auto_tolerance import Change
    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

MOST_SINGLY = 3
"""Cells that have a line each; more of them share one."""


def looked_again(model: ModelRun, run: Run) -> Iterator[str]:
    """Say it, cell by cell or, of many, at once; with `--prunecal-power` always cell by cell."""
    found = [result for result in model.results if again(result, run)]
    for ending in dict.fromkeys(_ending(result, run) for result in found):
        alike = [result for result in found if _ending(result, run) == ending]
        if len(alike) > MOST_SINGLY and not run.power:
            most = max(_seeds(result) for result in alike)
            yield (
                f"{len(alike)} cells: measured over up to {most} seeds, because something looked worse by "
                f"more than training noise often does; {ending}"
            )
        else:
            yield from (f"{result.cell.id}: {why(result, run)}" for result in alike)


def again(result: CellResult, run: Run) -> bool:
    """Whether a cell was measured over more seeds than the run began with, as it was in doubt."""
    return result.verdict is not None and not result.accepted and _seeds(result) > run.seeds


def why(result: CellResult, run: Run) -> str:
    """`measured over 5 seeds, because ece looked worse by more than training noise often does; ...`."""
    names = [row.metric for row in result.rows.values() if _in_doubt(row, run)] or ["something"]
    *others, last = names
    listed = f"{', '.join(others)} and {last}" if others else last
    return (
        f"measured over {_seeds(result)} seeds, because {listed} looked worse by more than training noise "
        f"often does; {_ending(result, run)}"
    )


def _seeds(result: CellResult) -> int:
    return result.verdict.seeds if result.verdict else 1


def _ending(result: CellResult, run: Run) -> str:
    verdict = result.verdict
    if verdict and verdict.having(Status.REGRESSION):
        return "it stayed worse"
    if _seeds(result) >= run.protocol.repeat:
        return "noise can still explain it"
    return "it was noise"


def _in_doubt(row: MetricVerdict, run: Run) -> bool:
    """Whether the first seed alone made the comparison go on."""
    if row.single is None or row.allowance is None:
        return False
    metric = run.metrics.get(row.metric)
    effect = run.protocol.min_effect.get(row.metric, EXACT).bound(row.baseline or 0.0)
    level = row.allowance.plan.level if row.allowance.plan else run.protocol.false_alarms
    terms = Terms(level, effect, run.protocol.repeat)

    def goes_on(change: Change) -> bool:
        return change.sd > 0 and change.scaled / change.sd > plan_of(change, terms, metric).goes_on(1)

    first = row.single.first
    return goes_on(row.single.found) or (goes_on(row.single.alone) and (first is None or goes_on(first)))
