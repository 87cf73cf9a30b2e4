"""Engines: where measuring runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_prunecal.cell import Cell
    from pytest_prunecal.measurement import Measurement


class Engine(Protocol):
    """Measures cells, one call a cell."""

    def measure(self, cell: Cell) -> Measurement:
        """Measure one cell; raises PrunecalError for what the user can mend."""
        ...
