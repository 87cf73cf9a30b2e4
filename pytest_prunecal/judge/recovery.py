"""Recovery: a compressed network against the dense one of the same run, which needs no baseline.

A rule says how far a metric m may be worse than the dense network's d: at worst it is the limit
l(d) = d - (1 - share) |d|, or d - abs (signs for a metric that is better higher). What is judged is how far m
is beyond it. Both networks are tested on the same images, so the sampling variance of m - l(d) is

    Var(m) + c^2 Var(d) - 2 c Cov(m, d),    c = dl/dd,

from the same bootstrap resamples on both sides. A cell that is fine-tuned has training noise besides, which
falls with the seeds that it is measured over: its variance is the one that the accepted seeds show (`noise`);
where none are, the one that the prior expects of a network at the limit, so that a cell that is worse is not
excused for being so. A finished network has none. The one-sided test uses Student's t with Satterthwaite's
degrees of freedom.

A cell that is fine-tuned and short by more than noise often does is looked at over more seeds, and fails over
five or more of them, or where there may be no more.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.judge import student_t
from pytest_prunecal.judge.auto_tolerance import NORMAL
from pytest_prunecal.judge.noise import AS_EXPECTED, Accepted, spread
from pytest_prunecal.judge.rate import LOOKED_AT, LOOKED_AT_ONCE
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.judge.sequence import EARLIEST, POWER, limit, next_look
from pytest_prunecal.judge.verdict import Recovered, Status
from pytest_prunecal.study.metric import in_order, recorded
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.compared import Sides
    from pytest_prunecal.study.against_dense import AgainstDense
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.recovery import Recovery

_REPRESENTATION = 1e-9


def recovered(
    measured: Mapping[str, Number],
    dense: Mapping[str, AgainstDense],
    rules: Mapping[str, Recovery],
    metrics: Mapping[str, Metric],
    accepted: Mapping[str, Number],
    sides: Sides,
    *,
    level: float,
    most: int,
) -> tuple[Recovered, ...]:
    """Judge a cell by its rules, metric by metric, in canonical order.

    Args:
        measured: metric name to finite number.
        dense: what the dense network of the same run has.
        rules: by metric; one about a metric that was not measured is a missing one.
        metrics: what is known of each metric.
        accepted: the baseline's numbers; empty where there are none.
        sides: the seeds, and what is known of the noise.
        level: false-alarm rate of one noisy comparison at each look, in (0, 1).
        most: seeds over which a cell in doubt is looked at, at most.
    """
    found = []
    for name in in_order(rules, metrics):
        number = measured.get(name, math.nan)
        if name not in dense or name not in measured:
            found.append(Recovered(name, None, number, rules[name], 0.0, 0.0, Status.MISSING))
        else:
            one = _Rule(name, metrics.get(name), number, dense[name], rules[name])
            found.append(one.judged(accepted.get(name), sides, level, most))
    return tuple(found)


@dataclass(frozen=True)
class _Rule:
    """One rule about one metric of a cell."""

    name: str
    metric: Metric | None
    measured: Number
    against: AgainstDense
    rule: Recovery

    def judged(self, accepted: Number | None, sides: Sides, level: float, most: int) -> Recovered:
        """What comes of it."""
        tuned = sides.tuned and not sides.finished
        by_seed = self._shortfalls(sides)
        excess, seeds = statistics.fmean(by_seed), len(by_seed)
        images = self.against.error(self._times)
        training = self._training(accepted, sides) if tuned else None
        variance = training.variance / seeds if training else 0.0
        total = images * images + variance
        sd = math.sqrt(total)
        freedom = _freedom(variance, total, training.freedom) if training and variance else NORMAL
        level *= 1.0 if tuned else LOOKED_AT_ONCE / LOOKED_AT
        noise = student_t.quantile(level, freedom) * sd
        next_seeds = next_look(seeds, max(most, seeds) if tuned else seeds)
        decides = seeds >= EARLIEST or not next_seeds
        beyond = excess > noise + _REPRESENTATION
        short = decides and beyond and _steady(by_seed) > noise + _REPRESENTATION
        doubtful = excess > max(limit(seeds) * sd, _REPRESENTATION)
        room = self.rule.room(self.against.dense)
        return Recovered(
            self.name,
            recorded(self.against.dense),
            recorded(self.measured),
            self.rule,
            bound=room + noise,
            sd=sd,
            status=Status.UNRECOVERED if short else Status.OK,
            detectable=room + noise + student_t.quantile(1 - POWER, freedom) * sd,
            p_value=_p_value(excess, sd, freedom),
            more=next_seeds if doubtful and not short else 0,
        )

    @property
    def _sign(self) -> int:
        return scale_of(self.metric).sign

    @property
    def _times(self) -> float:
        """How fast the limit moves with the dense number."""
        if self.rule.share is None or not self.rule.relative(self.against.dense):
            return 1.0
        return 1 + self._sign * abs(1 - self.rule.share) * math.copysign(1.0, self.against.dense)

    def _shortfalls(self, sides: Sides) -> Sequence[float]:
        """How far it is beyond the limit, under each seed."""
        here = sides.each.get(self.name) or (self.measured,)
        there = self.against.each if len(self.against.each) == len(here) else [self.against.dense] * len(here)
        return [
            self._sign * (one - other) - self.rule.room(other) for one, other in zip(here, there, strict=True)
        ]

    def _training(self, accepted: Number | None, sides: Sides) -> _Training:
        """Training noise of one seed: by the accepted seeds; else by the prior, of a network at the limit."""
        at, dense = self.against.dense + self._sign * self.rule.room(self.against.dense), self.against.dense
        told = Accepted(at, Uncertainty(self.against.dense_se), dense)
        if accepted is not None:
            sure = sides.accepted.get(self.name, UNKNOWN)
            told = Accepted(accepted, sure, sides.dense.get(self.name, dense), sides.share_base[1])
        level = sides.levels.get("finetune", {}).get(self.name, AS_EXPECTED)
        found = spread("finetune", self.name, self.metric, told, sides.noise, level)
        slope = scale_of(self.metric).slope(told.mean)
        return _Training(found.variance / (slope * slope), found.freedom)


@dataclass(frozen=True)
class _Training:
    """Training noise of one seed, in the metric's unit."""

    variance: float
    freedom: int


def _freedom(variance: float, total: float, freedom: int) -> int:
    """Degrees of freedom of a sum of which one part is estimated (Satterthwaite 1946)."""
    return max(min(round(freedom * (total / variance) ** 2), NORMAL), 1)


def _steady(by_seed: Sequence[float]) -> float:
    """The mean with the worst seed taken for no worse than the second worst, where there are enough."""
    if len(by_seed) < EARLIEST:
        return statistics.fmean(by_seed)
    *others, second, _ = sorted(by_seed)
    return statistics.fmean([*others, second, second])


def _p_value(excess: float, sd: float, freedom: int) -> float:
    if sd == 0:
        return float(excess <= _REPRESENTATION)
    return student_t.tail(excess / sd, freedom)
