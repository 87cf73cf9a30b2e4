"""The report for programs: one JSON document with a version of its own.

`prunecal` is the schema's version. It changes when a field goes or changes its meaning; fields may be added
without. Numbers are never NaN or infinite: what is not a finite number is null. The order of everything is
fixed, so that the same run gives the same text::

    prunecal        1
    outcome         "passed", "failed", "interrupted" (before its time, no failure so far) or "empty"
    interrupted     whether the session ended before its time
    totals          {"cells": n, "failed": n, and how many cells have each label, 0 included}
    protocol        {"name", "fingerprint", "description", "dataset", "pruners", "ratios", "seed", "bins",
                    "corruptions", "severities"}
    metrics         metric -> {"title", "higher_is_better", "count"}
    models          a list of
      model         name
      file          its baseline file
      environment   how the environment differs from the baseline's; "" if it does not
      refreshed     what became of the baseline file; "" if nothing
      orphans       ids of accepted cells that the grid no longer has
      accept        the command that accepts the run's numbers
      cells         a list of
        id          "dense", "weight-0.3"
        pruner      null in the dense cell
        ratio       0 in the dense cell
        label       "identical", "ok", "improvement", "accepted", "regression", "missing", "incomparable"
                    or "error"
        status      the verdict: a label, never "identical", "accepted" or "error"; null without a verdict
        failed      whether the test failed
        accepted    whether the numbers became the baseline in this run
        reason      the verdict in one line; "" where the label says all
        error       why the cell was not measured; "" if it was
        metrics     metric -> {"measured": in full precision, "baseline", "change", "status",
                    "tolerance": {"abs", "rel", "source"}}; null where there is nothing. Changes are between
                    numbers as baselines record them: four decimals
        aggregates  {"mpc", "rpc", "corrupted_ece", "worst_corruption": {"corruption", "accuracy", "ece"}},
                    over all corrupted sets; the worst corruption is the one with the lowest accuracy, its
                    scores being means over severities
        corrupted   corruption -> severity -> score of that test set ("accuracy", "ece", "nll", "brier")
        provenance  where the numbers come from: torch, device, threads, corruptions, seed, seconds, ...
        warnings    what the reader should know
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_prunecal.metric import in_order
from pytest_prunecal.report.facts import (
    SYMBOLS,
    comparisons,
    corrupted_sets,
    outcome,
    reason,
    title_of,
    value_of,
    worst_corruption,
)

if TYPE_CHECKING:
    from pytest_prunecal.measurement import Measurement
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.verdict import MetricVerdict

SCHEMA = 1


def render(run: Run) -> str:
    """Write the report.

    Args:
        run: the run; the same run gives the same text, to the byte.

    Returns:
        A JSON document in ASCII, as the module describes it.
    """
    document = {
        "prunecal": SCHEMA,
        "outcome": outcome(run),
        "interrupted": run.interrupted,
        "totals": {
            "cells": len(run.results),
            "failed": sum(result.failed for result in run.results),
            **{label: run.labels[label] for label in SYMBOLS},
        },
        "protocol": _protocol(run),
        "metrics": {
            name: {
                "title": title_of(name, run.metrics),
                "higher_is_better": metric.higher_is_better,
                "count": metric.count,
            }
            for name, metric in run.metrics.items()
        },
        "models": [_model(model, run) for model in run.models],
    }
    return json.dumps(_finite(document), indent=1, allow_nan=False) + "\n"


def _protocol(run: Run) -> dict[str, Any]:
    protocol = run.protocol
    return {
        "name": protocol.name,
        "fingerprint": protocol.fingerprint,
        "description": protocol.description,
        "dataset": dict(sorted(protocol.dataset.items())),
        "pruners": protocol.pruners,
        "ratios": protocol.ratios,
        "seed": protocol.seed,
        "bins": protocol.evaluation.bins,
        "corruptions": protocol.evaluation.corruptions,
        "severities": protocol.evaluation.severities,
    }


def _model(model: ModelRun, run: Run) -> dict[str, Any]:
    return {
        "model": model.model,
        "file": model.file,
        "environment": model.environment,
        "refreshed": model.refreshed,
        "orphans": model.orphans,
        "accept": model.accept,
        "cells": [_cell(result, run) for result in model.results],
    }


def _cell(result: CellResult, run: Run) -> dict[str, Any]:
    measurement, rows = result.measurement, comparisons(result)
    names = in_order({*rows, *(measurement.metrics if measurement else ())}, run.metrics)
    return {
        "id": result.cell.id,
        "pruner": result.cell.pruner,
        "ratio": result.cell.ratio,
        "label": result.label,
        "status": result.verdict.status.value if result.verdict else None,
        "failed": result.failed,
        "accepted": result.accepted,
        "reason": reason(result),
        "error": result.error,
        "metrics": {
            name: {"measured": value_of(result, name), **_compared(rows.get(name))} for name in names
        },
        "aggregates": {
            **{name: value_of(result, name) for name in ("mpc", "rpc", "corrupted_ece")},
            "worst_corruption": _worst(measurement, run),
        },
        "corrupted": corrupted_sets(measurement, run.protocol) if measurement else {},
        "provenance": dict(sorted(measurement.provenance.items())) if measurement else {},
        "warnings": measurement.warnings if measurement else (),
    }


def _compared(row: MetricVerdict | None) -> dict[str, Any]:
    if row is None:
        return {"baseline": None, "change": None, "status": None, "tolerance": None}
    return {
        "baseline": row.baseline,
        "change": row.change,
        "status": row.status.value,
        "tolerance": asdict(row.tolerance),
    }


def _worst(measurement: Measurement | None, run: Run) -> dict[str, Any] | None:
    worst = worst_corruption(measurement, run.protocol) if measurement else None
    return asdict(worst) if worst else None


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same data with null for what JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
