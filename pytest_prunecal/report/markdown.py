"""The summary for a CI job's page: GitHub-flavoured Markdown, short enough for its limit of 1 MiB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_prunecal.report.failure import bases
from pytest_prunecal.report.power import blindness, implied
from pytest_prunecal.report.text_table import allowed, sure
from pytest_prunecal.report.wording import (
    HEADLINE,
    OUTCOMES,
    SYMBOLS,
    amount,
    change_of,
    clean,
    comparisons,
    heading_of,
    headline,
    legend_of,
    mean_change,
    number,
    outcome,
    reason,
    rule_of,
    uncertainty_of,
    value_of,
    wants_accepting,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_prunecal.report.run import CellResult, ModelRun, Run

LONGEST_ERROR = 2000  # characters of an error that are shown, from its end
MOST_DETAILS = 50  # failing cells of a model that are shown in full
_SPECIAL = re.compile(r"([\\`*_\[\]|~#!])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;"})


def render(run: Run) -> str:
    """Write the summary.

    Args:
        run: the run; the same run gives the same text, to the byte.

    Returns:
        Markdown, to be stored as UTF-8.
    """
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield f"## {OUTCOMES[outcome(run)]} prunecal {_inline(headline(run))}"
    yield ""
    yield f"{run.totals}; protocol {_inline(run.protocol.name)} ({run.protocol.fingerprint})"
    for model in run.models:
        yield ""
        yield from _model(model, run)


def _model(model: ModelRun, run: Run) -> Iterator[str]:
    yield f"### {_inline(model.model)}"
    yield ""
    if model.results:
        head = ["cell", *(heading_of(name, run.metrics) for name in HEADLINE), "verdict"]
        rows = [_row(result) for result in model.results]
        yield from _table(head, rows, "l" + "r" * len(HEADLINE) + "l")
        yield ""
        if legend := legend_of(model):
            yield f"{legend}; in brackets the change against the baseline"
            yield ""
    failing = [result for result in model.results if result.failed]
    if failing:
        yield from _details(failing, run)
    if any(row.change for row in model.together):
        yield from _together(model, run)
    if model.accept and wants_accepting(model):
        yield "If the changes are meant, accept them:"
        yield ""
        yield from _fenced(model.accept)
    yield from _notes(model, run)


def _row(result: CellResult) -> list[str]:
    verdict = f"{SYMBOLS[result.label]} {result.label}"
    why = f": {reason(result)}" if result.label in ("error", "known") else ""
    return [result.cell.id, *(_metric(result, name) for name in HEADLINE), f"{verdict}{why}"]


def _metric(result: CellResult, name: str) -> str:
    row = comparisons(result).get(name)
    change = change_of(row)
    mark = f" {SYMBOLS[row.status.value]}" if row and row.change and row.status.value != "ok" else ""
    note = f"({change}{mark})" if change not in ("", "=") else ""
    return _sure(number(value_of(result, name)), sure(uncertainty_of(result, name)), note)


def _sure(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _details(failing: Sequence[CellResult], run: Run) -> Iterator[str]:
    cells = f"{len(failing)} failing cell{'s' * (len(failing) != 1)}"
    yield f"<details><summary>{cells}: the comparison</summary>"
    yield ""
    for result in failing[:MOST_DETAILS]:
        line = f"{SYMBOLS[result.label]} {result.label} {reason(result)}"
        yield f"**{_inline(result.cell.id)}** {_inline(line)}"
        yield ""
        if comparisons(result):
            head = ["metric", "baseline", "measured", "change", "allowed", "tolerance", "verdict"]
            yield from _table(head, _compared(result, run), "lrrrrll")
            yield ""
        if found := bases(result.verdict) if result.verdict else []:
            yield from (f"- {_inline(basis)}" for basis in found)
            yield ""
        if result.error:
            yield from _fenced(result.error.strip()[-LONGEST_ERROR:])
    if len(failing) > MOST_DETAILS:
        yield f"and {len(failing) - MOST_DETAILS} more"
        yield ""
    yield "</details>"
    yield ""


def _compared(result: CellResult, run: Run) -> list[list[str]]:
    return [
        [
            heading_of(row.metric, run.metrics),
            _sure(number(row.baseline), str(row.baseline_uncertainty)),
            _sure(number(row.measured), str(uncertainty_of(result, row.metric))),
            change_of(row),
            allowed(row),
            rule_of(row),
            f"{SYMBOLS[row.status.value]} {row.status.value}",
        ]
        for row in comparisons(result).values()
    ]


def _together(model: ModelRun, run: Run) -> Iterator[str]:
    """The cells compared all at once, metric by metric."""
    rows = [
        [
            heading_of(row.metric, run.metrics),
            str(row.cells),
            mean_change(row, run.metrics),
            amount(row.bound, row.metric, run.metrics),
            amount(row.detectable, row.metric, run.metrics),
            f"{SYMBOLS[row.status.value]} {row.status.value}",
        ]
        for row in model.together
    ]
    head = ["all cells together", "cells", "mean change", "allowed", "caught from", "verdict"]
    yield from _table(head, rows, "lrrrrl")
    yield ""


def _notes(model: ModelRun, run: Run) -> Iterator[str]:
    notes = implied(run, model)
    if blind := blindness(model, run):
        notes.append(blind)
    notes += [f"{warning} ({', '.join(cells)})" for warning, cells in warnings_of(model).items()]
    if model.environment:
        notes.append(f"measured elsewhere than the baseline: {model.environment}")
    if model.orphans:
        notes.append(f"accepted cells that the protocol's grid no longer has: {', '.join(model.orphans)}")
    if model.refreshed:
        notes.append(model.refreshed)
    for note in notes[:MOST_DETAILS]:
        yield f"- {_inline(note)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> Iterator[str]:
    """A table; `columns` has one letter each, r for those that are aligned to the right."""
    yield _line(head)
    yield f"|{'|'.join(' ---: ' if column == 'r' else ' --- ' for column in columns)}|"
    for row in rows:
        yield _line(row)


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(_inline(part) for part in parts)} |"


def _inline(text: str) -> str:
    """Any text as one line of Markdown that shows it as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(clean(text).split())).translate(_ENTITIES)


def _fenced(text: str) -> Iterator[str]:
    """Any text as a block of code: the fence is longer than every run of backticks within."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    yield fence
    yield clean(text)
    yield fence
    yield ""
