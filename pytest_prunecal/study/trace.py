"""What is computed of a cell before training noise sets in: by it, runs of the same code know each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA, CORRUPTIONS, DENSE, PRUNED, STRUCTURE, FINETUNE = (
    "data",
    "corruptions",
    "dense",
    "pruned",
    "structure",
    "finetune",
)
STAGES = (DATA, CORRUPTIONS, DENSE, PRUNED, STRUCTURE, FINETUNE)
"""In the order in which a cell comes to them: what differs in one may differ in all that follow."""

RULER = (DATA, CORRUPTIONS, DENSE)
"""Stages that say what everything is measured with; a cell's own code has no part in them."""

STEPS = 5
"""Steps of fine-tuning whose losses are kept."""

Value = str | int | float


@dataclass(frozen=True)
class Trace:
    """What a cell computes before training noise sets in, under the protocol's seed.

    Attributes:
        base: digest of the base network's weights; between two base networks, only data and corruptions
            can be compared.
        stages: by stage, in the order of `STAGES`, and by name: a digest (text), a whole number, which is
            exact, or a float, which arithmetic may move. `dense`, `pruned` and `finetune` are about weights
            that are the same wherever the base network is.
    """

    base: str
    stages: dict[str, dict[str, Value]]

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trace:
        """Inverse of `to_dict`."""
        return cls(data["base"], data["stages"])


@dataclass(frozen=True)
class Jitter:
    """How far float arithmetic alone moves a cell, from repeats with weights times 1 + 1e-7 gauss.

    Attributes:
        trace: by stage and name of a float in the trace, how far the repeats moved it at most, >= 0.
        metrics: by metric, how far each repeat of the whole cell ended from the unperturbed number, with its
            sign, in the metric's unit; empty where only the first steps were repeated.
    """

    trace: dict[str, dict[str, float]] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Jitter:
        """Inverse of `to_dict`."""
        return cls(data["trace"], data["metrics"])
