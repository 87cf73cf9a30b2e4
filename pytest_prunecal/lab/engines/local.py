"""The engine that measures in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Engine
from pytest_prunecal.lab.measure import base_of, measure
from pytest_prunecal.lab.paired import compare
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.store.environment import no_such_device
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from pytest_prunecal.lab.setup import Setup
    from pytest_prunecal.store.sources import Sources
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.image_results import ImageResults
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.pairing import Pairing


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

    @property
    def device(self) -> str:
        """`cpu`, or the name of the GPU."""
        return self._bench.environment["device"]

    @property
    def data(self) -> str:
        """Digest of the images, and of published corrupted ones; see `identity.data_of`."""
        return digest([self._bench.dataset.digest, self._bench.corrupted.digest])

    def measure(self, cell: Cell, seeds: int = 1) -> Measurement:
        """Measure one cell; see `pytest_prunecal.lab.measure.measure`."""
        return measure(cell, self._bench, seeds)

    def trained_bases(self, cell: Cell, seeds: int) -> list[str]:
        """Places in the store of the base networks that were trained for a cell; none if they were given."""
        places = (base_of(cell, bench).place for bench in self._bench.over_seeds(seeds))
        return [place for place in dict.fromkeys(places) if place]

    def pair(self, measured: ImageResults, accepted: ImageResults, *, tuned: bool) -> Pairing:
        """Compare a cell with what was accepted; see `pytest_prunecal.lab.paired.compare`."""
        with reproducible(self._bench.protocol.threads):
            return compare(measured, accepted, self._bench.metrics, tuned=tuned)


def resolve_device(device: str, worker: int) -> torch.device:
    """Find the device: `auto` is a GPU where there is one, worker N on GPU N modulo their number."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda", worker % count) if count else torch.device("cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        raise PrunecalError(no_such_device(device, count))
    return torch.device("cuda", wanted.index or 0) if wanted.type == "cuda" else wanted
