"""What the reports share: which facts they tell, and in which words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.file import ENVIRONMENT_FIELDS
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.failure import headline as verdict_line
from pytest_prunecal.report.text_table import signed
from pytest_prunecal.study.metric import in_order, written
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.measurement import Measurement, Number, Scores
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol

HEADLINE = ("accuracy", "ece", "mpc", "corrupted_ece")
"""The metrics that the study plots, and that a short report shows."""

LONGEST_LINE = 200
"""Characters of an error that stand in a line; the whole of it stands elsewhere."""

SYMBOLS = {
    "identical": "✓",
    "ok": "✓",
    "improvement": "▲",
    "accepted": "✓",
    "known": "◌",
    "regression": "✗",
    "missing": "✗",
    "incomparable": "✗",
    "error": "✗",
}
"""Symbol of each label; the word always stands beside it."""

OUTCOMES = {"passed": SYMBOLS["ok"], "failed": SYMBOLS["error"], "interrupted": "!", "empty": "!"}
"""Symbol of each outcome of a whole run."""

_UNFIT = re.compile(r"\x1b\[[0-9;]*m|(?P<unprintable>[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff])")


@dataclass(frozen=True)
class Worst:
    """The corruption that costs a cell most: the lowest accuracy, averaged over its severities.

    Attributes:
        corruption: its name.
        accuracy: mean over its severities, in [0, 1].
        ece: mean over the same sets; None if they have none.
    """

    corruption: str
    accuracy: float
    ece: float | None


def clean(text: str) -> str:
    """Text fit for a file: no terminal colours, nothing that UTF-8 or HTML cannot carry."""
    return _UNFIT.sub(lambda match: "\ufffd" if match["unprintable"] else "", text)


def outcome(run: Run) -> str:
    """`failed`, `interrupted`, `empty` or `passed`, the gravest that holds."""
    if any(result.failed for result in run.results) or any(map(worse_together, run.models)):
        return "failed"
    if run.interrupted:
        return "interrupted"
    return "passed" if run.results else "empty"


def headline(run: Run) -> str:
    """The outcome in words: `failed: 2 of 22 cells fail; vgg19's cells got worse together`."""
    cells = f"{len(run.results)} cell{'s' * (len(run.results) != 1)}"
    words = {
        "failed": f"failed: {'; '.join(_failures(run, cells))}",
        "interrupted": f"interrupted after {cells}, none failing",
        "passed": f"passed: {cells}",
        "empty": "nothing was gated: no cell was reached",
    }[outcome(run)]
    return f"{words}, interrupted" if run.interrupted and outcome(run) == "failed" else words


def _failures(run: Run, cells: str) -> list[str]:
    """What fails: cells by themselves, and the cells of a model together."""
    failed = sum(result.failed for result in run.results)
    models = " and ".join(f"{model.model}'s" for model in run.models if worse_together(model))
    by_themselves = f"{failed} of {cells} fail{'s' * (failed == 1)}" if failed else ""
    return [part for part in (by_themselves, models and f"{models} cells got worse together") if part]


def worse_together(model: ModelRun) -> list[Pooled]:
    """In which metrics a model's cells, taken together, got worse; in none where all were accepted."""
    judged = [result for result in model.results if result.verdict]
    if judged and all(result.accepted for result in judged):
        return []
    return [row for row in model.together if row.status is Status.REGRESSION]


def totals_of(run: Run, model: ModelRun) -> str:
    """One model's share of `Run.totals`."""
    return replace(run, models=(model,)).totals


def reason(result: CellResult) -> str:
    """One line on why a cell got its label, to stand behind the label; empty if that says all."""
    if result.verdict is not None:
        line = verdict_line(result.verdict).removeprefix(result.label).lstrip(": ")
        return f"{line}; tolerated: {' '.join(clean(result.known).split())}" if result.known else line
    line = _gist([line.strip() for line in clean(result.error).splitlines() if line.strip()])
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _gist(lines: list[str]) -> str:
    """The line of an error that says what happened."""
    marked = [line for line in lines if line.startswith("E  ")]  # how pytest marks what was raised
    if marked:
        return marked[0].removeprefix("E").strip()
    if not lines:
        return "not measured"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def title_of(name: str, metrics: Mapping[str, Metric]) -> str:
    """What people call a metric."""
    known = metrics.get(name)
    return known.title or name if known else name


def heading_of(name: str, metrics: Mapping[str, Metric]) -> str:
    """A metric's title and its arrow, kept on one line."""
    return f"{title_of(name, metrics)}\u00a0{arrow_of(name, metrics)}"


