"""How a measurement relates to the accepted one by what lies beside the baseline file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_prunecal.study.image_results import ImageResults


@dataclass(frozen=True)
class Pairing:
    """How a cell's measurement relates to the accepted one.

    Attributes:
        same_base: whether both started from the very same base network, by its digest.
        tuned: whether the cell was trained further after its base network; the dense cell was not.
        changes: by metric, how much more the cell differs from its own base network than the accepted one
            did from its own: (measured - its base) - (accepted - its base).
        change_sd: by metric, the deviation over the accepted seeds of the distance from the base network.
        unpaired: why nothing beside the file tells more; empty if it does.
    """

    same_base: bool = False
    tuned: bool = True
    changes: dict[str, float] = field(default_factory=dict)
    change_sd: dict[str, float] = field(default_factory=dict)
    unpaired: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON and for crossing xdist."""
        return asdict(self)


def pair(measured: ImageResults, accepted: ImageResults, *, tuned: bool) -> Pairing:
    """Compare two sides in what both know of themselves and of their base networks."""
    names = measured.base_metrics.keys() & accepted.base_metrics.keys()
    names &= measured.metrics.keys() & accepted.metrics.keys()
    return Pairing(
        same_base=measured.base == accepted.base,
        tuned=tuned,
        changes={
            name: (measured.metrics[name] - measured.base_metrics[name])
            - (accepted.metrics[name] - accepted.base_metrics[name])
            for name in measured.base_metrics
            if name in names
        },
        change_sd={name: sd for name, sd in accepted.change_sd.items() if name in names},
    )
