"""Measurement: the numbers of one cell under one protocol, with where they come from."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.against_dense import AgainstDense
from pytest_prunecal.study.image_results import ImageResults
from pytest_prunecal.study.trace import Jitter, Trace
from pytest_prunecal.study.uncertainty import Uncertainty

if TYPE_CHECKING:
    from collections.abc import Sequence

Number = int | float
Scores = dict[str, float]


def mean_of(values: Sequence[Number]) -> Number:
    """Mean over seeds; of whole numbers the nearest whole one."""
    if len(values) == 1:
        return values[0]
    mean = statistics.fmean(values)
    return round(mean) if all(isinstance(value, int) for value in values) else mean


@dataclass(frozen=True)
class Measurement:
    """The numbers of one cell.

    Attributes:
        metrics: metric name to a finite builtin int or float; means where there are several seeds.
        corrupted: corruption name to severity (as text) to the scores of that test set (accuracy, ece, nll,
            brier); empty in measurements read from elsewhere.
        provenance: where the numbers come from: torch, device, threads, seed, protocol and its fingerprint,
            data set, corruption source, base checkpoint, wall time in seconds.
        warnings: what the reader should know, such as a layer kept alive by the floor of one channel.
        uncertainty: by metric, how sure the number is; metrics without any (parameters) are left out.
        by_image: the same image by image; None in measurements read from elsewhere.
        each: by metric, the number under each seed, the protocol's first; empty in measurements read from
            elsewhere.
        trace: what the first seed computed before training noise set in; None likewise.
        jitter: how far float arithmetic alone moves the cell; None where that was not measured.
        against_dense: by metric, the plain dense network of the same run beside it; empty where nobody asked.
        reused: whether it comes from the store instead of being measured now.
    """

    metrics: dict[str, Number]
    corrupted: dict[str, dict[str, Scores]] = field(default_factory=dict)
    provenance: dict[str, str | Number] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    uncertainty: dict[str, Uncertainty] = field(default_factory=dict)
    by_image: ImageResults | None = None
    reused: bool = False
    each: dict[str, list[Number]] = field(default_factory=dict)
    trace: Trace | None = None
    jitter: Jitter | None = None
    against_dense: dict[str, AgainstDense] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be compared, or cannot cross a process boundary."""
        for name, value in self.metrics.items():
            if type(value) not in (int, float):
                raise PrunecalError(
                    f"metric {name} is a {type(value).__name__}; it must be a plain int or float"
                )
            if (
                not abs(value) <= sys.float_info.max
            ):  # neither infinite, nor a whole number that no float holds
                shown = value if isinstance(value, float) else f"a number of {value.bit_length()} bits"
                raise PrunecalError(f"metric {name} is {shown}; a measurement must be finite")

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
            "uncertainty": {name: sure.to_dict() for name, sure in self.uncertainty.items()},
            "by_image": self.by_image.to_dict() if self.by_image else None,
            "reused": self.reused,
            "each": self.each,
            "trace": self.trace.to_dict() if self.trace else None,
            "jitter": self.jitter.to_dict() if self.jitter else None,
            "against_dense": {name: one.to_dict() for name, one in self.against_dense.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """Inverse of `to_dict`."""
        return cls(
            data["metrics"],
            data["corrupted"],
            data["provenance"],
            tuple(data["warnings"]),
            {name: Uncertainty(**sure) for name, sure in data["uncertainty"].items()},
            ImageResults.from_dict(data["by_image"]) if data["by_image"] else None,
            data["reused"],
            data["each"],
            Trace.from_dict(data["trace"]) if data["trace"] else None,
            Jitter.from_dict(data["jitter"]) if data["jitter"] else None,
            {name: AgainstDense(**one) for name, one in data["against_dense"].items()},
        )
