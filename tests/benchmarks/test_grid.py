"""Whole grids, as a user runs them: cold and warm, in one process and in several.

Cold: the store is empty. Warm: nothing has changed since. `extra_info` has the memory of the largest worker.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Beside, Directory
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.slow

MAIN_JOB = ("--prunecal-models=vgg19", "-n", "4")
UNPINNED = """\
prunecal: 1
extends: quick
name: unpinned
ratios: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
pruners: [weight, filter, channel]
"""


@pytest.mark.benchmark(group="the main job, 24 cells with -n 4")
def test_cold(benchmark: BenchmarkFixture, directory: Directory) -> None:
    out = benchmark.pedantic(directory.pytest, MAIN_JOB, setup=directory.forget, rounds=3)
    assert "24 passed" in out
    benchmark.extra_info["peak MB of a worker"] = directory.peaks()[0]


@pytest.mark.benchmark(group="the main job, 24 cells with -n 4")
def test_warm(benchmark: BenchmarkFixture, directory: Directory) -> None:
    directory.pytest(*MAIN_JOB)
    assert "24 reused" in benchmark.pedantic(directory.pytest, MAIN_JOB, rounds=5)
    benchmark.extra_info["peak MB of a worker"] = directory.peaks()[0]


@pytest.mark.benchmark(group="24 reused cells, beside a test of one's own")
def test_reused(beside: Beside, directory: Directory) -> None:
    directory.pytest(*MAIN_JOB)
    (directory.path / "test_own.py").write_text("def test_own(): pass\n")
    beside(partial(directory.pytest, MAIN_JOB[0]), partial(directory.pytest, "test_own.py"), rounds=9)


@pytest.mark.benchmark(group="a cold grid with -n 2, beside -n 0; base networks trained too")
def test_parallel(beside: Beside, directory: Directory) -> None:
    (directory.path / "unpinned.yaml").write_text(UNPINNED)
    args = ("--prunecal-models=vgg19", "--prunecal-protocol=unpinned.yaml", "--prunecal-update")

    def cold(workers: int) -> None:
        directory.forget()
        directory.pytest(*args, "-n", workers)

    beside(partial(cold, 2), partial(cold, 0), rounds=2, warmup_rounds=0)
