"""`tolerance: auto`: how far noise alone may move a metric, and what a gate that allows so much can see.

A change is what was measured minus a yardstick, on the metric's `Scale`. There are five comparisons, each
with its own yardstick and noise:

- exact: the same network without training in between. There is no noise.
- same seed: code that fine-tunes as the accepted code did gives each seed the number that it had, but for float
  arithmetic. The noise of that is measured at the update: v = (freedom 2 (0.3 s)^2 + sum of squares of the repeats)
  / (freedom + repeats), with s^2 the variance over seeds, and never more than two trainings differ by.
- same base: another fine-tuning of the same base network, against the mean of K accepted seeds. A change over n
  seeds has the variance s^2 (1/n + 1/K).
- another base: likewise, and base networks differ, too.
- change from the base: how far the cell lies from its own base network, against how far it did.

What lies beside the baseline file, which nobody can review, makes a comparison sharper and never milder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_prunecal.judge import student_t
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.judge.sequence import MOST, Plan

if TYPE_CHECKING:
    from pytest_prunecal.judge.noise import Spread
    from pytest_prunecal.study.metric import Metric

Kind = Literal["exact", "same seed", "same base", "another base", "change from the base"]

COUPLING = 0.3
"""Deviation of a repeated training as a share of two trainings' under other seeds; 0.32 at most was measured."""

MOST_SEEDS = 99
MOST_IMAGES = 100


@dataclass(frozen=True)
class Terms:
    """What the gate asks of a comparison.

    Attributes:
        level: false-alarm rate of one comparison at each look, in (0, 1).
        min_effect: change below which nobody cares, in the metric's unit, >= 0.
        most: seeds of the last look, >= 1.
    """

    level: float
    min_effect: float
    most: int = MOST


@dataclass(frozen=True)
class Change:
    """A change and its noise, before anything is asked of it.

    Attributes:
        kind: which comparison it is.
        worse: the change for the worse, in the metric's unit.
        scaled: the same on the metric's scale.
        sd: standard deviation of one training (of one seed against itself), on the scale.
        freedom: degrees of freedom of that deviation.
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself.
        seeds: seeds that were measured.
        yardstick: the number that it is compared with, in the metric's unit.
        by_images: share of the variance that more test images would lower.
        known: seeds that can be compared with themselves, where they are.
    """

    kind: Kind
    worse: float
    scaled: float
    sd: float
    freedom: int
    accepted: int
    seeds: int
    yardstick: float
    by_images: float = 0.0
    known: int = 0

    @property
    def deviation(self) -> float:
        """Standard deviation of the change, on the scale."""
        return self.sd * math.sqrt(1 / self.seeds + (1 / self.accepted if self.accepted else 0.0))

    @property
    def t(self) -> float:
        """The change in units of its deviation."""
        if self.deviation == 0:
            return math.copysign(math.inf, self.scaled) if self.scaled else 0.0
        return self.scaled / self.deviation

    def p_value(self, floor: float) -> float:
        """Probability that noise alone takes it this far for the worse; 1 where it does not matter."""
        if self.worse <= floor:
            return 1.0
        return student_t.tail(self.t, self.freedom) if self.deviation else 0.0


@dataclass(frozen=True)
class Allowance:
    """What noise explains of one comparison.

    Attributes:
        kind: which comparison it is.
        change: the change that is judged, in the metric's unit: measured minus yardstick.
        noise: how far noise alone takes it for the worse over as many seeds as decide, in the metric's unit.
        bound: how far it may go: the larger of `noise` and the smallest effect that matters.
        sd: standard deviation of the change as measured, in the metric's unit, >= 0.
        freedom: degrees of freedom of that deviation.
        detectable: the smallest true change for the worse that such runs catch with a probability of 0.95.
        seeds: seeds that were measured.
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself.
        wanted_seeds: how many accepted seeds would bring the noise of the last look down to the smallest effect that
            matters; 0 if it is there already, None if not even `MOST_SEEDS` would.
        wanted_images: by what factor more test images would; 0 if it is there already, None if not even
            `MOST_IMAGES` times would.
    """

    kind: Kind
    change: float
    noise: float
    bound: float
    sd: float
    freedom: int
    detectable: float
    seeds: int = 1
    accepted: int = 1
    wanted_seeds: int | None = 0
    wanted_images: float | None = 0.0

    @property
    def blind(self) -> bool:
        """Whether noise hides changes that matter, over as many seeds as may be looked at."""
        return self.wanted_seeds != 0

    @property
    def against_base(self) -> bool:
        """Whether `change` is that of the distance from the base network."""
        return self.kind == "change from the base"


