"""The words that the reports share."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.file import ENVIRONMENT_FIELDS
from pytest_prunecal.judge.screen import told
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.numbers import number
from pytest_prunecal.study.metric import Metric, in_order
from pytest_prunecal.study.text import lines as defused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

LONGEST_LINE = 200
"""Characters of an error that stand in a line; the whole of it stands elsewhere."""

SYMBOLS = {
    "identical": "✓",
    "ok": "✓",
    "recovered": "✓",
    "improvement": "▲",
    "accepted": "✓",
    "known": "◌",
    "changed": "✗",
    "unrecovered": "✗",
    "regression": "✗",
    "missing": "✗",
    "incomparable": "✗",
    "error": "✗",
}
"""Symbol of each label; the word always stands beside it."""

OUTCOMES = {"passed": SYMBOLS["ok"], "failed": SYMBOLS["error"], "interrupted": "!", "empty": "!"}
"""Symbol of each outcome of a whole run."""

BLIND = "*"
"""Marks a comparison in which noise hides changes that matter."""

TOGETHER = "cells together, weighted by how sure each is"
"""What stands above several cells of a model compared at once."""

AGAINST_DENSE = "against the dense network of the same run"
"""What stands above the rules of recovery of a cell."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def clean(text: str) -> str:
    """Text fit for a file that people read: no terminal colours, nothing that cannot be seen, no command."""
    return defused(_COLOURS.sub("", text))


def badge(label: str) -> str:
    """A label with its symbol."""
    return f"{SYMBOLS[label]} {label}"


