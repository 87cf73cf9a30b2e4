"""Planted faults: whether the screen tells them, whether they fail, by what, and over how many seeds.

A run is a session's: its seeds are the baseline's, in another order each time, so that its first seed is the
one whose trace was accepted.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from false_alarms import BASELINE, SEEDS, lab_in, summed_up, trials
from faults import CATALOGUE
from gate import Gate
from lab import METRICS, drawn, tiny
from records import counted, rate

from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.looks import MOST
from pytest_prunecal.study.metric import METRICS as KNOWN
from pytest_prunecal.study.trace import RULER, STAGES

if TYPE_CHECKING:
    from pathlib import Path

    from gate import Outcome
    from lab import Subject
    from records import Detection, Run

FAULT_SEEDS = 9
RULER_SEEDS = 6
"""A fault in the ruler fails on the first seed or never: fewer are measured."""
GRAVE_SEEDS = 20
"""Of a fault whose effect exceeds what the gate claims to see: each of twenty runs begins with its own."""
GRAVE = (
    *("wrong end", "mask not kept", "BN not carried", "rate x10", "clean overfit", "ratio +0.1"),
    *("stale base", "no fine-tuning", "predictions turned"),
)
RUNS = 20


def seeds_of(fault: str) -> int:
    """How many seeds of a fault are measured."""
    if fault in GRAVE:
        return GRAVE_SEEDS
    return RULER_SEEDS if CATALOGUE[fault.partition("=")[0]].stage in RULER else FAULT_SEEDS


def order(run: int, seeds: int = FAULT_SEEDS) -> list[int]:
    """The seeds of a run, in the order in which it looks at them, and those that only its baseline has.

    Args:
        run: counted from 0.
        seeds: of how many, from 1 on, it looks at some.
    """
    first = 1 + run % seeds
    others = [seed for seed in range(1, seeds + 1) if seed != first]
    further = drawn(run, range(seeds + 1, SEEDS + 1), max(BASELINE - FAULT_SEEDS, 0))
    return [first, *drawn(run, others, min(MOST, FAULT_SEEDS) - 1), *further]


def subject() -> Subject:
    """The tiny gate, looking at no more seeds than faults were measured under."""
    found = tiny()
    return replace(found, protocol=replace(found.protocol, repeat=FAULT_SEEDS))


@cache
def gate_of(folder: Path, run: int, seeds: int = FAULT_SEEDS) -> Gate:
    """The gate that a run is judged by: the same seeds without a fault."""
    looked_at = order(run, seeds)
    jitter = lab_in(folder).jitter(looked_at[0])
    return Gate(subject(), [trials(folder, seed) for seed in looked_at[:BASELINE]], jitter)


def judged(folder: Path, fault: str, run: int) -> Outcome:
    """Judge one run of a fault, as far as its seeds reach."""
    measured, seeds = seeds_of(fault), max(seeds_of(fault), FAULT_SEEDS)
    here = [trials(folder, seed, fault) for seed in order(run, seeds) if seed <= measured]
    return gate_of(folder, run, seeds).judge(here)


def detected(folder: Path, fault: str) -> Detection:
    """Judge all runs of a fault."""
    number = min(RUNS, seeds_of(fault)) if seeds_of(fault) < FAULT_SEEDS else RUNS
    runs: list[Run] = [summed_up(judged(folder, fault, run)) for run in range(number)]
    what, effect, claimed = _sharpest(folder, fault)
    return {
        "expected": CATALOGUE[fault.partition("=")[0]].stage,
        "stages": counted(_first(run) for run in runs),
        "told": rate([bool(run.stages) for run in runs]),
        "failed": rate([run.failed for run in runs]),
        "decided": counted(run.decided for run in runs if run.failed),
        "caught": Counter(one for run in runs for one in run.caught).most_common(3),
        "what": what,
        "effect": effect,
        "claimed": claimed,
    }


def _first(run: Run) -> str:
    """The first stage that differs in any cell; empty for none."""
    return min(run.stages.values(), key=STAGES.index, default="")


def _sharpest(folder: Path, fault: str) -> tuple[str, float, float]:
    """Where a fault does most against what the gate claims to see: its true effect, and the claim."""
    seeds = range(1, seeds_of(fault) + 1)
    claims = claimed(folder)
    found = []
    for key, claim in claims.items():
        cell, metric = key.split()
        here, there = (
            statistics.fmean(trials(folder, seed, name)[cell].measurement.metrics[metric] for seed in seeds)
            for name in (fault, "none")
        )
        found.append((scale_of(KNOWN[metric]).sign * (here - there) / claim, key, claim))
    share, key, claim = max(found)
    return key, share * claim, claim


@cache
def claimed(folder: Path) -> dict[str, float]:
    """By `cell metric`, the smallest true effect that the gate claims to catch, averaged over baselines."""
    found: dict[str, list[float]] = {}
    for number in range(RUNS):
        seeds = drawn(number, range(FAULT_SEEDS + 1, SEEDS + 1), BASELINE + 1)
        gate = Gate(subject(), [trials(folder, seed) for seed in seeds[:BASELINE]])
        for cell in gate.file.cells:
            verdict = gate.verdict(cell, [trials(folder, seeds[-1])])
            for row in verdict.metrics:
                if cell.pruner and row.metric in METRICS and row.allowance:
                    found.setdefault(f"{cell.id} {row.metric}", []).append(row.allowance.detectable)
    return {key: statistics.fmean(values) for key, values in found.items()}


def report(folder: Path) -> dict[str, Detection]:
    """All faults of the catalogue."""
    return {fault: detected(folder, fault) for fault in CATALOGUE}
