"""Runs without a change: random splits of many seeds, some for the baseline, others for the run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from gate import Gate
from lab import Lab, drawn, tiny
from records import Run, quiet

from pytest_prunecal.study.looks import MOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gate import Outcome
    from records import Quiet

    from pytest_prunecal.lab.over_seeds import Trial

BASELINE = 12
"""Seeds of a baseline that is meant to last, as the shipped ones are."""

SEEDS = 540
"""Seeds without a change, all from one base network."""

RUNS = {BASELINE: 1000, 5: 1000, 3: 1000, 1: 1000}
"""By the seeds of a baseline, how many random splits are judged."""


@cache
def lab_in(folder: Path) -> Lab:
    torch.set_num_threads(1)
    return Lab(tiny(), folder)


@cache
def trials(folder: Path, seed: int, fault: str = "none") -> Mapping[str, Trial]:
    return lab_in(folder).trials(seed, fault)


def split(folder: Path, run: int, baseline: int = BASELINE) -> Run:
    """Judge one random split against a baseline of some seeds.

    No seed of the run is one of the baseline's: the first steps of its fine-tuning differ, as a change of
    fine-tuning would make them, and no seed is compared with itself.
    """
    seeds = drawn(run, range(1, SEEDS + 1), baseline + MOST)
    there, here = ([trials(folder, seed) for seed in part] for part in (seeds[:baseline], seeds[baseline:]))
    return summed_up(Gate(tiny(), there).judge(here))


def summed_up(outcome: Outcome) -> Run:
    """What is kept of a judged run."""
    failing = [cell.seeds for cell in outcome.cells.values() if cell.status.fails]
    return Run(
        outcome.caught,
        {name: cell.seeds for name, cell in outcome.cells.items() if name != "dense"},
        {name: cell.differences[0].stage for name, cell in outcome.cells.items() if cell.differences},
        max(failing, default=1 if outcome.failed else 0),
    )


def report(folder: Path) -> dict[str, Quiet]:
    """Judge all splits, by the seeds of the baseline."""
    return {
        str(baseline): quiet(SEEDS, [split(folder, run, baseline) for run in range(runs)])
        for baseline, runs in RUNS.items()
    }
