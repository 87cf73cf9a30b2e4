"""The schedule that estimates are made from: workers, their queues, and what is made once for all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

from schedule import Step, makespan


def plain(*costs):
    return [(Step(cost),) for cost in costs]


@pytest.mark.parametrize(("workers", "expected"), [(1, 10), (2, 5), (5, 2), (8, 2)])
def test_equal_jobs_are_shared_out(workers, expected):
    assert makespan(plain(2, 2, 2, 2, 2), workers) == pytest.approx(expected + (workers == 2))


def test_no_job_takes_no_time():
    assert makespan([], 3) == 0


def test_a_worker_has_its_next_job_ready():
    # The second job waits for the first although the other worker is free after 2: it was handed out before.
    assert makespan(plain(5, 5, 1, 1), 2) == 10


def test_the_rest_goes_to_who_is_done_first():
    assert makespan(plain(4, 4, 1, 1, 3, 3), 2) == 8


def test_what_is_made_once_is_paid_for_once():
    jobs = [(Step(6, "base"), Step(1)) for _ in range(4)]
    assert makespan(jobs, 1) == 10
    assert makespan(jobs, 4) == 7


def test_others_wait_only_while_it_is_made():
    jobs = [(Step(6, "base"),), (Step(2), Step(6, "base"), Step(1)), (Step(7), Step(6, "base"))]
    assert makespan(jobs, 3) == 7


def test_two_bases_are_made_at_once():
    jobs = [(Step(6, name), Step(1)) for name in ("plain", "slimmed")]
    assert makespan(jobs, 2) == 7
    assert makespan(jobs, 1) == 14
