"""Measurement: the numbers of one cell under one protocol, with where they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pytest_prunecal.errors import PrunecalError

Number = int | float
Scores = dict[str, float]


@dataclass(frozen=True)
class Measurement:
    """The numbers of one cell.

    Attributes:
        metrics: metric name to a finite builtin int or float.
        corrupted: corruption name to severity (as text) to the scores of that test set (accuracy, ece, nll,
            brier); empty in measurements read from elsewhere.
        provenance: where the numbers come from: torch, device, threads, seed, protocol and its fingerprint,
            data set, corruption source, base checkpoint, wall time in seconds.
        warnings: what the reader should know, such as a layer kept alive by the floor of one channel.
    """

    metrics: dict[str, Number]
    corrupted: dict[str, dict[str, Scores]] = field(default_factory=dict)
    provenance: dict[str, str | Number] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be compared, or cannot cross a process boundary."""
        for name, value in self.metrics.items():
            if type(value) not in (int, float):
                raise PrunecalError(
                    f"metric {name} is a {type(value).__name__}; it must be a plain int or float"
                )
            if not math.isfinite(value):
                raise PrunecalError(f"metric {name} is {value}; a measurement must be finite")

    def __getitem__(self, metric: str) -> Number:
        """Read one metric: `measurement["ece"]`.

        Raises:
            KeyError: the metric was not measured; names those that were.
        """
        try:
            return self.metrics[metric]
        except KeyError:
            raise KeyError(f"no metric {metric!r}; measured were {', '.join(self.metrics)}") from None

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON and for crossing xdist."""
        return {
            "metrics": dict(self.metrics),
            "corrupted": self.corrupted,
            "provenance": dict(self.provenance),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """Inverse of `to_dict`."""
        return cls(data["metrics"], data["corrupted"], data["provenance"], tuple(data["warnings"]))
