"""How many seeds a cell is looked at over, and what such a sequence of looks can see.

A cell is measured under one seed; it is settled there unless something got worse by more than noise often
does. Then it is looked at again over 2, 3, 5, 9 and 16 seeds. Nothing is a regression on fewer than five: a
single training that went wrong must not be one. The limits keep what runs without a change cost at one and
a half seeds a cell, and lose next to nothing that five seeds would show.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from functools import lru_cache

from pytest_prunecal.judge import student_t
from pytest_prunecal.study.looks import MOST

LIMITS = {1: 1.4, 2: 2.1, 3: 2.6, 5: 2.8, 9: 3.2}
"""By number of seeds: by how many of its deviations a change may be for the worse without a further look."""

LOOKS = (*LIMITS, MOST)
EARLIEST = 5
"""Seeds below which nothing is a regression, if there may be more."""

POWER = 0.95

_SURELY_LESS = 2.33  # deviations: what is this far below the smallest effect that matters is so with 99 %
_PATHS = 2000


def next_look(seeds: int, most: int) -> int:
    """Over how many seeds to look after a look over some; 0 if that was the last."""
    further = next((look for look in LOOKS if look > seeds), seeds)
    look = min(further, max(most, seeds))
    return look if look > seeds else 0


def limit(seeds: int) -> float:
    """The limit of a look over some seeds."""
    return LIMITS[max(look for look in LIMITS if look <= seeds)]


def deviation(seeds: int, accepted: int) -> float:
    """Standard deviation of a change, in units of that of one training.

    Args:
        seeds: measured ones, independent of each other.
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself.
    """
    return math.sqrt(1 / seeds + (1 / accepted if accepted else 0.0))


@dataclass(frozen=True)
class Plan:
    """A sequence of looks at one comparison, in units of the standard deviation of one training.

    Attributes:
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself as accepted.
        freedom: degrees of freedom of the standard deviation.
        level: false-alarm rate of the comparison, in (0, 1).
        most: seeds of the last look.
        floor: the smallest effect that matters, >= 0.
        one_base: whether all measured seeds have their noise in common, see `Change.one_base`. Then a look
            that finds a regression is followed by others, which can take it back, and no other look is.
    """

    accepted: int
    freedom: int
    level: float
    most: int
    floor: float = 0.0
    one_base: bool = False

    def deviation(self, seeds: int) -> float:
        """Standard deviation of a change that is measured over some seeds."""
        return deviation(1 if self.one_base else seeds, self.accepted)

    def noise(self, seeds: int) -> float:
        """How far noise alone takes a change over some seeds for the worse, at the rate of the comparison."""
        return student_t.quantile(self.level, self.freedom) * self.deviation(seeds)

    def goes_on(self, seeds: int) -> float:
        """The change from which on a look over some seeds is followed by another."""
        if self.one_base:
            return max(self.noise(seeds), self.floor)
        if not self.accepted:
            return max(limit(seeds) * self.deviation(seeds), self.floor)
        return max(limit(seeds), self.floor / self.deviation(seeds) - _SURELY_LESS) * self.deviation(seeds)

    @property
    def looks(self) -> list[int]:
        """Seeds of each look."""
        found = [1]
        while look := next_look(found[-1], self.most):
            found.append(look)
        return found

    def decides(self, seeds: int) -> bool:
        """Whether a look over some seeds may find a regression."""
        return seeds >= EARLIEST or not next_look(seeds, self.most)

    def power(self, effect: float) -> float:
        """Probability that a true change for the worse of some size is found to be a regression."""
        needed = _needed(self._relevant)
        return sum(one <= effect for one in needed) / len(needed)

    @property
    def detectable(self) -> float:
        """The smallest true change for the worse that is found with a probability of 0.95."""
        return sorted(_needed(self._relevant))[math.ceil(POWER * _PATHS) - 1]

    @property
    def _relevant(self) -> Plan:
        """The same without a floor that no look comes to: most comparisons of a run are then one."""
        bare = replace(self, floor=0.0)
        looks = self.looks
        lowest = min(self.noise(look) for look in looks if self.decides(look))
        same = all(self.goes_on(look) == bare.goes_on(look) for look in looks)
        return bare if same and self.floor <= lowest else self


@lru_cache(maxsize=1024)
def _needed(plan: Plan) -> tuple[float, ...]:
    """By simulated run: the smallest true change that it finds, as every look moves with the change."""
    looks = plan.looks
    passes = [plan.goes_on(look) for look in looks]
    bounds = [plan.noise(look) if plan.decides(look) else math.inf for look in looks]
    found = []
    for errors in _errors(plan.accepted, plan.freedom, tuple(looks), one_base=plan.one_base):
        reached, least = -math.inf, math.inf
        for (error, steady), go_on, bound in zip(errors, passes, bounds, strict=True):
            least = min(least, max(reached, bound - steady, plan.floor - error))
            reached = max(reached, go_on - error)
        found.append(least)
    return tuple(found)


@lru_cache(maxsize=16)
def _errors(
    accepted: int, freedom: int, looks: tuple[int, ...], *, one_base: bool
) -> list[list[tuple[float, float]]]:
    """By simulated run and look: how far noise takes a change, and a steady one; in estimated deviations."""
    draw = random.Random(7)  # noqa: S311 - a simulation, the same every time
    paths = []
    for _ in range(_PATHS):
        true = math.sqrt(freedom / draw.gammavariate(freedom / 2, 2.0))
        of_baseline = draw.gauss(0, 1) / math.sqrt(accepted) if accepted else 0.0
        seeds = [draw.gauss(0, 1) for _ in range(looks[-1])]
        if one_base:
            seeds = seeds[:1] * looks[-1]
        path = []
        for look in looks:
            mean = sum(seeds[:look]) / look
            *_, second, worst = sorted(seeds[:look]) if look >= EARLIEST else (0.0, 0.0)
            path.append((true * (mean - of_baseline), true * (mean - (worst - second) / look - of_baseline)))
        paths.append(path)
    return paths
