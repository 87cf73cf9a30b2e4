"""How the gate's cost, memory and disk grow with the grid and with the test set.

Each row runs the gate as a user does, two workers and an empty store, on a tiny training set: what is left is
what a cell costs besides its training. Seconds want two idle cores; on busy ones CPU seconds suffer less, but
they do. `growth.py` makes the table and the picture.

    pytest tests/benchmarks/test_growth.py -m slow -p no:xdist --benchmark-json=growth.json
    python tests/benchmarks/growth.py growth.json tests/benchmarks
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

WORKERS, TRAINED, SIDE, CLASSES = 2, 200, 16, 10
PRUNERS = 3
SIZES = ((10, 1000), (31, 1000), (100, 1000), (10, 3000), (10, 10_000))
"""Cells of the grid, and images of the test set."""
KINDS = ("measurement", "evidence", "evaluation", "base", "corrupted")
GATE = (
    *(sys.executable, "-m", "pytest", "--prunecal-models=resnet20", "--prunecal-protocol=growth.yaml"),
    *("--prunecal-update", "-n", str(WORKERS), "-p", "no:benchmark", "-p", "no:hypothesispytest"),
)
NOT_INHERITED = ("PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY")
PROTOCOL = """\
prunecal: 1
extends: quick
dataset: {{name: arrays, path: data, classes: {classes}}}
ratios: {ratios}
base: {{epochs: 1}}
finetune: {{epochs: 1}}
"""
# Not getrusage: its peak also counts what the process that started this one had in memory.
CONFTEST = """\
import os
from pathlib import Path


def pytest_sessionfinish():
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    who = os.environ.get("PYTEST_XDIST_WORKER", "controller")
    Path("memory").mkdir(exist_ok=True)
    Path("memory", who).write_text(peak)
"""


@dataclass(frozen=True)
class Project:
    """A directory to run the gate in.

    Attributes:
        path: it holds the data, the protocol and, after a run, the store and the baselines.
        cells: of the grid.
        images: of the test set.
    """

    path: Path
    cells: int
    images: int

    @property
    def store(self):
        return self.path / ".prunecal"

    def gate(self):
        """Run it; gives the seconds that it took, and those that its processes worked."""
        inherited = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
        start, before = time.perf_counter(), cpu_of_children()
        run = subprocess.run(GATE, cwd=self.path, env=inherited, text=True, capture_output=True, check=False)
        took = time.perf_counter() - start, cpu_of_children() - before
        assert run.returncode == 0, run.stdout + run.stderr
        assert f"{self.cells} passed" in run.stdout
        return took

    def peaks(self):
        """Most memory that a worker had, and the controller, in MB."""
        found = {path.name: int(path.read_text()) * 1024 / 1e6 for path in (self.path / "memory").iterdir()}
        controller = found.pop("controller")
        assert len(found) == WORKERS
        return max(found.values()), controller

    def cell_seconds(self):
        """What a cell says it took, the median of all: without what is made once for all."""
        records = [json.loads(path.read_text()) for path in (self.store / "measurement").iterdir()]
        assert len(records) == self.cells
        return statistics.median(record["measurement"]["provenance"]["seconds"] for record in records)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-cells-{size[1]}-images")
def project(request, tmp_path):
    cells, images = request.param
    write_data(tmp_path / "data", images)
    protocol = PROTOCOL.format(ratios=list(ratios(cells)), classes=CLASSES)
    (tmp_path / "growth.yaml").write_text(protocol)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return Project(tmp_path, cells, images)


def ratios(cells):
    """Ratios that make a grid of so many cells; their mean is the same in every grid, as is a cell's work."""
    count, rest = divmod(cells - 1, PRUNERS)
    assert rest == 0
    return 0, *(round(0.8 * (step + 0.5) / count, 4) for step in range(count))


def write_data(folder, images):
    """Coarse random images: nothing can be learnt from them, and their results compress badly."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for part, count in (("train", TRAINED), ("test", images)):
        coarse = random.integers(0, 256, (count, SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
        np.save(folder / f"x_{part}.npy", coarse.repeat(4, axis=1).repeat(4, axis=2))
        np.save(folder / f"y_{part}.npy", random.integers(0, CLASSES, count))


def cpu_of_children():
    """CPU seconds of all processes that this one started, and those that they started."""
    spent = os.times()
    return spent.children_user + spent.children_system


def megabytes(place, pattern="*"):
    return sum(path.stat().st_size for path in place.rglob(pattern) if path.is_file()) / 1e6


def test_growth(benchmark, project):
    benchmark.group = "growth"
    seconds, cpu = benchmark.pedantic(project.gate, rounds=1)
    memory, controller = project.peaks()
    compared, _ = project.gate()  # the same numbers with themselves, image by image, which is kept too
    reused, cpu_reused = project.gate()
    benchmark.extra_info |= {
        "cells": project.cells,
        "images": project.images,
        "seconds": seconds,
        "seconds compared": compared,
        "seconds reused": reused,
        "seconds per cell": (seconds - reused) / project.cells * WORKERS,
        "CPU seconds per cell": (cpu - cpu_reused) / project.cells,
        "seconds of a cell alone": project.cell_seconds(),
        "worker MB": memory,
        "controller MB": controller,
        "store MB": megabytes(project.store),
        "MB by kind": {kind: megabytes(project.store / kind) for kind in KINDS},
        "baseline MB": megabytes(project.path / "baselines", "*.yaml"),
        "images zip MB": megabytes(project.path / "baselines", "*.zip"),
    }
