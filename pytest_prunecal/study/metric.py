"""What is known of a metric without measuring it: its direction and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DECIMALS = 4


@dataclass(frozen=True)
class Metric:
    """One metric of a cell.

    Attributes:
        name: its key in baselines and reports.
        higher_is_better: the direction; a change against it is a change for the worse.
        count: a whole number (parameters, MACs) rather than a fraction.
        title: what people call it.
        function: only of a user's own metric: takes the clean test set's logits, float32 (N, classes), and
            its labels, int64 (N,), both on the CPU, and returns a finite number; or `package.module:name`.
    """

    name: str
    higher_is_better: bool
    count: bool = False
    title: str = ""
    function: Callable[..., float] | str | None = None


_BUILT_IN = (
    Metric("accuracy", higher_is_better=True, title="accuracy"),
    Metric("ece", higher_is_better=False, title="ECE"),
    Metric("nll", higher_is_better=False, title="NLL"),
    Metric("brier", higher_is_better=False, title="Brier score"),
    Metric("mpc", higher_is_better=True, title="mPC"),
    Metric("rpc", higher_is_better=True, title="rPC"),
    Metric("corrupted_ece", higher_is_better=False, title="ECE under corruption"),
    Metric("parameters", higher_is_better=False, count=True, title="parameters"),
    Metric("macs", higher_is_better=False, count=True, title="MACs"),
    Metric("sparsity", higher_is_better=True, title="sparsity"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _BUILT_IN}


def known(extra: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Metrics by name, the built-in ones first and in canonical order."""
    return METRICS | {metric.name: metric for metric in extra}


def recorded(value: float) -> float:
    """Round a number to what a baseline file carries: four decimals, counts as they are.

    Verdicts compare recorded numbers, so that accepting a measurement makes it compare as unchanged.
    """
    return value if isinstance(value, int) else round(value, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def written(value: float) -> str:
    """Write a number the way baselines and tables show it: four decimals, or a count in full.

    Example:
        >>> written(0.96875), written(315010)
        ('0.9688', '315010')
    """
    return str(value) if isinstance(value, int) else f"{recorded(value):.{DECIMALS}f}"


def in_order(names: Iterable[str], metrics: Mapping[str, Metric]) -> list[str]:
    """Sort metric names canonically: known ones in their order, then the others by name."""
    rank = {name: position for position, name in enumerate(metrics)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))
