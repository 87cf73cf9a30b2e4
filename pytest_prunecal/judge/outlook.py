"""What a gate will see of changes, before anything is compared: by cell, and over several cells together.

The accepted numbers are taken as they are, or as they would be over another number of seeds, or on more test
images, of which the sampling part of the variance falls. Runs start from the same base network, and nothing
that lies beside the baseline file makes them sharper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.judge.auto_tolerance import Change, Terms, allowance
from pytest_prunecal.judge.noise import AS_EXPECTED, LEAST_FREEDOM, levels, spread
from pytest_prunecal.judge.pooled import ALL, pool
from pytest_prunecal.judge.rate import FEWEST, shared
from pytest_prunecal.study.tolerance import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.noise import Accepted, Level
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.rate import Rate
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.tolerance import Tolerance


@dataclass(frozen=True)
class Ahead:
    """Accepted cells of a model, and all that comparisons with them will rest on.

    Attributes:
        cells: by id and metric, those that are compared under `auto`.
        pruners: by id; None for the dense cell.
        noise: the protocol's prior of the training noise.
        metrics: what is known of each metric.
        min_effect: by metric, the change below which nobody cares.
        rate: the false-alarm rate of each comparison.
        most: seeds over which a cell in doubt is looked at, at most.
        levels: by metric, what the parts of the prior's variance are multiplied by, see `noise.levels`.
    """

    cells: Mapping[str, Mapping[str, Accepted]]
    pruners: Mapping[str, str | None]
    noise: Noise
    metrics: Mapping[str, Metric]
    min_effect: Mapping[str, Tolerance]
    rate: Rate
    most: int
    levels: Mapping[str, Level]

    def change(self, cell: str, name: str, seeds: int | None = None, images: float = 1.0) -> Change:
        """A change of nothing and its noise.

        Args:
            cell: its id.
            name: the metric's.
            seeds: accepted ones; None for as many as there are.
            images: factor of test images, > 0.
        """
        accepted, metric = self.cells[cell][name], self.metrics.get(name)
        level = self.levels.get(name, AS_EXPECTED)
        found = spread("finetune", name, metric, accepted, self.noise, level)
        count = found.seeds if seeds is None else seeds
        exact = self.pruners[cell] is None or not found.variance
        left = 1 - found.by_images + found.by_images / images
        return Change(
            kind="exact" if exact else "same base",
            worse=0.0,
            by_seed=(0.0,),
            sd=0.0 if exact else math.sqrt(found.variance * left),
            freedom=max(self.noise.freedom + count - 1, LEAST_FREEDOM),
            accepted=count,
            seeds=1,
            yardstick=accepted.mean,
            by_images=found.by_images / images / left if left else 0.0,
            prior=self.noise.freedom,
        )

    def allowance(self, cell: str, name: str, seeds: int | None = None, images: float = 1.0) -> Allowance:
        """What noise will explain of a metric of a cell; arguments as those of `change`."""
        terms = Terms(self.rate.cell, self.effect(cell, name), self.most)
        return allowance(self.change(cell, name, seeds, images), terms, self.metrics.get(name))

    def median(self, name: str, seeds: int | None = None, images: float = 1.0) -> Allowance | None:
        """Of the cell in the middle, by what noise explains; None where no cell has noise."""
        cells = [cell for cell, found in self.cells.items() if name in found]
        found = [self.allowance(cell, name, seeds, images) for cell in cells if self.pruners[cell]]
        noisy = sorted((one for one in found if one.sd), key=lambda one: one.bound)
        return noisy[len(noisy) // 2] if noisy else None

    def pooled(self, group: str, name: str, seeds: int | None = None, images: float = 1.0) -> Pooled | None:
        """What the cells of a pruner, or of `ALL`, will show together; None for fewer than two with noise."""
        cells = [
            cell
            for cell, found in self.cells.items()
            if name in found and self.pruners[cell] is not None and group in (ALL, self.pruners[cell])
        ]
        changes = [(self.change(cell, name, seeds, images), self.effect(cell, name)) for cell in cells]
        noisy = [(change, effect) for change, effect in changes if change.sd]
        if len(noisy) < FEWEST:
            return None
        return pool(group, name, noisy, self.metrics.get(name), self.rate.pooled)

    @property
    def groups(self) -> list[str]:
        """The pruners whose cells are pooled by themselves: none where one has all cells."""
        pruners = list(dict.fromkeys(pruner for pruner in self.pruners.values() if pruner))
        return pruners if len(pruners) > 1 else []

    def effect(self, cell: str, name: str) -> float:
        """The smallest change of a metric of a cell that matters, in its unit."""
        return self.min_effect.get(name, EXACT).bound(self.cells[cell][name].mean)


def ahead_of(
    cells: Mapping[str, Mapping[str, Accepted]],
    pruners: Mapping[str, str | None],
    protocol: Protocol,
    metrics: Mapping[str, Metric],
    *,
    given_base: bool,
) -> Ahead:
    """Look ahead from cells that are a whole baseline file, or are going to be.

    Args:
        cells: see `Ahead`.
        pruners: likewise.
        protocol: under which they were, or would be, measured.
        metrics: what is known of each metric.
        given_base: whether runs start from one base network by what the file says.
    """
    tuned = [found for cell, found in cells.items() if pruners[cell] is not None]
    named = [(pruners[cell], tuple(found)) for cell, found in cells.items()]
    return Ahead(
        cells,
        pruners,
        protocol.noise,
        metrics,
        protocol.min_effect,
        shared(protocol.false_alarms, named, metrics, given_base=given_base),
        protocol.repeat,
        levels("finetune", tuned, protocol.noise, metrics),
    )
