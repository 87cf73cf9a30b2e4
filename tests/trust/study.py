"""What the gate promises, measured: false alarms, detection, calibration of the power that it claims.

    python tests/trust/study.py FOLDER tiny measure    # 75 minutes on two busy cores
    python tests/trust/study.py FOLDER tiny report     # minutes; writes tiny.json and what docs shows of it

What lies in FOLDER is not measured again. `cifar` in the place of `tiny` needs PRUNECAL_DATA and
PRUNECAL_CHECKPOINT, as `tests/slow` does.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from faults import CATALOGUE
from lab import METRICS, SUBJECTS, Gate, Lab
from measure_all import measure_all
from picture import picture
from records import Judged, Pooled, Row
from scipy import stats
from tables import tables

from pytest_prunecal.study.metric import METRICS as KNOWN

if TYPE_CHECKING:
    from records import Detection, FalseAlarms, Point, Rate, Results

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "measured"
RUNS = {"tiny": 500, "cifar": 6}
SEEDS = {"tiny": 503, "cifar": 9}
SEEN = {("tiny", "pinned"): 430, ("tiny", "retrained"): 160, ("cifar", "pinned"): 0}
"""Runs that were looked at before the prior in `quick.yaml` was settled; those after them are fresh."""
EFFECTS = [step / 10 for step in range(16)]
"""Effects at which power is predicted and observed, as shares of the smallest claimed to be caught."""
FAULT_SEEDS = {"tiny": 20, "cifar": 2}
Job = tuple[str, str, int, str, int]
FIXED = (0.005, 0.01)
STRENGTHS = {
    "logits x1.25": (1.1, 1.5, 2.0),
    "head bias": (0.5, 2.0),
    "labels shuffled": (0.1, 0.3),
}


def jobs(subject: str) -> list[tuple[bool, str, int]]:
    """Everything that is measured: (pinned, fault, seed)."""
    found = [(True, "none", seed) for seed in range(1, SEEDS[subject] + 1)]
    found += [
        (True, name, seed) for name in faults_of(subject) for seed in range(1, FAULT_SEEDS[subject] + 1)
    ]
    if subject == "tiny":
        found += [(False, "none", seed) for seed in range(1, SEEDS[subject] + 1)]
    return found


def faults_of(subject: str) -> list[str]:
    """The catalogue, in the tiny gate some in several strengths; a given checkpoint has no older one."""
    if subject == "cifar":
        return [name for name in CATALOGUE if name != "stale base"]
    return [*CATALOGUE, *(f"{name}={value}" for name in STRENGTHS for value in STRENGTHS[name])]


def baselines_of(subject: str, run: int, seeds: int) -> list[int]:
    """Seeds of the baseline that a run is compared with: the ones that follow its own."""
    return [1 + (run + k) % SEEDS[subject] for k in range(seeds)]


def judged(folder: Path, job: Job) -> Judged:
    """Judge one run: what failed, and what each comparison said."""
    subject, situation, seeds, fault, run = job
    torch.set_num_threads(1)
    lab = _lab(folder, subject, pinned=situation == "pinned")
    gate = Gate(lab.subject, [lab.trials(seed) for seed in baselines_of(subject, run, seeds)])
    outcome = gate.judge([lab.trials(run, fault)])
    rows = {}
    for cell, verdict in outcome.cells.items():
        for row in verdict.metrics:
            if row.metric in METRICS:
                found = row.allowance
                assert found is not None
                assert row.change is not None
                assert row.measured is not None
                rows[f"{cell} {row.metric}"] = Row(
                    worse=_sign(row.metric) * row.change,
                    judged=_sign(row.metric) * found.change,
                    bound=found.bound,
                    sd=found.sd,
                    detectable=found.detectable,
                    power=[found.power(share * found.detectable) for share in EFFECTS],
                    basis=found.basis,
                    measured=row.measured,
                )
    return Judged(
        failed=outcome.failed,
        cells_failed=any(cell.status.fails for cell in outcome.cells.values()),
        caught=outcome.caught,
        fixed={bound: [key for key, row in rows.items() if row.worse > bound + 1e-9] for bound in FIXED},
        rows=rows,
        together={
            row.metric: Pooled(_sign(row.metric) * row.change, row.detectable) for row in outcome.together
        },
        size=gate.images_size,
    )


def _sign(metric: str) -> int:
    """What turns a metric's change into one for the worse."""
    return -1 if KNOWN[metric].higher_is_better else 1


def _lab(folder: Path, subject: str, *, pinned: bool) -> Lab:
    if (folder, subject, pinned) not in _LABS:
        _LABS[folder, subject, pinned] = Lab(SUBJECTS[subject](), folder, pinned=pinned)
    return _LABS[folder, subject, pinned]


_LABS: dict[tuple[Path, str, bool], Lab] = {}


def judge_all(folder: Path, wanted: list[Job]) -> dict[tuple[str, int, str], list[Judged]]:
    """Judge runs; gives them by situation, seeds of the baseline and fault."""
    with get_context("spawn").Pool(2) as pool:
        judgements = pool.map(partial(judged, folder), wanted, chunksize=10)
    runs: dict[tuple[str, int, str], list[Judged]] = {}
    for (_, situation, seeds, fault, _), found in zip(wanted, judgements, strict=True):
        runs.setdefault((situation, seeds, fault), []).append(found)
    return runs


def interval(count: int, total: int) -> list[float]:
    """95 % interval of a rate (Clopper and Pearson 1934)."""
    found = stats.binomtest(count, total).proportion_ci(0.95)
    return [found.low, found.high]


