"""What a failing cell says: the verdict in line one, then the comparison as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict, Status
from pytest_prunecal.report.text_table import allowed, signed, sure, table
from pytest_prunecal.study.metric import recorded, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.study.cell import Cell


def failure(file: GateFile, cell: Cell, verdict: CellVerdict, settings: Settings) -> str:
    """Write a failing cell's message.

    Args:
        file: the cell's baseline file.
        cell: the cell.
        verdict: what the comparison says; one that fails.
        settings: for the protocol and the command that accepts the change.
    """
    accepted = file.accepted(cell)
    against = f"{file.name}:{accepted.line}" if accepted else file.name
    lines = [
        headline(verdict),
        "",
        f"{cell.model} {cell.id} under protocol {settings.protocol.name}, against {against}",
    ]
    if accepted and accepted.note:
        lines.append(f"note: {accepted.note.strip()}")
    if accepted and accepted.known:
        lines.append(
            f"known regression ({accepted.known.where}), tolerated "
            f"{f'until {accepted.known.until}' if accepted.known.until else 'for ever'}: "
            f"{accepted.known.reason.strip()}"
        )
    lines += ["", *table(_HEADER, [_row(row) for row in verdict.metrics]), ""]
    lines += [*bases(verdict), ""] if bases(verdict) else []
    lines += ["If this change is meant, accept it:", f"    {settings.accept_command(cell.model, [cell])}"]
    return "\n".join(lines)


def together_failure(file: GateFile, found: tuple[Pooled, ...], settings: Settings) -> str:
    """Write the message of a model whose cells, taken together, got worse."""
    worse = [
        f"{row.metric} {signed(recorded(row.change))}" for row in found if row.status is Status.REGRESSION
    ]
    return "\n".join(
        [
            f"regression over {max(row.cells for row in found)} cells together: {', '.join(worse)}",
            "",
            f"{file.model} under protocol {settings.protocol.name}, against {file.name}",
            "",
            *together_table(found),
            "",
            "If this change is meant, accept it:",
            f"    {settings.accept_command(file.model)}",
        ]
    )


def together_table(found: Iterable[Pooled]) -> list[str]:
    """The cells of a model compared all at once, metric by metric."""
    rows = [
        (
            row.metric,
            str(row.cells),
            signed(recorded(row.change)),
            written(row.bound),
            written(row.detectable),
            "" if row.status is Status.OK else row.status.value,
        )
        for row in found
    ]
    return table(("metric", "cells", "mean change", "allowed", "caught from", ""), rows)


def headline(verdict: CellVerdict) -> str:
    """The verdict in one line, with the numbers of the metrics that decided it."""
    if verdict.status is not Status.REGRESSION:
        return verdict.headline
    parts = [
        f"{row.metric} {_number(row.baseline)} -> {_number(row.measured)}"
        for row in verdict.having(Status.REGRESSION)
    ]
    return f"regression: {', '.join(parts)}"


_HEADER = ("metric", "baseline", "", "measured", "", "change", "allowed", "tolerance", "")


def _row(row: MetricVerdict) -> tuple[str, ...]:
    change = "" if row.change is None else signed(row.change)
    rule = f"{row.tolerance} ({row.tolerance.source})"
    status = "" if row.status is Status.OK else row.status.value
    return (
        row.metric,
        _number(row.baseline),
        sure(row.baseline_uncertainty),
        _number(row.measured),
        sure(row.measured_uncertainty),
        change,
        allowed(row),
        rule,
        status,
    )


def bases(verdict: CellVerdict) -> list[str]:
    """Which comparisons `auto` made, each with the metrics that it was made for."""
    by_basis: dict[str, list[str]] = {}
    for row in verdict.metrics:
        if row.allowance:
            by_basis.setdefault(row.allowance.basis, []).append(row.metric)
    return [f"auto compares {', '.join(names)}: {basis}" for basis, names in by_basis.items()]


def _number(value: float | None) -> str:
    return "-" if value is None else written(value)
