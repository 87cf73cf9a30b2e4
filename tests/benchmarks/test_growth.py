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
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Directory
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.slow

WORKERS, TRAINED, SIDE, CLASSES = 2, 200, 16, 10
PRUNERS = 3
SIZES = ((10, 1000), (31, 1000), (100, 1000), (10, 3000), (10, 10_000))
"""Cells of the grid, and images of the test set."""
KINDS = ("measurement", "pairing", "evaluation", "base", "corrupted")
GATE = ("--prunecal-models=resnet20", "--prunecal-protocol=growth.yaml", "--prunecal-update", "-n", WORKERS)
PROTOCOL = """\
prunecal: 1
extends: quick
dataset: {{name: arrays, path: data, classes: {classes}}}
ratios: {ratios}
pruners: [weight, filter, channel]
base: {{epochs: 1}}
finetune: {{epochs: 1}}
"""


@dataclass(frozen=True)
class Project:
    """A directory to run the gate in.

    Attributes:
        directory: it holds the data, the protocol and, after a run, the store and the baselines.
        cells: of the grid.
        images: of the test set.
    """

    directory: Directory
    cells: int
    images: int

    @property
    def baselines(self) -> Path:
        return self.directory.path / "baselines"

    @property
    def store(self) -> Path:
        return self.directory.path / ".prunecal"

    def gate(self) -> tuple[float, float]:
        """Run it; gives the seconds that it took, and those that its processes worked."""
        start, before = time.perf_counter(), cpu_of_children()
        out = self.directory.pytest(*GATE)
        took = time.perf_counter() - start, cpu_of_children() - before
        assert f"{self.cells} passed" in out
        return took

    def cell_seconds(self) -> float:
        """What a cell says it took, the median of all: without what is made once for all."""
        records = [json.loads(path.read_text()) for path in (self.store / "measurement").iterdir()]
        assert len(records) == self.cells
        return statistics.median(float(record["measurement"]["provenance"]["seconds"]) for record in records)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-cells-{size[1]}-images")
def project(request: pytest.FixtureRequest, bare_directory: Directory) -> Project:
    cells, images = request.param
    write_data(bare_directory.path / "data", images)
    protocol = PROTOCOL.format(ratios=list(ratios(cells)), classes=CLASSES)
    (bare_directory.path / "growth.yaml").write_text(protocol)
    return Project(bare_directory, cells, images)


def ratios(cells: int) -> tuple[float, ...]:
    """Ratios that make a grid of so many cells; their mean is the same in every grid, as is a cell's work."""
    count, rest = divmod(cells - 1, PRUNERS)
    assert rest == 0
    return 0, *(round(0.8 * (step + 0.5) / count, 4) for step in range(count))


def write_data(folder: Path, images: int) -> None:
    """Coarse random images: nothing can be learnt from them, and their results compress badly."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for part, count in (("train", TRAINED), ("test", images)):
        coarse = random.integers(0, 256, (count, SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
        np.save(folder / f"x_{part}.npy", coarse.repeat(4, axis=1).repeat(4, axis=2))
        np.save(folder / f"y_{part}.npy", random.integers(0, CLASSES, count))


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one started, and those that they started."""
    spent = os.times()
    return spent.children_user + spent.children_system


def megabytes(place: Path, pattern: str = "*") -> float:
    return sum(path.stat().st_size for path in place.rglob(pattern) if path.is_file()) / 1e6


def test_growth(benchmark: BenchmarkFixture, project: Project) -> None:
    benchmark.group = "growth"
    seconds, cpu = benchmark.pedantic(project.gate, rounds=1)
    memory, controller = project.directory.peaks()
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
        "baseline MB": megabytes(project.baselines, "*.yaml"),
        "images zip MB": megabytes(project.baselines, "*.zip"),
    }
