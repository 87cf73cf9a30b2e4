"""Many comparisons, one false-alarm rate: Holm's step-down procedure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = TypeVar("Key")


def comparisons(models: Iterable[Sequence[Sequence[str]]]) -> int:
    """Count what a run compares under `auto`: each cell by itself, and the cells of a model together.

    Args:
        models: of each model, of each of its cells, the metrics that are compared.
    """
    return sum(
        sum(map(len, cells)) + len({metric for metrics in cells for metric in metrics}) for cells in models
    )


def rejected(p_values: Mapping[Key, float], rate: float, comparisons: int) -> set[Key]:
    """Say which of a run's comparisons are no false alarms (Holm 1979, Scand. J. Stat. 6:65).

    With probability 1 - `rate` none of those that did not change is among them, however they depend on
    each other. A part of the run's comparisons may be given: what is rejected of a part is also rejected of
    the whole, so that a cell need not wait for the others.

    Args:
        p_values: of the comparisons at hand.
        rate: of runs without a change in which anything may be rejected.
        comparisons: how many the whole run makes, at least as many as are at hand.

    Example:
        The smallest is compared with 0.05 / 3, the next with 0.05 / 2, and there it stops.

        >>> rejected({"ece": 0.01, "mpc": 0.03, "nll": 0.04}, rate=0.05, comparisons=3)
        {'ece'}
    """
    found: set[Key] = set()
    for step, (key, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value > rate / max(comparisons - step, 1):
            break
        found.add(key)
    return found
