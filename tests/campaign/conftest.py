"""The campaign: what it is given, and its rows of the table."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent))  # the modules here import each other by bare name

from counts import PROPERTY, Family, Opener, Plan
from place import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def plan(request: pytest.FixtureRequest) -> Plan:
    """How the campaign is run: one seed for all workers, drawn where none is given."""
    # xdist draws an id for the run, and tells it to all workers.
    drawn = os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(4).hex()
    seed = request.config.getoption("campaign_seed")
    return Plan(
        seed=int(drawn[:8], 16) if seed is None else seed,
        factor=request.config.getoption("campaign_factor"),
        only=request.config.getoption("campaign_only"),
    )


@pytest.fixture
def family(plan: Plan, record_property: Callable[[str, object], None]) -> Opener:
    """Open a row of the table; what went wrong in it fails the test."""

    @contextmanager
    def opened(name: str) -> Iterator[Family]:
        row = Family(name, plan)
        yield row
        if row.tried:
            record_property(PROPERTY, {**row.row(), "seed": plan.seed})
        if row.faults:
            pytest.fail(row.told(), pytrace=False)

    return opened


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Where this worker's projects are."""
    return Places(tmp_path_factory.mktemp("campaign"))
