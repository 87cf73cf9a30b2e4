"""What a session measures with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_prunecal.study import protocol
    from pytest_prunecal.study.candidate import Candidates
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.given_base import Bases


@dataclass(frozen=True)
class Setup:
    """What an engine measures with, besides the cell.

    Attributes:
        protocol: turns cells into numbers.
        store: directory or fsspec URL of the store.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data: the user's data folder, or None.
        extensions: the user's own models, pruners, data sets and metrics.
        bases: trained networks to start from instead of base training.
        candidates: finished networks that are measured as they are.
        pin: whether all seeds start from the base network of the protocol's seed.
        worker: number of this process among the session's workers, from 0; `auto` spreads them over the GPUs.
        started: when the session began, see `sources.Sources`.
        fresh: whether numbers that lie in the store are measured again.
        recovery: whether a rule of recovery is in play, so that every cell is held beside the dense network.
    """

    protocol: protocol.Protocol
    store: str
    device: str
    data: Path | None
    extensions: Extensions
    bases: Bases = field(default_factory=dict)
    candidates: Candidates = field(default_factory=dict)
    pin: bool = False
    worker: int = 0
    started: float = math.inf
    fresh: bool = False
    recovery: bool = False
