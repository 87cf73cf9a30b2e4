"""`tolerance: auto`: how far noise alone may move a metric, and what a gate that allows so much can see.

A change is what was measured minus a yardstick, on the metric's `Scale`. There are seven comparisons, each
with its own yardstick and noise:

- exact: the same network without training in between. There is no noise.
- same seed: code that fine-tunes as the accepted code did gives each seed the number that it had, but for
  float arithmetic. The noise of that is measured at the update, see `coupling`.
- same base: another fine-tuning of the same base network, against the mean of K accepted seeds. A change
  over n seeds has the variance s^2 (1/n + 1/K).
- another base: likewise, and base networks differ, too.
- change from the base: how far the cell lies from its own base network, against how far it did.
- same network: a finished network, the very file that was accepted. There is no noise.
- another network: a finished network against the one that was accepted. This very network ships, so training
  noise is no excuse: the noise is the sampling error of the difference on the test images, which is Gaussian
  in the metric's own unit, se^2 + se^2 at most, and that of the mean difference image by image where both
  sides are known so.

What lies beside the baseline file, which nobody can review, makes a comparison sharper and never milder.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pytest_prunecal.judge import student_t
from pytest_prunecal.judge.noise import LEAST_FREEDOM
from pytest_prunecal.judge.rate import LOOKED_AT, LOOKED_AT_ONCE
from pytest_prunecal.judge.scale import Scale, scale_of
from pytest_prunecal.judge.sequence import EARLIEST, Plan, deviation
from pytest_prunecal.study.looks import MOST

if TYPE_CHECKING:
    from pytest_prunecal.study.metric import Metric

Kind = Literal[
    "exact",
    "same seed",
    "same base",
    "another base",
    "change from the base",
    "same network",
    "another network",
]

NORMAL = 1000
"""Degrees of freedom of a mean over many images: Student's t is the normal distribution to 1 %."""

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
        by_seed: the same on the metric's scale, under each seed as far as that is known.
        sd: standard deviation of one training (of one seed against itself), on the scale.
        freedom: degrees of freedom of that deviation.
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself.
        seeds: seeds that were measured.
        yardstick: the number that it is compared with, in the metric's unit.
        by_images: share of the variance that more test images would lower.
        known: seeds that can be compared with themselves, where they are.
        one_base: whether the noise is that of the base network which all measured seeds have in common, so
            that more of them do not lower it.
        prior: how many of its degrees of freedom are the prior's, and so the same of all cells.
        paired: whether the sides were compared image by image.
    """

    kind: Kind
    worse: float
    by_seed: tuple[float, ...]
    sd: float
    freedom: int
    accepted: int
    seeds: int
    yardstick: float
    by_images: float = 0.0
    known: int = 0
    one_base: bool = False
    prior: int = 0
    paired: bool = False

    def scale(self, metric: Metric | None) -> Scale:
        """The scale that it is judged on: the metric's, and its own unit where only images are the noise."""
        scale = scale_of(metric)
        return Scale(scale.sign) if self.kind == "another network" else scale

    @property
    def scaled(self) -> float:
        """The change for the worse on the metric's scale."""
        return statistics.fmean(self.by_seed)

    @property
    def steady(self) -> float:
        """The same with the worst seed taken for no worse than the second worst, where there are enough."""
        if len(self.by_seed) < EARLIEST:
            return self.scaled
        *others, second, _ = sorted(self.by_seed)
        return statistics.fmean([*others, second, second])

    @property
    def deviation(self) -> float:
        """Standard deviation of the change, on the scale."""
        return self.sd * deviation(1 if self.one_base else self.seeds, self.accepted)

    @property
    def mirrored(self) -> Change:
        """The change for the better, judged like one for the worse."""
        return replace(self, worse=-self.worse, by_seed=tuple(-one for one in self.by_seed))

    def p_value(self, floor: float) -> float:
        """Probability that noise alone takes it this far for the worse; 1 where it does not matter.

        No regression hangs on a single training that went wrong: it is the steady change that counts.
        """
        if self.worse <= floor:
            return 1.0
        if self.deviation == 0:
            return 0.0
        return student_t.tail(self.steady / self.deviation, self.freedom)


