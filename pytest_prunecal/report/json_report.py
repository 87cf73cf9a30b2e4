"""The report for programs: one JSON document with a version of its own.

`prunecal` is the schema's version. It changes when a field goes or changes its meaning; fields may be added
without. Numbers are never NaN or infinite: what is not a finite number is null. The order of everything is
fixed, so that the same run gives the same text::

    prunecal        2
    outcome         "passed", "failed", "interrupted" (before its time, no failure so far) or "empty"
    interrupted     whether the session ended before its time
    totals          {"cells": n, "failed": n, "worse_together": how many models' cells got worse together,
                    "reused": how many cells were not measured again, and how many have each label, 0
                    included}
    seeds           over how many seeds the measuring of each cell began
    protocol        {"name", "fingerprint", "description", "dataset", "pruners", "ratios", "seed", "bins",
                    "corruptions", "severities", "false_alarms": rate of runs over a model's whole grid
                    without a change that may fail, "repeat": over how many seeds a cell in doubt is
                    measured at most, "min_effect": metric -> {"abs", "rel", "source"}, the change below
                    which nobody cares}
    metrics         metric -> {"title", "higher_is_better", "count"}
    models          a list of
      model         name
      file          its baseline file
      environment   how the environment differs from the baseline's; "" if it does not
      refreshed     what became of the baseline file; "" if nothing
      orphans       ids of accepted cells that no pruner registered and no ratio configured can make
      accept        the command that accepts the run's numbers
      blindness     where noise hides what matters, by its worst example; "" where it does not
      comparisons   how many comparisons with noise all its accepted cells make; they share the false alarms
      worse_together  whether the run failed because cells, taken together, got worse
      together      cells compared together: a list of {"group": the pruner whose cells they are, "" for all,
                    "metric", "status", "cells": how many, "change": mean weighted by how sure each is,
                    "allowed", "detectable", "p_value"}
      cells         a list of
        id          "dense", "weight-0.3", "2:4", "mine-hard"
        pruner      null in the dense cell
        ratio       0 in the dense cell, and where the pruner takes none
        level       "" where the pruner takes none
        label       "identical", "ok", "improvement", "accepted", "known" (a regression that the baseline
                    tolerates), "changed" (another structure, or other data, corrupted
                    images or evaluation), "recovered" (there is no baseline, and its rules of recovery are
                    kept), "unrecovered" (one is not), "regression", "missing", "incomparable" or "error"
        status      the verdict: a label, never "identical", "recovered", "accepted", "known" or "error"; null
                    without one
        failed      whether the test failed
        accepted    whether the numbers became the baseline in this run
        known       why the regression is tolerated; "" if there is none, or it is not
        reused      whether the numbers come from the store: nothing that they depend on has changed
        replayed    whether the numbers are those of the baseline's own seeds, to every recorded digit
        seeds       over how many seeds it was measured; more than the run's where it was in doubt
        screen      what it computed before training noise set in, against what was accepted: {"compared":
                    whether both are known, "differences": a list of {"stage": "data", "corruptions", "dense",
                    "pruned", "structure" or "finetune", "name", "accepted", "measured": null where there is
                    none, "allowed": how far float arithmetic may move it}}
        reason      the verdict in one line; "" where the label says all
        error       why the cell was not measured; "" if it was
        network     SHA-256 of the file of a finished network; null for any other
        recovery    the cell against the dense network of the same run: a list of {"metric", "dense",
                    "measured", "change": measured minus dense, "share": measured as a share of dense, null
                    where there is none, "allowed": how far it may be worse than dense, noise included,
                    "detectable": the smallest true distance that is caught with a probability of 0.95,
                    "rule": {"share", "abs", "where"}, "status", "sd": standard deviation of the shortfall,
                    "p_value"}
        metrics     metric -> what is known of it; null where there is nothing. Changes are between numbers as
                    baselines record them: four decimals
          measured      in full precision
          baseline      as accepted
          uncertainty   {"measured", "baseline"}, each {"se": sampling error on the test images, "sd":
                        deviation over seeds, "seeds": of how many the number is the mean, "first": the number
                        under the first of several}
          change        measured minus baseline
          allowed       how far the metric may get worse, in its own unit
          detectable    as that of `auto`; null without it
          status        as the cell's
          tolerance     the rule that applied, and where it is written: {"abs", "rel", "source", "auto"}
          p_value       probability that noise alone explains the change for the worse
          comparison    which one `tolerance: auto` made: {"kind": "exact", "same seed", "same base", "another
                        base", "change from the base", "same network" or "another network", "seeds": measured
                        ones that count, "accepted_seeds": whose mean it is compared with; 0 where each seed
                        is compared with itself, or a network with another, "words"}
          auto          what noise explains, under `tolerance: auto`
            change          that is judged; of the distance from the base network if "against_base"
            against_base    whether it is
            noise           how far noise alone takes the change for the worse, at the gate's rate
            min_effect      the smallest change that matters
            sd              standard deviation of the change under no change
            detectable      the smallest true change for the worse that is caught with a probability of 0.95
            blind           whether noise hides changes that matter
            cure            what would show them: {"seeds": accepted ones, "images": factor of test images,
                            "words"}; 0 where nothing is hidden, null where no affordable number would
        aggregates  {"mpc", "rpc", "corrupted_ece", those of the user's metrics that are measured on corrupted
                    images, "worst_corruption": {"corruption", "accuracy", "ece"}}, over all corrupted sets;
                    the worst corruption is the one with the lowest accuracy, its scores being means over
                    severities
        corrupted   corruption -> severity -> score of that test set ("accuracy", "ece", "nll", "brier")
        evidence    how the measurement relates to the baseline's; null if there is none:
                    {"same_base": whether both pruned the very same base network, "tuned": whether the cell
                    was trained after it, "unpaired": why nothing beside the file tells more, "changes":
                    metric -> how much more the cell differs from its base network than the accepted one did,
                    "change_sd": metric -> deviation of that distance over the accepted seeds, "paired": of
                    a finished network, metric -> sampling error of the difference image by image}
        provenance  where the numbers come from: torch, device, threads, corruptions, seed, seconds, ...
        warnings    what the reader should know
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_prunecal.report.comparison import CELL, POOLED, RECOVERY
from pytest_prunecal.report.corrupted import corrupted_sets, worst_corruption
from pytest_prunecal.report.power import blindness, compared, cure, effect_of
from pytest_prunecal.report.wording import SYMBOLS, outcome, reason, title_of
from pytest_prunecal.report.yardstick import yardstick
from pytest_prunecal.study.metric import CORRUPTED, in_order

if TYPE_CHECKING:
    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.measurement import Measurement

SCHEMA = 2


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
            "worse_together": sum(bool(model.worse) for model in run.models),
            "reused": sum(result.reused for result in run.results),
            **{label: sum(result.label == label for result in run.results) for label in SYMBOLS},
        },
        "seeds": run.seeds,
        "protocol": _protocol(run),
        "metrics": {
            name: {
                "title": title_of(metric),
                "higher_is_better": metric.higher_is_better,
                "count": metric.count,
            }
            for name, metric in run.metrics.items()
            if not metric.finished or any(name in {*one.rows, *one.measured} for one in run.results)
        },
        "models": [_model(model, run) for model in run.models],
    }
    return json.dumps(_finite(document), indent=1, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


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
        "false_alarms": protocol.false_alarms,
        "repeat": protocol.repeat,
        "min_effect": {
            name: {"abs": rule.abs, "rel": rule.rel, "source": rule.source}
            for name, rule in sorted(protocol.min_effect.items())
        },
    }


def _model(model: ModelRun, run: Run) -> dict[str, Any]:
    return {
        "model": model.model,
        "file": model.file,
        "environment": model.environment,
        "refreshed": model.refreshed,
        "orphans": model.orphans,
        "accept": model.accept,
        "blindness": blindness(compared(model), run),
        "comparisons": model.comparisons,
        "worse_together": bool(model.worse),
        "together": [
            {column.key: column.value(row) for column in POOLED} | {"p_value": row.p_value}
            for row in model.pooled
        ],
        "cells": [_cell(result, run) for result in model.results],
    }


def _cell(result: CellResult, run: Run) -> dict[str, Any]:
    measurement, names = result.measurement, in_order({*result.rows, *result.measured}, run.metrics)
    means = [name for name, metric in run.metrics.items() if metric.where == CORRUPTED]
    return {
        "id": result.cell.id,
        "pruner": result.cell.pruner,
        "ratio": result.cell.ratio,
        "level": result.cell.level,
        "label": result.label,
        "status": result.verdict.status.value if result.verdict else None,
        "failed": result.failed,
        "accepted": result.accepted,
        "known": result.known,
        "reused": result.reused,
        "replayed": result.verdict.replayed if result.verdict else False,
        "seeds": result.verdict.seeds if result.verdict else 0,
        "screen": _screen(result.verdict),
        "reason": reason(result),
        "error": result.error,
        "network": measurement.provenance.get("network") if measurement else None,
        "recovery": _recovery(result.verdict),
        "metrics": {name: _metric(result, name, run) for name in names},
        "aggregates": {
            **{name: result.measured.get(name) for name in means},
            "worst_corruption": _worst(measurement, run),
        },
        "corrupted": corrupted_sets(measurement, run.protocol) if measurement else {},
        "evidence": _pairing(result),
        "provenance": dict(sorted(measurement.provenance.items())) if measurement else {},
        "warnings": measurement.warnings if measurement else (),
    }


def _metric(result: CellResult, name: str, run: Run) -> dict[str, Any]:
    row, measured = result.rows.get(name), result.measured.get(name)
    known = row is not None and row.baseline is not None
    return {
        **{column.key: column.value(row) if row else None for column in CELL if column.key},
        "measured": measured,
        "uncertainty": {
            "measured": None if measured is None else result.sure(name).to_dict(),
            "baseline": row.baseline_uncertainty.to_dict() if row and known else None,
        },
        "p_value": row.p_value if row else None,
        "comparison": _comparison(row.allowance) if row and row.allowance else None,
        "auto": _auto(row, row.allowance, run) if row and row.allowance else None,
    }


def _recovery(verdict: CellVerdict | None) -> list[dict[str, Any]]:
    return [
        {column.key: column.value(row) for column in RECOVERY}
        | {
            "rule": {"share": row.rule.share, "abs": row.rule.abs, "where": row.rule.where},
            "sd": row.sd,
            "p_value": row.p_value,
        }
        for row in (verdict.recovery if verdict else ())
    ]


def _screen(verdict: CellVerdict | None) -> dict[str, Any]:
    differences = verdict.differences if verdict else ()
    return {
        "compared": bool(verdict and verdict.screened),
        "differences": [asdict(one) for one in differences],
    }


def _comparison(found: Allowance) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "seeds": found.seeds,
        "accepted_seeds": found.accepted,
        "words": yardstick(found),
    }


def _auto(row: MetricVerdict, found: Allowance, run: Run) -> dict[str, Any]:
    return {
        "change": found.change,
        "against_base": found.against_base,
        "noise": found.noise,
        "min_effect": effect_of(row, run),
        "sd": found.sd,
        "detectable": found.detectable,
        "blind": found.blind,
        "cure": {
            "seeds": found.wanted_seeds,
            "images": found.wanted_images,
            "words": cure(found) if found.blind else "",
        },
    }


def _pairing(result: CellResult) -> dict[str, Any] | None:
    if result.pairing is None:
        return None
    fields = result.pairing.to_dict()
    return {
        key: dict(sorted(value.items())) if isinstance(value, dict) else value
        for key, value in fields.items()
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
