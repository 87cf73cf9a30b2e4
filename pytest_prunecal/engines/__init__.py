"""Engines: where measuring runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_prunecal.byimage import ByImage
    from pytest_prunecal.cell import Cell
    from pytest_prunecal.evidence import Evidence
    from pytest_prunecal.measurement import Measurement


class Engine(Protocol):
    """Measures cells, one call a cell."""

    def measure(self, cell: Cell, seeds: int = 1) -> Measurement:
        """Measure one cell over some seeds; raises PrunecalError for what the user can mend."""
        ...

    def compare(self, measured: ByImage, accepted: ByImage, *, tuned: bool) -> Evidence:
        """Compare a cell with what was accepted, image by image; raises PrunecalError if that cannot be."""
        ...
