"""Measuring the tiny gate again and again, on several processes."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import torch
from lab import SUBJECTS, Lab


def work(job: tuple[str, str, bool, str, int]) -> None:
    folder, subject, pinned, fault, seed = job
    torch.set_num_threads(1)
    key = (folder, subject, pinned)
    if key not in _LABS:
        _LABS[key] = Lab(SUBJECTS[subject](), Path(folder), pinned=pinned)
    _LABS[key].measure(seed, fault)


_LABS: dict[tuple[str, str, bool], Lab] = {}


def measure_all(folder: Path, subject: str, jobs: list[tuple[bool, str, int]], processes: int) -> None:
    """Measure (pinned, fault, seed) for (pinned, fault, seed), what was measured before left out."""
    for pinned in {pinned for pinned, _, _ in jobs}:
        Lab(SUBJECTS[subject](), folder, pinned=pinned).measure(1)  # the base network, once
    with get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(work, [(str(folder), subject, *job) for job in jobs], chunksize=1):
            pass
