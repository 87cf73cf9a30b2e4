"""One false-alarm rate for a model's whole accepted grid, shared by every comparison that has noise.

Which cells a run selects makes no difference: the same cell has the same bound by itself and in the whole
grid.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.study.metric import Metric

OF_CELLS, OF_POOLED = 0.8, 0.2
"""How the rate is shared by cells one by one and by cells pooled."""

LOOKED_AT = 0.05
"""Share of a comparison's rate that each look gets.

There are several looks, and trainings of damaged cells have heavier tails than Student's t: with a half,
one such cell in three hundred failed without a change. It costs a twentieth of what can be seen.
"""

LOOKED_AT_ONCE = 0.5
"""The same where further looks tell nothing new: a base network in the place of another."""

FEWEST = 2
"""Cells that can be pooled."""


@dataclass(frozen=True)
class Rate:
    """The false-alarm rate of one comparison.

    Attributes:
        cell: of one metric of one cell, at each look.
        pooled: of one metric over several cells.
        comparisons: how many comparisons of cells share the rate.
    """

    cell: float
    pooled: float
    comparisons: int


def shared(
    false_alarms: float,
    cells: Iterable[tuple[str | None, Iterable[str]]],
    metrics: Mapping[str, Metric],
    *,
    given_base: bool,
    besides: int = 0,
) -> Rate:
    """Share a rate.

    Args:
        false_alarms: of a run over the whole grid, in (0, 1).
        cells: of the whole baseline file: each one's pruner (None for a cell that is not fine-tuned, such as
            the dense one) and the metrics that it compares under `auto`; but for candidates.
        metrics: what is known of each metric.
        given_base: whether all runs start from one base network by what the file says; then the dense cell
            and structure have no noise, and take no share.
        besides: further comparisons that have noise: those of candidates, and with the dense network.
    """
    by_pruner: dict[str | None, list[list[str]]] = {}
    for pruner, names in cells:
        noisy = [name for name in names if not (given_base and name in metrics and metrics[name].structure)]
        by_pruner.setdefault(pruner, []).append([] if given_base and pruner is None else noisy)
    comparisons = sum(len(names) for found in by_pruner.values() for names in found) + besides
    groups = [found for pruner, found in by_pruner.items() if pruner is not None]
    everything = [names for found in groups for names in found]
    groups = [everything, *(groups if len(groups) > 1 else ())]
    pooled = 0
    for found in groups:
        counted = Counter(name for names in found for name in names)
        pooled += sum(count >= FEWEST for count in counted.values())
    return Rate(
        cell=false_alarms * OF_CELLS * LOOKED_AT / max(comparisons, 1),
        pooled=false_alarms * OF_POOLED / max(pooled, 1),
        comparisons=comparisons,
    )
