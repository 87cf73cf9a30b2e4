"""The report for people: one HTML file that needs no script, no network and no second file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.report import comparison, corrupted, looks, numbers, power, wording, yardstick
from pytest_prunecal.report.html import figures
from pytest_prunecal.study.uncertainty import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.measurement import Scores

HEAT = 9  # shades of the corrupted sets' table, apart from none
ECE_OF_DARKEST = 0.5
MEAN = "mean"


def render(run: Run) -> str:
    """Write the report.

    Args:
        run: the run; the same run gives the same text, to the byte.

    Returns:
        A whole HTML document, to be stored as UTF-8.
    """
    parts = [Part(run, model, f"m{number}") for number, model in enumerate(run.models, start=1)]
    return _templates().get_template("page.html.jinja").render(run=run, parts=parts)


@dataclass(frozen=True)
class Part:
    """A model's part of the page.

    Attributes:
        run: the run.
        model: the model.
        anchor: begins every id in it; told by position, since names may hold anything.
    """

    run: Run
    model: ModelRun
    anchor: str

    @property
    def cells(self) -> list[tuple[str, CellResult]]:
        """The cells, each behind the id of the place that says all of it."""
        return [(f"{self.anchor}c{index}", result) for index, result in enumerate(self.model.results)]


@cache
def _templates() -> Environment:
    """The templates, with the words and numbers that they show; everything shown is cleaned, then escaped."""
    # Only a run that writes this report pays for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    here = Path(__file__).parent
    made = Environment(
        loader=FileSystemLoader((here / "templates", here)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if hasattr(value, "__html__") else wording.clean(str(value)),
    )
    for module in (comparison, corrupted, figures, looks, numbers, power, wording):
        made.globals[module.__name__.rpartition(".")[2]] = module
    for function in (capital, explained, heat, hint, plain, severities_of):
        made.globals[function.__name__] = function
    return made


def capital(text: str) -> str:
    """A sentence of it."""
    return text[:1].upper() + text[1:]


def hint(row: MetricVerdict, run: Run) -> str:
    """The rule that applied to a metric of a cell, in one line."""
    baseline = " ".join(
        part for part in (numbers.number(row.baseline), str(row.baseline_uncertainty)) if part
    )
    room = comparison.allowed(row, wording.metric_of(row.metric, run.metrics))
    allowed = f"allowed {room}, " if room else ""
    return f"{row.status.value}; baseline {baseline}, {allowed}tolerance {comparison.rule_of(row)}"


def explained(result: CellResult, run: Run) -> list[str]:
    """What was compared, over how many seeds and why, and what would show that which noise hides."""
    by_cure: dict[str, list[str]] = {}
    for row in result.rows.values():
        if why := power.hidden(row, run):
            title = wording.title_of(wording.metric_of(row.metric, run.metrics))
            by_cure.setdefault(why, []).append(title)
    hidden = [f"{', '.join(names)} ({why})" for why, names in by_cure.items()]
    lines = yardstick.compared(result.verdict)
    if looks.again(result, run):
        lines.append(looks.why(result, run))
    if result.verdict:
        lines += wording.screened(result.verdict)
    if result.pairing and result.pairing.unpaired:
        lines.append(f"less sharp than it could be: {result.pairing.unpaired}")
    if hidden:
        lines.append(f"{wording.BLIND} noise hides smaller regressions that matter of {', '.join(hidden)}")
    return lines


def severities_of(sets: Mapping[str, Mapping[str, Scores]]) -> list[str]:
    """Columns of the corrupted sets' table: the severities, and their mean if there are several."""
    found = sorted({severity for levels in sets.values() for severity in levels}, key=corrupted.by_severity)
    return [*found, MEAN] if len(found) > 1 else found


def heat(levels: Mapping[str, Scores], severity: str, score: str) -> tuple[str, int]:
    """A score of a corrupted set, and its shade: 0 for none, the higher the worse."""
    value = corrupted.mean_score(levels, score) if severity == MEAN else levels.get(severity, {}).get(score)
    if value is None or not math.isfinite(value):
        return "-", 0
    badness = 1 - value if score == "accuracy" else value / ECE_OF_DARKEST
    return f"{value:.3f}", round(HEAT * min(max(badness, 0.0), 1.0))