def arrow_of(name: str, metrics: Mapping[str, Metric]) -> str:
    """Which way is better; down for a metric that is not known, as verdicts have it."""
    return "↑" if name in metrics and metrics[name].higher_is_better else "↓"


def number(value: Number | None) -> str:
    """Write a number as baselines do, and a dash for none."""
    return "-" if value is None else written(value)


def change_of(row: MetricVerdict | None) -> str:
    """Write a comparison's change: `+0.0120`, `-3`, `=`; nothing where there is nothing to compare."""
    return "" if row is None or row.change is None else signed(row.change)


def amount(value: float, metric: str, metrics: Mapping[str, Metric]) -> str:
    """A change or a bound of a metric that is not a number as recorded: whole where the metric counts."""
    counts = metric in metrics and metrics[metric].count and math.isfinite(value)
    return written(round(value)) if counts else written(value)


def mean_change(row: Pooled, metrics: Mapping[str, Metric]) -> str:
    """Write the mean change of a model's cells with its sign."""
    size = amount(abs(row.change), row.metric, metrics)
    return f"{'+' if row.change > 0 else '-'}{size}" if float(size) else "="


def rule_of(row: MetricVerdict) -> str:
    """A comparison's tolerance, and where it is written."""
    return f"{row.tolerance} ({row.tolerance.source})"


def metric_names(run: Run, model: ModelRun) -> list[str]:
    """All metrics that a model's cells have, measured or accepted, in canonical order."""
    names = {name for result in model.results for name in (*_measured(result), *comparisons(result))}
    return in_order(names, run.metrics)


def value_of(result: CellResult, metric: str) -> Number | None:
    """A metric as measured, in full precision; None if it was not."""
    return _measured(result).get(metric)


def uncertainty_of(result: CellResult, metric: str) -> Uncertainty:
    """How sure a metric is as measured; what is not a finite number is not known."""
    found = result.measurement.uncertainty.get(metric, UNKNOWN) if result.measurement else UNKNOWN
    return Uncertainty(_finite(found.se), _finite(found.sd), found.seeds)


def seeds_of(results: Sequence[CellResult]) -> list[int]:
    """Over how many seeds the cells were measured: each number of them above one that occurs."""
    measurements = (result.measurement for result in results)
    found = {sure.seeds for one in measurements if one for sure in one.uncertainty.values()}
    return sorted(found - {1})


def legend_of(model: ModelRun) -> str:
    """What stands behind a model's numbers; empty where nothing does."""
    known = [
        uncertainty_of(result, name)
        for result in model.results
        if result.measurement
        for name in result.measurement.uncertainty
    ]
    if all(sure.se is None and sure.sd is None for sure in known):
        return ""
    seeds = " or ".join(map(str, seeds_of(model.results)))
    return f"± sampling error on the test images{f', then deviation over {seeds} seeds' if seeds else ''}"


def comparisons(result: CellResult) -> dict[str, MetricVerdict]:
    """A cell's comparisons by metric; none if there was nothing to compare."""
    return {row.metric: row for row in result.verdict.metrics} if result.verdict else {}


def wants_accepting(model: ModelRun) -> bool:
    """Whether accepting the run's numbers would change a verdict."""
    return bool(worse_together(model)) or any(
        result.label in ("regression", "missing", "incomparable", "improvement") for result in model.results
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


def corrupted_sets(measurement: Measurement, protocol: Protocol) -> dict[str, dict[str, Scores]]:
    """A measurement's corrupted sets in the protocol's order, severities ascending."""
    order = protocol.evaluation.corruptions
    names = sorted(
        measurement.corrupted,
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    return {
        name: {
            key: measurement.corrupted[name][key]
            for key in sorted(measurement.corrupted[name], key=by_severity)
        }
        for name in names
    }


def by_severity(text: str) -> tuple[float, str]:
    """Sort key of severities, which measurements carry as text."""
    return (int(text) if text.isdecimal() else math.inf, text)


def worst_corruption(measurement: Measurement, protocol: Protocol) -> Worst | None:
    """The corruption with the lowest mean accuracy, the first of equals; None where none is known."""
    candidates = []
    for name, levels in corrupted_sets(measurement, protocol).items():
        accuracy = mean_score(levels, "accuracy")
        if accuracy is not None:
            candidates.append(Worst(name, accuracy, mean_score(levels, "ece")))
    return min(candidates, key=lambda worst: worst.accuracy, default=None)


def mean_score(levels: Mapping[str, Scores], score: str) -> float | None:
    """Mean of one score over the severities that have it; None if none has."""
    values = [scores[score] for scores in levels.values() if score in scores]
    return sum(values) / len(values) if values else None


def _measured(result: CellResult) -> Mapping[str, Number]:
    return result.measurement.metrics if result.measurement else {}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
