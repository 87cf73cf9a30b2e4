"""The gate against its own baselines: whatever selects and orders its cells, each gives the same numbers."""

from __future__ import annotations

import pytest
from conftest import CELLS, FILE


def test_every_cell_passes_against_its_own_baseline(gated):
    outcome = gated.gate()
    assert outcome.ret == 0
    assert list(outcome.cells) == CELLS
    assert set(outcome.cells.values()) == {"passed"}
    assert "7 cells: 7 identical" in outcome.out
