"""The report for people: one HTML file that needs no script, no network and no second file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.html import tables
from pytest_prunecal.report.html.figures import figures, legend
from pytest_prunecal.report.html.markup import Markup, join, tag
from pytest_prunecal.report.power import compared, implied, sight
from pytest_prunecal.report.wording import (
    OUTCOMES,
    comparisons,
    environment_of,
    headline,
    mean_change,
    outcome,
    reason,
    totals_of,
    wants_accepting,
    warnings_of,
    worse_together,
    worst_corruption,
)

if TYPE_CHECKING:
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

STYLE = Path(__file__).with_name("style.css")


def render(run: Run) -> str:
    """Write the report.

    Args:
        run: the run; the same run gives the same text, to the byte.

    Returns:
        A whole HTML document, to be stored as UTF-8.
    """
    names = ", ".join(model.model for model in run.models) or "no model"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"prunecal {outcome(run)}: {names} under {run.protocol.name}"),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    models = [_model(run, model, index) for index, model in enumerate(run.models, start=1)]
    body = tag("body", _banner(run), tag("main", _failing(run), _circumstances(run), *models))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}"


def _banner(run: Run) -> Markup:
    return tag(
        "header",
        tag("h1", tag("span", f"{OUTCOMES[outcome(run)]} ", aria_hidden="true"), _capital(headline(run))),
        tag("p", run.totals),
        class_=f"outcome is-{outcome(run)}",
    )


def _failing(run: Run) -> Markup:
    """Where to look first: each failure with its reason, as a link to what is known of it."""
    items = [
        tag(
            "li",
            tag("a", f"{model.model} {result.cell.id}", href=f"#{_anchor(index, position)}"),
            " ",
            tables.badge(result.label),
            f" {reason(result)}",
        )
        for index, model in enumerate(run.models, start=1)
        for position, result in enumerate(model.results)
        if result.failed
    ]
    items += [
        tag(
            "li",
            tag("a", f"{model.model} all cells together", href=f"#{_together_anchor(index)}"),
            " ",
            tables.badge(Status.REGRESSION.value),
            f" {', '.join(f'{row.metric} {mean_change(row, run.metrics)}' for row in worse_together(model))}",
        )
        for index, model in enumerate(run.models, start=1)
        if worse_together(model)
    ]
    return tag("ul", *items, class_="failing") if items else Markup()


def _circumstances(run: Run) -> Markup:
    """The protocol, the environment, and how that differs from the baselines'."""
    protocol, evaluation = run.protocol, run.protocol.evaluation
    severities = ", ".join(map(str, evaluation.severities))
    options = ", ".join(f"{key} {value}" for key, value in protocol.dataset.items() if key != "name")
    facts = {
        "protocol": join(
            tag("b", protocol.name), " ", tag("code", protocol.fingerprint), f" {protocol.description}"
        ),
        "data": f"{protocol.dataset.get('name', 'unknown')}{f' ({options})' if options else ''}",
        "training": (
            f"{protocol.base.epochs} epochs, then {protocol.finetune.epochs} of fine-tuning after pruning; "
            f"seed {protocol.seed}, {protocol.precision}"
        ),
        "evaluation": (
            f"ECE in {evaluation.bins} equal-mass bins; "
            f"{len(evaluation.corruptions)} corruptions at severity {severities}"
        ),
        "gate": (
            f"fails at most {100 * protocol.false_alarms:g} % of runs without a change; "
            f"{run.comparisons} comparison{'s' * (run.comparisons != 1)} under tolerance auto"
        ),
        **{key: " / ".join(values) for key, values in environment_of(run).items()},
        **{
            f"{model.model}, against its baseline": tag("span", f"! {model.environment}", class_="differs")
            for model in run.models
            if model.environment
        },
    }
    pairs = [tag("div", tag("dt", key), tag("dd", value)) for key, value in facts.items()]
    return tag("section", tag("dl", *pairs), class_="circumstances", aria_label="Protocol and environment")


def _anchor(model: int, cell: int) -> str:
    """The id of what is known of one cell: by position, since names may hold anything."""
    return f"m{model}c{cell}"


def _together_anchor(model: int) -> str:
    """The id of a model's cells taken together."""
    return f"m{model}together"