def plural(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def outcome(run: Run) -> str:
    """`failed`, `interrupted`, `empty` or `passed`, the gravest that holds."""
    if any(result.failed for result in run.results) or any(model.worse for model in run.models):
        return "failed"
    if run.interrupted:
        return "interrupted"
    return "passed" if run.results else "empty"


def headline(run: Run) -> str:
    """The outcome in words: `failed: 2 of 22 cells fail; vgg19's cells got worse together`."""
    cells = plural(len(run.results), "cell")
    words = {
        "failed": f"failed: {'; '.join(_failures(run, cells))}",
        "interrupted": f"interrupted after {cells}, none failing",
        "passed": f"passed: {cells}",
        "empty": "nothing was gated: no cell was reached",
    }[outcome(run)]
    return f"{words}, interrupted" if run.interrupted and outcome(run) == "failed" else words


def _failures(run: Run, cells: str) -> list[str]:
    """What fails: cells by themselves, and the cells of a model at once."""
    failed = sum(result.failed for result in run.results)
    models = " and ".join(f"{model.model}'s" for model in run.models if model.worse)
    by_themselves = f"{failed} of {cells} fail{'s' * (failed == 1)}" if failed else ""
    return [part for part in (by_themselves, models and f"{models} cells got worse together") if part]


def totals(results: Sequence[CellResult]) -> str:
    """`22 cells: 20 identical, 1 ok, 1 regression; 21 reused`."""
    counts = Counter(result.label for result in results)
    parts = ", ".join(f"{counts[label]} {label}" for label in SYMBOLS if counts[label])
    reused = sum(result.reused for result in results)
    return (
        f"{plural(len(results), 'cell')}: {parts or 'none measured'}{f'; {reused} reused' if reused else ''}"
    )


def verdict_line(verdict: CellVerdict) -> str:
    """The verdict in one line, with the numbers of the metrics that decided it."""
    if verdict.reason and verdict.short:
        return f"{verdict.headline}; {_short(verdict)}"
    if verdict.status is Status.UNRECOVERED:
        return f"{verdict.status.value}: {_short(verdict)}"
    if verdict.reason or verdict.status not in (Status.REGRESSION, Status.CHANGED):
        return verdict.headline
    parts = [
        f"{row.metric} {number(row.baseline)} -> {number(row.measured)}"
        for row in verdict.having(verdict.status)
    ]
    short = f"; {Status.UNRECOVERED.value}: {_short(verdict)}" if verdict.short else ""
    return f"{verdict.status.value}: {', '.join(parts)}{short}"


def _short(verdict: CellVerdict) -> str:
    """The rules of recovery that a cell does not keep: `accuracy 0.9000, dense 0.9600 (93.8%)`."""
    return ", ".join(
        f"{row.metric} {number(row.measured)}, dense {number(row.dense)}"
        f"{'' if row.share is None else f' ({100 * row.share:.1f}%)'}"
        for row in verdict.short
    )


def reason(result: CellResult) -> str:
    """One line on why a cell got its label, to stand behind the label; empty if that says all."""
    if result.verdict is not None:
        line = verdict_line(result.verdict).removeprefix(result.label).lstrip(": ")
        tolerated = f"tolerated: {clean(' '.join(result.known.split()))}" if result.known else ""
        return "; ".join(part for part in (line, tolerated, differing(result.verdict)) if part)
    line = _gist([line.strip() for line in clean(result.error).splitlines() if line.strip()])
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def differing(verdict: CellVerdict) -> str:
    """What a cell computed otherwise than the accepted one; empty if nothing, or if the verdict says it."""
    if any(one.of_ruler for one in verdict.differences):
        return ""  # the rest follows from it
    found = told(verdict.differences)
    return "" if found in verdict.reason else found


def briefly(told: str) -> str:
    """What differs without its numbers: `fine-tuning differs from step 3 on`."""
    return told.partition(" (")[0].partition(": ")[0]


def screened(verdict: CellVerdict) -> list[str]:
    """Where a failing cell's fault can lie, by what it computed before training noise set in."""
    if found := differing(verdict):
        return [f"not what was accepted: {found}"]
    if verdict.screened and not verdict.differences and verdict.finished:
        return ["what was accepted: data and corrupted images; so it is the network"]
    if verdict.screened and not verdict.differences:
        return ["what was accepted: data, base network, pruning and the first steps of fine-tuning"]
    return []


def _gist(lines: list[str]) -> str:
    """The line of an error that says what happened."""
    marked = [line for line in lines if line.startswith("E  ")]  # how pytest marks what was raised
    if marked:
        return marked[0].removeprefix("E").strip()
    if not lines:
        return "not measured"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def metric_of(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """What is known of a metric; verdicts take one that is not known for lower-is-better."""
    return metrics.get(name) or Metric(name, higher_is_better=False)


def title_of(metric: Metric) -> str:
    """What people call a metric."""
    return metric.title or metric.name


def arrow_of(metric: Metric) -> str:
    """Which way is better."""
    return "↑" if metric.higher_is_better else "↓"


def heading_of(metric: Metric) -> str:
    """A metric's title and its arrow, kept on one line."""
    return f"{title_of(metric)}\u00a0{arrow_of(metric)}"


def metric_names(run: Run, model: ModelRun) -> list[str]:
    """All metrics that a model's cells have, measured or accepted, in canonical order."""
    return in_order({name for one in model.results for name in (*one.measured, *one.rows)}, run.metrics)


def legend_of(model: ModelRun) -> str:
    """What stands behind a model's numbers; empty where nothing does."""
    known = [
        result.sure(name)
        for result in model.results
        if result.measurement
        for name in result.measurement.uncertainty
    ]
    if all(sure.se is None and sure.sd is None for sure in known):
        return ""
    seeds = " or ".join(str(count) for count in sorted({sure.seeds for sure in known}) if count > 1)
    return f"± sampling error on the test images{f', then deviation over {seeds} seeds' if seeds else ''}"


def wants_accepting(model: ModelRun) -> bool:
    """Whether accepting the run's numbers would change a verdict."""
    changed = (Status.CHANGED, Status.REGRESSION, Status.MISSING, Status.INCOMPARABLE, Status.IMPROVEMENT)
    return bool(model.worse) or any(
        result.verdict.by_baseline in changed and not (result.accepted or result.known or result.alone)
        for result in model.results
        if result.verdict
    )


def warnings_of(model: ModelRun) -> dict[str, list[str]]:
    """Each distinct warning of a model's measurements, with the ids of the cells that gave it."""
    found: dict[str, list[str]] = {}
    for result in model.results:
        for warning in result.measurement.warnings if result.measurement else ():
            found.setdefault(warning, []).append(result.cell.id)
    return found


def environment_of(run: Run) -> dict[str, list[str]]:
    """Where the run's cells were measured: each field with every value that occurs."""
    found: dict[str, list[str]] = {}
    for field in ENVIRONMENT_FIELDS:
        values = (result.measurement.provenance.get(field) for result in run.results if result.measurement)
        distinct = dict.fromkeys(str(value) for value in values if value is not None)
        if distinct:
            found[field] = list(distinct)
    return found
