"""Results image by image: what makes a comparison paired."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("accuracy", "ece", "nll", "brier", "mpc", "corrupted_ece")
"""Metrics that are means over images."""
PAIRED = (*COLUMNS, "rpc")
"""Metrics that are compared image by image; rPC follows from two of the others."""


@dataclass(frozen=True)
class ByImage:
    """One cell's results image by image, and those of the base network that it was pruned from.

    Attributes:
        metrics: the cell's metrics in full precision; they tell whether a baseline still means this cell.
        first: those of the first seed alone, by which a run of one seed recognises itself.
        base: digest of the base network's weights, or of those of all seeds.
        base_metrics: the base network's own metrics.
        change_sd: deviation over seeds of the cell's distance from its base network; empty with one seed.
        seeds: how many seeds.
        cell: encoded (6, N) columns, in the order of `COLUMNS`.
        base_cell: those of the base network.
    """

    metrics: dict[str, float]
    first: dict[str, float]
    base: str
    base_metrics: dict[str, float]
    cell: bytes
    base_cell: bytes
    change_sd: dict[str, float] = field(default_factory=dict)
    seeds: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON."""
        texts = {name: base64.b64encode(getattr(self, name)).decode() for name in ("cell", "base_cell")}
        return asdict(self) | texts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ByImage:
        """Inverse of `to_dict`."""
        return cls(**{**data, **{name: base64.b64decode(data[name]) for name in ("cell", "base_cell")}})