def plan_of(change: Change, terms: Terms, metric: Metric | None) -> Plan:
    """The looks at a comparison that has noise, in units of its `sd`."""
    floor = terms.min_effect * scale_of(metric).slope(change.yardstick) / change.sd
    most = terms.most if change.accepted else min(terms.most, change.known)
    return Plan(change.accepted, change.freedom, terms.level, max(most, change.seeds), floor)


def allowance(change: Change, terms: Terms, metric: Metric | None) -> Allowance:
    """Say how far noise alone may move a metric.

    Args:
        change: the comparison.
        terms: the rate, the smallest effect that matters, the last look.
        metric: what is known of it.
    """
    scale = scale_of(metric)
    sign, yardstick = scale.sign, change.yardstick
    if change.sd == 0:
        return Allowance(
            change.kind,
            sign * change.worse,
            0.0,
            terms.min_effect,
            0.0,
            change.freedom,
            terms.min_effect,
            change.seeds,
            change.accepted,
        )
    plan = plan_of(change, terms, metric)
    decisive = max(change.seeds, next(look for look in plan.looks if plan.decides(look)))
    noise = scale.worsening(yardstick, plan.noise(decisive) * change.sd)
    last = scale.worsening(yardstick, plan.noise(plan.looks[-1]) * change.sd)
    blind = last > terms.min_effect
    return Allowance(
        kind=change.kind,
        change=sign * change.worse,
        noise=noise,
        bound=max(noise, terms.min_effect),
        sd=change.deviation / scale.slope(yardstick),
        freedom=change.freedom,
        detectable=max(scale.worsening(yardstick, plan.detectable * change.sd), terms.min_effect),
        seeds=change.seeds,
        accepted=change.accepted,
        wanted_seeds=_seeds(plan) if blind else 0,
        wanted_images=_images(plan, change.by_images) if blind else 0.0,
    )


def _seeds(plan: Plan) -> int | None:
    """Accepted seeds that bring the noise of the last look down to the smallest effect that matters."""
    if not plan.accepted:
        return None
    prior = plan.freedom - plan.accepted + 1
    for seeds in range(plan.accepted + 1, MOST_SEEDS + 1):
        more = Plan(seeds, prior + seeds - 1, plan.level, plan.most)
        if more.noise(plan.looks[-1]) <= plan.floor:
            return seeds
    return None


def _images(plan: Plan, by_images: float) -> float | None:
    """Factor of test images that does the same."""
    room = (plan.floor / plan.noise(plan.looks[-1])) ** 2 - (1 - by_images)
    return by_images / room if room * MOST_IMAGES > by_images else None


def coupled(spread: Spread, repeats: list[float], slope: float, freedom: int) -> tuple[float, int]:
    """Deviation of a seed against itself on the scale, and its degrees of freedom.

    Args:
        spread: the training noise.
        repeats: how far repeats of the accepted training ended from it, in the metric's unit; may be none.
        slope: of the metric's scale.
        freedom: of the protocol's prior.
    """
    expected = 2 * COUPLING * COUPLING * spread.variance
    squares = sum((moved * slope) ** 2 for moved in repeats)
    variance = (freedom * expected + squares) / (freedom + len(repeats))
    return math.sqrt(min(variance, 2 * spread.variance)), freedom + len(repeats)
