"""What a failing test says: the verdict in line one, then the comparison as a table, then the way on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.comparison import CELL, POOLED, RECOVERY, worse_in
from pytest_prunecal.report.text_table import comparison
from pytest_prunecal.report.wording import AGAINST_DENSE, screened, verdict_line
from pytest_prunecal.report.yardstick import compared
from pytest_prunecal.study.text import flowing, line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.report.run import Against
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.metric import Metric

LONGEST_VERDICT = 1000
"""Characters of the line that says what failed."""


def failure(cell: Cell, verdict: CellVerdict, against: Against, metrics: Mapping[str, Metric]) -> str:
    """Write a failing cell's message.

    Args:
        cell: the cell.
        verdict: what the comparison says; one that fails.
        against: what it was compared with.
        metrics: what is known of each metric.
    """
    place = f"{against.file}:{against.line}" if against.line else against.file
    lines = [
        line(verdict_line(verdict), LONGEST_VERDICT),
        "",
        f"{cell.model} {cell.id} under protocol {against.protocol}, against {place}",
    ]
    if verdict.without_baseline:
        lines[-1] = f"{cell.model} {cell.id} under protocol {against.protocol}; there is no {place} yet"
    if against.note:
        lines.append(f"note: {flowing(against.note)}")
    if known := against.known:
        until = f"until {known.until}" if known.until else "for ever"
        lines.append(f"known regression ({known.where}), tolerated {until}: {flowing(known.reason)}")
    lines.append("")
    if not verdict.without_baseline:
        lines += [*comparison(CELL, verdict.metrics, metrics), ""]
    if verdict.recovery:
        lines += [AGAINST_DENSE, *comparison(RECOVERY, verdict.recovery, metrics), ""]
    found = [] if verdict.without_baseline else [*compared(verdict), *screened(verdict)]
    lines += [*map(flowing, found), ""] if found else []
    if verdict.short:
        lines += [*_mend(verdict), ""]
    if not (verdict.short and verdict.by_baseline in (Status.OK, Status.IMPROVEMENT)) and not (
        verdict.without_baseline
    ):
        lines += ["If this change is meant, accept it:", f"    {against.accept}"]
    return "\n".join(map(line, lines))


def _mend(verdict: CellVerdict) -> list[str]:
    """What to do where a rule of recovery is not kept: accepting numbers does not silence it."""
    wheres = ", ".join(dict.fromkeys(row.rule.where for row in verdict.short))
    return [
        "Rules of recovery compare with the dense network of the same run: accepting does not silence them.",
        f"Compress less, or change the rule ({wheres}); `known: why` in the baseline's cell excuses it.",
    ]


def pooled_failure(
    model: str, found: Sequence[Pooled], against: Against, metrics: Mapping[str, Metric]
) -> str:
    """Write the message of a model whose cells, pooled, got worse.

    Args:
        model: its name.
        found: the cells compared all at once, metric by metric.
        against: what they were compared with.
        metrics: what is known of each metric.
    """
    cells = max(row.cells for row in found if row.status is Status.REGRESSION)
    worse = f"regression over {cells} cells together: {worse_in(found, metrics)}"
    return "\n".join(
        line(text)
        for text in [
            line(worse, LONGEST_VERDICT),
            "",
            f"{model} under protocol {against.protocol}, against {against.file}",
            "",
            *comparison(POOLED, found, metrics),
            "",
            "Cells taken together show what each of them hides in its noise.",
            "",
            "If this change is meant, accept it:",
            f"    {against.accept}",
        ]
    )
