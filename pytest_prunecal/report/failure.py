"""What a failing cell says: the verdict in line one, then the comparison as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.metric import written
from pytest_prunecal.report.text import signed, table
from pytest_prunecal.verdict import CellVerdict, MetricVerdict, Status

if TYPE_CHECKING:
    from pytest_prunecal.cell import Cell
    from pytest_prunecal.gate import GateFile
    from pytest_prunecal.settings import Settings


def failure(file: GateFile, cell: Cell, verdict: CellVerdict, settings: Settings) -> str:
    """Write a failing cell's message.

    Args:
        file: the cell's baseline file.
        cell: the cell.
        verdict: what the comparison says; one that fails.
        settings: for the protocol and the command that accepts the change.
    """
    accepted = file.baseline.cells.get(cell.id) if file.baseline else None
    against = f"{file.name}:{accepted.line}" if accepted else file.name
    lines = [
        headline(verdict),
        "",
        f"{cell.model} {cell.id} under protocol {settings.protocol.name}, against {against}",
    ]
    if accepted and accepted.note:
        lines.append(f"note: {accepted.note.strip()}")
    lines += ["", *table(_HEADER, [_row(row) for row in verdict.metrics]), ""]
    lines += ["If this change is meant, accept it:", f"    {settings.accept_command(cell.model, [cell])}"]
    return "\n".join(lines)


def headline(verdict: CellVerdict) -> str:
    """The verdict in one line, with the numbers of the metrics that decided it."""
    if verdict.status is not Status.REGRESSION:
        return verdict.headline
    parts = [
        f"{row.metric} {_number(row.baseline)} -> {_number(row.measured)}"
        for row in verdict.having(Status.REGRESSION)
    ]
    return f"regression: {', '.join(parts)}"


_HEADER = ("metric", "baseline", "measured", "change", "tolerance", "")


def _row(row: MetricVerdict) -> tuple[str, ...]:
    change = "" if row.change is None else signed(row.change)
    rule = f"{row.tolerance} ({row.tolerance.source})"
    status = "" if row.status is Status.OK else row.status.value
    return row.metric, _number(row.baseline), _number(row.measured), change, rule, status


def _number(value: float | None) -> str:
    return "-" if value is None else written(value)
