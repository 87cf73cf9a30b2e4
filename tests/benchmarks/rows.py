"""What pytest-benchmark writes down of each benchmark, as far as it is read here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from pathlib import Path


class Stats(TypedDict):
    """Of the rounds of one benchmark, in seconds."""

    median: float
    min: float


class Row(TypedDict):
    """One benchmark; `param` is the part of its id in brackets, `extra_info` what it noted itself."""

    group: str | None
    name: str
    param: str | None
    stats: Stats
    extra_info: dict[str, Any]


def rows_of(file: Path) -> list[Row]:
    """Read a file of `pytest --benchmark-json`."""
    rows: list[Row] = json.loads(file.read_text())["benchmarks"]
    return rows