def rate(flags: list[bool]) -> Rate:
    return {
        "count": sum(flags),
        "runs": len(flags),
        "rate": sum(flags) / len(flags),
        "interval": interval(sum(flags), len(flags)),
    }


def false_alarms(subject: str, runs: dict[tuple[str, int], list[Judged]]) -> dict[str, FalseAlarms]:
    """By situation and seeds of the baseline: how many runs without a change fail, by each rule."""
    return {
        f"{situation}, {_seeds(seeds)}": {
            "auto": rate([run.failed for run in found]),
            "auto, fresh runs": rate([run.failed for run in found[SEEN[subject, situation] :]]),
            "auto, cells alone": rate([run.cells_failed for run in found]),
            "fixed 0.005": rate([bool(run.fixed[0.005]) for run in found]),
            "fixed 0.01": rate([bool(run.fixed[0.01]) for run in found]),
            "caught": dict(Counter(key for run in found for key in run.caught)),
            "bases": dict(Counter(row.basis for run in found for row in run.rows.values())),
        }
        for (situation, seeds), found in runs.items()
    }


def detection(null: list[Judged], faulty: dict[str, list[Judged]]) -> dict[str, Detection]:
    """By fault: its true effect against what the gate claimed to see, how often it was caught, by what."""
    table: dict[str, Detection] = {}
    for fault, runs in faulty.items():
        effects: dict[str, float] = {}
        claims: dict[str, float] = {}
        for key in null[0].rows:
            before = statistics.fmean(run.rows[key].measured for run in null)
            after = statistics.fmean(run.rows[key].measured for run in runs)
            effects[key] = _sign(key.split()[1]) * (after - before)
            claims[key] = statistics.fmean(run.rows[key].detectable for run in null)
        for metric in null[0].together:
            # As the gate weights the cells: by how sure each is.
            before = statistics.fmean(run.together[metric].judged for run in null)
            changes = [run.together[metric].judged for run in runs if metric in run.together]
            if changes:
                effects[f"together {metric}"] = statistics.fmean(changes) - before
                claims[f"together {metric}"] = statistics.fmean(
                    run.together[metric].detectable for run in null
                )
        sharpest = max(effects, key=lambda key: effects[key] / claims[key])
        table[fault] = {
            "what": sharpest,
            "effect": effects[sharpest],
            "claimed": claims[sharpest],
            "above": effects[sharpest] > claims[sharpest],
            "auto": rate([run.failed for run in runs]),
            "cells": rate([run.cells_failed for run in runs]),
            "fixed 0.005": rate([bool(run.fixed[0.005]) for run in runs]),
            "fixed 0.01": rate([bool(run.fixed[0.01]) for run in runs]),
            "caught by": Counter(key for run in runs for key in run.caught).most_common(3),
        }
    return table


def calibration(null: list[Judged]) -> list[Point]:
    """Power predicted and observed, over effects from none to half as much again as what is claimed.

    The effect is added to the changes that were measured without any.
    """
    curve: list[Point] = []
    for step, share in enumerate(EFFECTS):
        predicted: list[float] = []
        observed: list[bool] = []
        by_metric: dict[str, list[tuple[float, bool]]] = {}
        for run in null:
            for key, row in run.rows.items():
                if row.sd == 0:
                    continue
                said = row.power[step]
                seen = row.judged + share * row.detectable > row.bound
                predicted.append(said)
                observed.append(seen)
                by_metric.setdefault(key.split()[1], []).append((said, seen))
        curve.append(
            {
                "effect": share,
                "predicted": statistics.fmean(predicted),
                "observed": statistics.fmean(observed),
                "by metric": {
                    name: [statistics.fmean(p for p, _ in pairs), statistics.fmean(s for _, s in pairs)]
                    for name, pairs in by_metric.items()
                },
            }
        )
    return curve


def report(folder: Path, subject: str) -> Results:
    """Judge everything that was measured and sum it up."""
    situations = ("pinned", "retrained") if subject == "tiny" else ("pinned",)
    settings = [(situation, seeds) for situation in situations for seeds in (1, 3)]
    names = faults_of(subject)
    wanted = [
        (subject, situation, seeds, "none", run)
        for situation, seeds in settings
        for run in range(1, RUNS[subject] + 1)
    ]
    wanted += [
        (subject, "pinned", seeds, name, run)
        for seeds in (1, 3)
        for name in names
        for run in range(1, FAULT_SEEDS[subject] + 1)
    ]
    runs = judge_all(folder, wanted)
    return {
        "false alarms": false_alarms(
            subject, {(situation, seeds): runs[situation, seeds, "none"] for situation, seeds in settings}
        ),
        "detection": {
            _seeds(seeds): detection(
                runs["pinned", seeds, "none"], {name: runs["pinned", seeds, name] for name in names}
            )
            for seeds in (1, 3)
        },
        "calibration": {
            f"{situation}, {_seeds(seeds)}": calibration(runs[situation, seeds, "none"])
            for situation, seeds in settings
        },
        "bytes of results by image": max(found.size for each in runs.values() for found in each),
    }


def _seeds(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds > 1)}"


if __name__ == "__main__":
    where, which, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if what == "measure":
        measure_all(where, which, jobs(which), 2)
    else:
        results = report(where, which)
        (HERE / f"{which}.json").write_text(json.dumps(results, indent=1) + "\n")
        (DOCS / f"{which}.svg").write_text(picture(results["calibration"]))
        (DOCS / "tables" / f"{which}.md").write_text(tables(results))
