"""Results image by image: what makes a comparison paired."""

from __future__ import annotations

import base64
import struct
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.trace import Jitter, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.study.metric import Metric


@dataclass(frozen=True)
class Columns:
    """What each image adds to some metrics, encoded: the high bytes of all numbers, then the low ones.

    Attributes:
        names: of the metrics.
        content: of each metric and image a float16 whose last four bits are 0: 2 x metrics x images bytes.
    """

    names: tuple[str, ...]
    content: bytes

    @property
    def images(self) -> int:
        """How many images."""
        return len(self.content) // max(2 * len(self.names), 1)

    def plane(self, name: str, half: int) -> bytes:
        """The high (0) or low (1) bytes of one metric."""
        start = (half * len(self.names) + self.names.index(name)) * self.images
        return self.content[start : start + self.images]

    def values(self, name: str) -> tuple[float, ...]:
        """What each image adds to one metric, decoded; good to 0.83 % of itself."""
        pairs = bytearray(2 * self.images)
        pairs[1::2], pairs[::2] = self.plane(name, 0), self.plane(name, 1)
        return struct.unpack(f"<{self.images}e", pairs)

    def over(self, other: Columns) -> Columns:
        """Both side by side; this one's where both have a metric, as two evaluations of one network do."""
        names = tuple(dict.fromkeys((*other.names, *self.names)))
        if names == self.names or self.images != other.images:
            return self
        owners = [(self if name in self.names else other, name) for name in names]
        return Columns(names, b"".join(owner.plane(name, half) for half in (0, 1) for owner, name in owners))


@dataclass(frozen=True)
class ImageResults:
    """One cell's results image by image, and those of the base network that it was pruned from.

    Attributes:
        metrics: the cell's metrics in full precision; they tell whether a baseline still means this cell.
        each: by metric, the number under each seed, the protocol's first.
        base: digest of the base network's weights, or of those of all seeds.
        base_metrics: the base network's own metrics.
        cell: what each image adds to the cell's paired metrics.
        base_cell: the same of the base network.
        change_sd: deviation over seeds of the cell's distance from its base network; empty with one seed.
        trace: what the first seed computed before training noise set in; None where it is not known.
        jitter: how far float arithmetic alone moves the cell; None likewise.
    """

    metrics: dict[str, float]
    each: dict[str, list[float]]
    base: str
    base_metrics: dict[str, float]
    cell: Columns
    base_cell: Columns
    change_sd: dict[str, float] = field(default_factory=dict)
    trace: Trace | None = None
    jitter: Jitter | None = None

    @property
    def first(self) -> dict[str, float]:
        """The numbers of the first seed alone."""
        return {name: values[0] for name, values in self.each.items()}

    @property
    def seeds(self) -> int:
        """How many seeds."""
        return max(map(len, self.each.values()), default=1)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON."""
        columns = {
            name: {"names": list(found.names), "content": base64.b64encode(found.content).decode()}
            for name, found in (("cell", self.cell), ("base_cell", self.base_cell))
        }
        return asdict(self) | columns

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageResults:
        """Inverse of `to_dict`."""
        columns = {
            name: Columns(tuple(data[name]["names"]), base64.b64decode(data[name]["content"]))
            for name in ("cell", "base_cell")
        }
        traced = {
            "trace": Trace.from_dict(data["trace"]) if data["trace"] else None,
            "jitter": Jitter.from_dict(data["jitter"]) if data["jitter"] else None,
        }
        return cls(**{**data, **columns, **traced})


def paired(names: Iterable[str], metrics: Mapping[str, Metric]) -> list[str]:
    """Metrics that columns of these names tell of: those themselves, and the quotients of two of them."""
    known = set(names)
    quotients = [
        name for name, metric in metrics.items() if metric.quotient and known.issuperset(metric.quotient)
    ]
    return [*(name for name in metrics if name in known), *quotients]