def _model(run: Run, model: ModelRun, index: int) -> Markup:
    anchor = f"m{index}"
    drawn = figures(run, model, anchor)
    anchors = [_anchor(index, position) for position in range(len(model.results))]
    details = [
        (result.failed, _cell(result, run, cell_anchor))
        for result, cell_anchor in zip(model.results, anchors, strict=True)
    ]
    failing = [detail for failed, detail in details if failed]
    others = [detail for failed, detail in details if not failed]
    return tag(
        "section",
        tag("h2", model.model, id=anchor),
        tag("p", totals_of(run, model), class_="muted"),
        tag(
            "p",
            f"width {run.protocol.width_of(model.model):g}, baseline ",
            tag("code", model.file),
            class_="muted",
        ),
        tag("p", model.refreshed) if model.refreshed else "",
        join(tag("div", *drawn, class_="figures"), legend(run, model)) if drawn else "",
        join(tag("h3", "Failing cells"), *failing) if failing else "",
        _accept(model),
        _notes(run, model),
        join(tag("h3", "All cells"), tables.cells(run, model, anchors)) if anchors else "",
        _together(run, model, index),
        _sight(run, model),
        join(tag("h3", "Cell by cell"), *others) if others else "",
        aria_labelledby=anchor,
    )


def _accept(model: ModelRun) -> Markup:
    if not model.accept or not wants_accepting(model):
        return Markup()
    return join(
        tag("p", "If the changes are meant, this accepts the numbers of all cells:"),
        tag("pre", tag("code", model.accept)),
    )


def _together(run: Run, model: ModelRun, index: int) -> Markup:
    if not model.together:
        return Markup()
    heading = tag("h3", "All cells together", id=_together_anchor(index))
    return join(heading, tables.together(run, model))


def _sight(run: Run, model: ModelRun) -> Markup:
    """How sharp the gate is: which comparisons it made, and from where on each catches a regression."""
    if not compared(model):
        return Markup()
    lines = (tag("p", _capital(f"{line}.")) for line in sight(model, run))
    return join(tag("h3", "What the gate can see"), *lines, tables.sight(run, model))


def _notes(run: Run, model: ModelRun) -> Markup:
    """What the reader should know besides numbers: further regressions, warnings of measurements, orphans."""
    items = [tag("li", line) for line in implied(run, model)]
    items += [
        tag("li", f"{warning} ", tag("span", f"({', '.join(cells)})", class_="muted"))
        for warning, cells in warnings_of(model).items()
    ]
    if model.orphans:
        items.append(
            tag(
                "li",
                f"Accepted cells that the protocol's grid no longer has: {', '.join(model.orphans)}. "
                "An update of the whole grid removes them.",
            )
        )
    return join(tag("h3", "Notes"), tag("ul", *items)) if items else Markup()


def _cell(result: CellResult, run: Run, anchor: str) -> Markup:
    """All that is known of one cell; open where it fails."""
    summary = tag("summary", tag("b", result.cell.id), " ", tables.badge(result.label), f" {reason(result)}")
    parts = [tag("pre", result.error)] if result.error else []
    if comparisons(result):
        parts.append(tables.comparison(result, run))
    measurement = result.measurement
    if measurement:
        parts += [tag("p", f"! {warning}", class_="differs") for warning in measurement.warnings]
        if worst := worst_corruption(measurement, run.protocol):
            ece = "" if worst.ece is None else f", ECE {worst.ece:.3f}"
            source = measurement.provenance.get("corruptions")
            parts.append(
                tag(
                    "p",
                    "Worst corruption: ",
                    tag("b", worst.corruption),
                    f", mean accuracy {worst.accuracy:.3f}{ece}.",
                    f" Corruptions: {source}." if source is not None else "",
                )
            )
        if measurement.corrupted:
            sets = tables.corrupted(measurement, result.cell.id, run.protocol)
            inner = tag("details", tag("summary", "corrupted test sets"), sets)
            parts.append(inner if result.failed else sets)
        provenance = ", ".join(f"{key} {value}" for key, value in measurement.provenance.items())
        parts.append(tag("p", provenance, class_="muted"))
    return tag("details", summary, *parts, id=anchor, open=True if result.failed else None, class_="cell")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
