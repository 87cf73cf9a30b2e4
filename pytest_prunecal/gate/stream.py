"""What travels with the report of a cell's test to where results are gathered: builtins only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prunecal.gate.collection import CellItem
from pytest_prunecal.gate.stash import SETTINGS
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.pairing import Pairing

if TYPE_CHECKING:
    import pytest

ATTRIBUTE = "prunecal"
"""Of a test report; xdist carries it."""


@dataclass(frozen=True)
class Streamed:
    """One measured cell.

    Attributes:
        measurement: its numbers.
        pairing: how they relate to the accepted ones.
    """

    measurement: Measurement
    pairing: Pairing


def send(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put a cell's measurement on its report."""
    if not isinstance(item, CellItem) or report.when != "call":
        return
    if item.measurement is None or item.pairing is None:
        return
    measurement = item.measurement.to_dict()
    if item.config.stash[SETTINGS].options.update is None:
        measurement["by_image"] = None  # only a refresh needs it again
    sent = {
        "measurement": measurement,
        "pairing": item.pairing.to_dict(),
    }
    setattr(report, ATTRIBUTE, sent)


def received(report: pytest.TestReport) -> Streamed | None:
    """Read a report; None if it carries no measurement."""
    sent: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
    if sent is None:
        return None
    return Streamed(Measurement.from_dict(sent["measurement"]), Pairing(**sent["pairing"]))
