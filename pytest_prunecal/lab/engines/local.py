"""The engine that measures in this process."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.candidates.measure import admit
from pytest_prunecal.lab.engines import Engine
from pytest_prunecal.lab.jitter import jitter
from pytest_prunecal.lab.measure import bases_of, measure_once
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.store.environment import no_such_device
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from pytest_prunecal.lab.over_seeds import Trial
    from pytest_prunecal.lab.setup import Setup
    from pytest_prunecal.store.sources import Sources
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.trace import Jitter


class LocalEngine(Engine):
    """Measures in this process, one cell after the other.

    Args:
        setup: what to measure with.
        store: keeps base networks, corrupted test sets and evaluations.
        sources: reads what these are made by.

    Raises:
        PrunecalError: there is no such device.
    """

    def __init__(self, setup: Setup, store: Store, sources: Sources) -> None:
        self._bench = Bench(setup, store, resolve_device(setup.device, setup.worker), sources)
        self._cell: tuple[Cell | None, bool] = None, False
        self._trials: list[Trial] = []

    @property
    def device(self) -> str:
        """`cpu`, or the name of the GPU."""
        return self._bench.environment["device"]

    @property
    def data(self) -> str:
        """Digest of the images, and of published corrupted ones; see `identity.data_of`."""
        return digest([self._bench.dataset.digest, self._bench.corrupted.digest])

    def admit(self, cell: Cell) -> None:
        """Load a candidate and run two images through it."""
        admit(cell, self._bench)

    def measure(self, cell: Cell, seeds: int = 1, *, one_base: bool = False) -> Measurement:
        """Measure one cell; of the one that was measured last, only the seeds that are missing."""
        if (cell, one_base) != self._cell:
            # The first seed's base network is its own in either case.
            self._trials = self._trials[:1] if cell == self._cell[0] else []
            self._cell = cell, one_base
        for bench in islice(self._bench.over_seeds(seeds, one_base=one_base), len(self._trials), None):
            self._trials.append(measure_once(cell, bench))
        return combine(self._trials[:seeds], self._bench.metrics)

    def jitter(self, cell: Cell, repeats: int, measured: Measurement | None = None) -> Jitter:
        """Measure how far float arithmetic moves a cell; see `pytest_prunecal.lab.jitter.jitter`."""
        found = measured or self.measure(cell)
        if found.trace is None:
            raise ValueError(f"{cell.id}: a measurement without a trace has no jitter")
        first = {name: values[0] for name, values in found.each.items()}
        return jitter(cell, self._bench, found.trace, first, repeats)

    def trained_bases(self, cell: Cell, seeds: int, *, one_base: bool = False) -> list[str]:
        """Places in the store of the base networks that were trained for a cell; none if they were given."""
        if cell.candidate:
            return []
        benches = self._bench.over_seeds(seeds, one_base=one_base)
        places = (base.place for bench in benches for base in bases_of(cell, bench))
        return [place for place in dict.fromkeys(places) if place]


def resolve_device(device: str, worker: int) -> torch.device:
    """Find the device: `auto` is a GPU where there is one, worker N on GPU N modulo their number."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda", worker % count) if count else torch.device("cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        raise PrunecalError(no_such_device(device, count))
    return torch.device("cuda", wanted.index or 0) if wanted.type == "cuda" else wanted
