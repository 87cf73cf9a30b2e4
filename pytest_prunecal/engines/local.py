"""The engine that measures in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.bench import Bench
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.measure import measure
from pytest_prunecal.repeat import compare
from pytest_prunecal.reproducible import reproducible
from pytest_prunecal.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_prunecal.byimage import ByImage
    from pytest_prunecal.cell import Cell
    from pytest_prunecal.evidence import Evidence
    from pytest_prunecal.extensions import Extensions
    from pytest_prunecal.given import Bases
    from pytest_prunecal.measurement import Measurement
    from pytest_prunecal.protocol import Protocol


class LocalEngine:
    """Measures in this process, one cell after the other.

    Args:
        protocol: turns cells into numbers.
        store: directory or fsspec URL of the store.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data: the user's data folder, or None.
        extensions: the user's own models, pruners, data sets and metrics.
        bases: trained networks to start from instead of base training.
        one_base: whether all seeds start from the base network of the protocol's seed.
        worker: number of this process among the session's workers, from 0; `auto` spreads them over the GPUs.

    Raises:
        PrunecalError: there is no such device, or the store cannot be written.
    """

    def __init__(
        self,
        protocol: Protocol,
        store: str,
        device: str,
        data: Path | None,
        extensions: Extensions,
        bases: Bases | None = None,
        worker: int = 0,
        *,
        one_base: bool = False,
    ) -> None:
        where = resolve_device(device, worker)
        base_seed = protocol.seed if one_base else None
        self._bench = Bench(protocol, Store(store), where, data, extensions, bases or {}, base_seed)

    def measure(self, cell: Cell, seeds: int = 1) -> Measurement:
        """Measure one cell; see `pytest_prunecal.measure.measure`."""
        return measure(cell, self._bench, seeds)

    def compare(self, measured: ByImage, accepted: ByImage, *, tuned: bool) -> Evidence:
        """Compare a cell with what was accepted; see `pytest_prunecal.repeat.compare`."""
        with reproducible(self._bench.protocol.threads):
            return compare(measured, accepted, tuned=tuned)


def resolve_device(device: str, worker: int) -> torch.device:
    """Find the device: `auto` is a GPU where there is one, worker N on GPU N modulo their number."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda", worker % count) if count else torch.device("cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        raise PrunecalError(
            f"--prunecal-device={device}: this machine has {count} CUDA devices; use cpu or auto"
        )
    return torch.device("cuda", wanted.index or 0) if wanted.type == "cuda" else wanted
