"""The shipped gate on other processors, thread counts and versions of torch: what differs, and what it costs.

Reads the reports that sessions wrote to FOLDER/environments with `--prunecal-json`, one file a session.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

from lab import METRICS
from records import counted

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from records import Elsewhere

SIGNS = {"accuracy": -1, "mpc": -1, "rpc": -1}
"""Metrics of which less is worse."""


def report(folder: Path) -> list[Elsewhere]:
    """Every session, in the order of its file's name, which says what was different."""
    paths = sorted((folder / "environments").glob("*.json"))
    return [_session(path.stem, json.loads(path.read_text())) for path in paths]


def _session(name: str, report: dict[str, Any]) -> Elsewhere:
    cells = [cell for model in report["models"] for cell in model["cells"]]
    tuned = [cell for cell in cells if cell["pruner"]]
    return {
        "what": name,
        "cells": len(cells),
        "compared": sum(cell["screen"]["compared"] for cell in cells),
        "differ": [
            f"{cell['id']} {one['stage']} {one['name']}"
            for cell in cells
            for one in cell["screen"]["differences"]
        ],
        "labels": counted(cell["label"] for cell in cells),
        "cost": statistics.fmean(cell["seeds"] for cell in tuned),
        "worst": {metric: max(0.0, *(_worse(cell, metric) for cell in cells)) for metric in METRICS},
    }


def _worse(cell: dict[str, Any], metric: str) -> float:
    change: float = cell["metrics"][metric]["auto"]["change"] if cell["metrics"][metric]["auto"] else 0.0
    return SIGNS.get(metric, 1) * change
