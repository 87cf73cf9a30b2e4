"""How a measurement relates to the accepted one, besides the numbers: by base network and by image."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pairing:
    """How a cell's measurement relates to the accepted one.

    Attributes:
        same_base: whether both started from the very same base network, by its digest.
        tuned: whether the cell was trained further after its base network; the dense cell was not.
        paired: by metric, the standard error of measured minus accepted when the same images are resampled on
            both sides; empty where the baseline's results by image are not at hand.
        changes: by metric, how much more the cell differs from its own base network than the accepted one
            did from its own: (measured - its base) - (accepted - its base).
        change_errors: standard errors of `changes`, paired by image.
        unpaired: why the comparison is not paired; empty if it is.
        change_spread: of each side with several seeds, their number less one and the deviation over seeds of
            the distance from the base network.
    """

    same_base: bool = False
    tuned: bool = True
    paired: dict[str, float] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)
    change_errors: dict[str, float] = field(default_factory=dict)
    unpaired: str = ""
    change_spread: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON and for crossing xdist."""
        return asdict(self)
