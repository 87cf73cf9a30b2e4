"""How long jobs take on several workers that are handed them as the gate hands out its cells."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_AHEAD = 2  # pytest-xdist keeps a worker's next test ready while one runs


@dataclass(frozen=True)
class Step:
    """A part of a job.

    Attributes:
        cost: how long it takes.
        once: what it makes, if several jobs need it: who comes first makes it, and the others wait.
    """

    cost: float
    once: str | None = None


Job = tuple[Step, ...]


def makespan(jobs: Sequence[Job], workers: int) -> float:
    """When the last job is done, in the unit of the costs."""
    queues, waiting = _handed_out(jobs, workers)
    made: dict[str, float] = {}
    last = 0.0
    # A worker acts when its last step is done: at (time, number) it goes on with these steps of its job.
    acting = [(0.0, worker, queues[worker].pop(0)) for worker in range(workers) if queues[worker]]
    heapq.heapify(acting)
    while acting:
        now, worker, steps = heapq.heappop(acting)
        if steps:
            heapq.heappush(acting, (_done(steps[0], now, made), worker, steps[1:]))
            continue
        last = max(last, now)
        if waiting:
            queues[worker].append(waiting.pop(0))
        if queues[worker]:
            heapq.heappush(acting, (now, worker, queues[worker].pop(0)))
    return last


def _handed_out(jobs: Sequence[Job], workers: int) -> tuple[list[list[Job]], list[Job]]:
    """What each worker has to begin with, and what is left: two in a row, or in turn where that is all."""
    if len(jobs) < _AHEAD * workers:
        return [list(jobs[worker::workers]) for worker in range(workers)], []
    handed = [list(jobs[_AHEAD * worker : _AHEAD * (worker + 1)]) for worker in range(workers)]
    return handed, list(jobs[_AHEAD * workers :])


def _done(step: Step, now: float, made: dict[str, float]) -> float:
    """When a step that is begun now is done."""
    if step.once is None:
        return now + step.cost
    # Begun in order of time, so whoever makes it has begun already.
    return max(now, made.setdefault(step.once, now + step.cost))
