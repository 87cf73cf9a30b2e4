"""Which comparisons `auto` makes of a metric of a cell: the sharpest, and that of the baseline file alone."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.auto_tolerance import NORMAL, Change
from pytest_prunecal.judge.coupling import coupled
from pytest_prunecal.judge.noise import AS_EXPECTED, Accepted, spread
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.metric import DECIMALS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.auto_tolerance import Kind
    from pytest_prunecal.judge.noise import Level
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.trace import Jitter
    from pytest_prunecal.study.uncertainty import Uncertainty

_KINDS: dict[str, Kind] = {
    "finetune": "same base",
    "retrain": "another base",
    "change": "change from the base",
}

_ROUNDED = 10.0**-DECIMALS / math.sqrt(6)
"""Deviation of a difference of two recorded numbers by their rounding alone."""


@dataclass(frozen=True)
class Sides:
    """All that the comparisons of a cell rest on.

    Attributes:
        noise: the protocol's prior of the training noise.
        tuned: whether the cell was trained further after its base network.
        accepted: by metric, how sure the accepted number is.
        dense: the accepted numbers of the model's dense cell.
        levels: by kind of noise and metric, what the prior's variance is multiplied by, see `noise.levels`.
        same_base: whether both sides started from the same base network by what the baseline file says.
        share_base: whether all seeds of a side, the measured and the accepted, started from one base network.
        each: by metric, the measured number under each seed.
        accepted_each: by metric, the accepted number under each seed, as far as it lies beside the file.
        pairing: how the sides relate by what lies beside the file.
        traced: whether both computed the same before training noise set in, from beside the file, too.
        jitter: how far float arithmetic alone moves the cell, likewise; None if that is not known.
        couplings: by metric, what the expected square of a repeat is multiplied by, see `coupling`; likewise.
        finished: whether it is a finished network, which nothing trains here.
        same_network: whether it is the very file that was accepted, by what the baseline file says.
        measured: by metric, how sure the measured number is; asked of finished networks alone.
    """

    noise: Noise
    tuned: bool = True
    accepted: Mapping[str, Uncertainty] = field(default_factory=dict)
    dense: Mapping[str, Number] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, Level]] = field(default_factory=dict)
    same_base: bool = False
    share_base: tuple[bool, bool] = (False, False)
    each: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    accepted_each: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    pairing: Pairing = field(default_factory=Pairing)
    traced: bool = False
    jitter: Jitter | None = None
    couplings: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False
    same_network: bool = False
    measured: Mapping[str, Uncertainty] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """How many seeds were measured."""
        return max(map(len, self.each.values()), default=1)


class Compared(NamedTuple):
    """The comparisons of one metric.

    Attributes:
        found: the sharpest.
        alone: that of the baseline file alone.
        first: that of the first seed with itself as the baseline file has it, with the noise that the prior
            expects; None where that is not known to be the same training.
    """

    found: Change
    alone: Change
    first: Change | None = None


def compare(
    name: str, metric: Metric | None, measured: Number, mean: Number, sides: Sides, *, seeds: int
) -> Compared:
    """Compare one metric.

    Args:
        name: the metric's.
        metric: what is known of it.
        measured: the number over these seeds.
        mean: the accepted number.
        sides: what else the comparisons rest on.
        seeds: over how many seeds it was measured; no more of them are compared.
    """
    here = _One(name, metric, measured, mean, sides, seeds)
    if sides.finished:
        return here.finished()
    alone = here.with_mean("finetune" if sides.same_base else "retrain")
    candidates = [here.same_seed(), alone]
    if not sides.same_base:
        candidates.append(here.with_mean("finetune") if sides.pairing.same_base else here.with_base())
    found = min((one for one in candidates if one), key=lambda one: one.deviation)
    return Compared(found, alone, here.first_seed())


class _One(NamedTuple):
    """One metric's comparison in the making."""

    name: str
    metric: Metric | None
    measured: Number
    mean: Number
    sides: Sides
    seeds: int

    def with_mean(self, kind: str) -> Change:
        """The comparison with the mean of the accepted seeds."""
        scale, sides = scale_of(self.metric), self.sides
        worse = scale.sign * (self.measured - self.mean)
        by_seed = tuple(scale.of(one) - scale.of(self.mean) for one in self._here)
        if kind == "finetune" and not sides.tuned:
            return Change("exact", worse, by_seed, 0.0, 1, 1, self.seeds, self.mean)
        return self._noisy(kind, self._accepted, worse, by_seed)

    def finished(self) -> Compared:
        """Two finished networks: the test images are all the noise, and none where both are one file.

        By the file alone, both sides err by themselves; tested on the same images, by less.
        """
        worse = scale_of(self.metric).sign * (self.measured - self.mean)
        alone = Change("same network", worse, (worse,), 0.0, 1, 1, 1, self.mean)
        if self.sides.same_network:
            return Compared(alone, alone)
        theirs = _error(self.sides.accepted.get(self.name, UNKNOWN))
        if theirs is None:
            alone = replace(alone, kind="exact")
            return Compared(alone, alone)
        ours = _error(self.sides.measured.get(self.name, UNKNOWN))
        error = math.hypot(theirs, theirs if ours is None else ours)
        alone = replace(
            alone,
            kind="another network",
            sd=math.hypot(error, _ROUNDED),
            freedom=NORMAL,
            accepted=0,
            by_images=1.0,
            known=1,
            one_base=True,
        )
        sd = self.sides.pairing.paired.get(self.name, math.nan)
        if not 0 <= sd < error:
            return Compared(alone, alone)
        return Compared(replace(alone, sd=math.hypot(sd, _ROUNDED), paired=True), alone)

    def with_base(self) -> Change | None:
        """That of the distance from the base network; None if it is not known."""
        scale, sides = scale_of(self.metric), self.sides
        change = sides.pairing.changes.get(self.name, math.nan)
        sd = sides.pairing.change_sd.get(self.name)
        if not (sides.tuned and math.isfinite(change)) or not (sd is None or 0 <= sd < math.inf):
            return None
        accepted = self._accepted
        several = accepted.uncertainty.seeds > 1 and not accepted.share_base
        worse = scale.sign * change
        by_seed = (worse * scale.slope(self.mean),)
        return self._noisy("change", accepted.deviating(sd if several else None), worse, by_seed)

    @property
    def _here(self) -> Sequence[Number]:
        """The measured number under each seed."""
        return self.sides.each.get(self.name, (self.measured,))[: self.seeds]

    @property
    def _accepted(self) -> Accepted:
        sides = self.sides
        sure, dense = sides.accepted.get(self.name, UNKNOWN), sides.dense.get(self.name)
        return Accepted(self.mean, sure, dense, sides.share_base[1])

    def _noisy(self, kind: str, accepted: Accepted, worse: float, by_seed: tuple[float, ...]) -> Change:
        """A comparison with the accepted seeds, each of them and each measured one with noise of a kind."""
        sides = self.sides
        found = spread(
            kind,
            self.name,
            self.metric,
            accepted,
            sides.noise,
            sides.levels.get(kind, {}).get(self.name, AS_EXPECTED),
        )
        return Change(
            _KINDS[kind] if found.variance else "exact",
            worse,
            by_seed,
            math.sqrt(found.variance),
            found.freedom,
            found.seeds,
            self.seeds,
            self.mean,
            found.by_images,
            one_base=sides.share_base[0] and kind != "finetune",
            prior=sides.noise.freedom,
        )

    def same_seed(self) -> Change | None:
        """Each seed against itself as accepted; None where that is not known to be the same training."""
        sides = self.sides
        there = sides.accepted_each.get(self.name, ())
        # Without training in between, further seeds are other base networks, of which the trace says nothing.
        if not sides.traced or (self.seeds > 1 and not sides.tuned) or not all(map(math.isfinite, there)):
            return None
        repeats = sides.jitter.metrics.get(self.name, []) if sides.jitter else []
        return self._coupled(there, repeats, sides.couplings.get(self.name, 1.0))

    def first_seed(self) -> Change | None:
        """The same of one seed, and but for `traced` from the baseline file alone."""
        sure = self.sides.accepted.get(self.name, UNKNOWN)
        first = self.mean if sure.seeds == 1 else sure.first
        if first is None or self.seeds > 1 or not self.sides.traced:
            return None
        return self._coupled([first], [])

    def _coupled(
        self, there: Sequence[Number], repeats: Sequence[float], level: float = 1.0
    ) -> Change | None:
        """Seed by seed against these accepted numbers; None if there are none."""
        scale, sides = scale_of(self.metric), self.sides
        pairs = list(zip(self._here, there, strict=False))
        if not pairs:
            return None
        seen = sides.levels.get("finetune", {}).get(self.name, AS_EXPECTED)
        noise = spread("finetune", self.name, self.metric, self._accepted, sides.noise, seen)
        moved = [one * scale.slope(self.mean) for one in repeats]
        sd, freedom = coupled(noise, moved, sides.noise.freedom, level)
        return Change(
            "same seed" if sides.tuned and sd else "exact",
            scale.sign * statistics.fmean(one - other for one, other in pairs),
            tuple(scale.of(one) - scale.of(other) for one, other in pairs),
            sd if sides.tuned else 0.0,
            freedom,
            0,
            len(pairs),
            statistics.fmean(other for _, other in pairs),
            noise.by_images,
            len(there),
            prior=sides.noise.freedom,
        )


def _error(sure: Uncertainty) -> float | None:
    """A sampling error that is one; None for what is not known or not finite."""
    return sure.se if sure.se is not None and 0 <= sure.se < math.inf else None