@dataclass(frozen=True)
class Allowance:
    """What noise explains of one comparison.

    Attributes:
        kind: which comparison it is.
        change: the change that is judged, in the metric's unit: measured minus yardstick.
        noise: how far noise alone takes it for the worse at the last look, in the metric's unit.
        bound: how far it may go: the larger of `noise` and the smallest effect that matters.
        sd: standard deviation of the change as measured, in the metric's unit, >= 0.
        seeds: seeds that were measured.
        accepted: seeds whose mean is the yardstick; 0 where each seed is compared with itself.
        unit: standard deviation of one training, on the metric's scale.
        scale: of the metric.
        yardstick: the number that it is compared with, in the metric's unit.
        plan: the looks at it; None where there is no noise.
        by_images: share of the variance that more test images would lower.
        prior: how many degrees of freedom the protocol's prior has.
        paired: whether the sides were compared image by image.
    """

    kind: Kind
    change: float
    noise: float
    bound: float
    sd: float
    seeds: int = 1
    accepted: int = 1
    unit: float = 0.0
    scale: Scale = field(default_factory=Scale)
    yardstick: float = 0.0
    plan: Plan | None = None
    by_images: float = 0.0
    prior: int = 0
    paired: bool = False

    @property
    def detectable(self) -> float:
        """The smallest true change for the worse that such runs catch with a probability of 0.95."""
        if self.plan is None:
            return self.bound
        return self.scale.worsening(self.yardstick, self.plan.detectable * self.unit)

    def power(self, effect: float) -> float:
        """Probability that such runs catch a true change for the worse of this size, in the metric's unit."""
        if self.plan is None:
            return float(effect > self.bound)
        worse = self.yardstick + self.scale.sign * effect
        return self.plan.power((self.scale.of(worse) - self.scale.of(self.yardstick)) / self.unit)

    @property
    def blind(self) -> bool:
        """Whether noise hides changes that matter, over as many seeds as may be looked at."""
        return self.plan is not None and self.plan.noise(self.plan.looks[-1]) > self.plan.floor

    @property
    def wanted_seeds(self) -> int | None:
        """How many accepted seeds would cure that; 0 if nothing is hidden, None if not `MOST_SEEDS`."""
        return _seeds(self.plan, self.prior) if self.plan and self.blind else 0

    @property
    def wanted_images(self) -> float | None:
        """By what factor more test images would; 0 if nothing is hidden, None if not `MOST_IMAGES`."""
        return _images(self.plan, self.by_images) if self.plan and self.blind else 0.0

    @property
    def against_base(self) -> bool:
        """Whether `change` is that of the distance from the base network."""
        return self.kind == "change from the base"


def plan_of(change: Change, terms: Terms, metric: Metric | None) -> Plan:
    """The looks at a comparison that has noise, in units of its `sd`."""
    scale, yardstick = change.scale(metric), change.yardstick
    floor = (scale.of(yardstick + scale.sign * terms.min_effect) - scale.of(yardstick)) / change.sd
    most = terms.most if change.accepted else min(terms.most, change.known)
    # Where the noise is that of one base network, further looks are no further chances to fail.
    level = terms.level * LOOKED_AT_ONCE / LOOKED_AT if change.one_base else terms.level
    return Plan(change.accepted, change.freedom, level, max(most, change.seeds), floor, change.one_base)


def allowance(change: Change, terms: Terms, metric: Metric | None) -> Allowance:
    """Say how far noise alone may move a metric.

    Args:
        change: the comparison.
        terms: the rate, the smallest effect that matters, the last look.
        metric: what is known of it.
    """
    scale, yardstick = change.scale(metric), change.yardstick
    moved = scale.sign * change.worse
    if change.sd == 0:
        room = terms.min_effect
        return Allowance(change.kind, moved, 0.0, room, 0.0, change.seeds, change.accepted)
    plan = plan_of(change, terms, metric)
    # Of the last look: a change that more seeds would make a regression is looked at over them.
    noise = scale.worsening(yardstick, plan.noise(max(change.seeds, plan.looks[-1])) * change.sd)
    return Allowance(
        kind=change.kind,
        change=moved,
        noise=noise,
        bound=max(noise, terms.min_effect),
        sd=change.deviation / scale.slope(yardstick),
        seeds=change.seeds,
        accepted=change.accepted,
        unit=change.sd,
        scale=scale,
        yardstick=yardstick,
        plan=plan,
        by_images=change.by_images,
        prior=change.prior,
        paired=change.paired,
    )


def _seeds(plan: Plan, prior: int) -> int | None:
    """Accepted seeds that bring the noise of the last look down to the smallest effect that matters."""
    if not plan.accepted:
        return None
    for seeds in range(plan.accepted + 1, MOST_SEEDS + 1):
        more = replace(plan, accepted=seeds, freedom=max(prior + seeds - 1, LEAST_FREEDOM))
        if more.noise(plan.looks[-1]) <= plan.floor:
            return seeds
    return None


def _images(plan: Plan, by_images: float) -> float | None:
    """Factor of test images that does the same."""
    room = (plan.floor / plan.noise(plan.looks[-1])) ** 2 - (1 - by_images)
    return by_images / room if room * MOST_IMAGES > by_images else None
