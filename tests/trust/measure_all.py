"""Measuring the tiny gate again and again, on several processes."""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from detection import FAULT_SEEDS, GRAVE_SEEDS, RUNS, order
from false_alarms import lab_in

if TYPE_CHECKING:
    from pathlib import Path

PROCESSES = 2


def work(folder: Path, job: tuple[str, int]) -> None:
    fault, seed = job
    lab_in(folder).measure(seed, fault)


def measure_all(folder: Path, jobs: list[tuple[str, int]]) -> None:
    """Measure (fault, seed) for (fault, seed), what was measured before left out; then what repeats tell."""
    lab_in(folder).measure(1)  # the base network, once
    with get_context("spawn").Pool(PROCESSES) as pool:
        for _ in pool.imap_unordered(partial(work, folder), jobs, chunksize=1):
            pass
    for seed in sorted({order(run, seeds)[0] for run in range(RUNS) for seeds in (FAULT_SEEDS, GRAVE_SEEDS)}):
        lab_in(folder).jitter(seed)
