"""`tolerance: auto`: how far noise alone may move a metric, and what a gate that allows so much can see.

Measured x, mean of Kx seeds, is compared with accepted y, mean of Ky seeds, on the same test images. Under no
change x - y is training noise: variance s2 (1/Kx + 1/Ky), s2 being the variance over seeds of one network.
Before any seed is known, the protocol's prior expects

    s0 = u + (error * se)^2 + (damage * min(|y - dense|, |x - dense|))^2

where u is what is left of the sampling variance when both are tested on the same images: networks that err on
different images at random differ by as much. Deviations over seeds, where there are any, update it as the
moderated t-test does (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3, eq. 1):

    s2 = (freedom s0 + (Kx - 1) sdx^2 + (Ky - 1) sdy^2) / (freedom + Kx + Ky - 2)

and (x - y) / sqrt(s2 (1/Kx + 1/Ky)) is Student's t with that many degrees of freedom.

What a pairing says comes from a file that nobody can review. It is taken where it is sharper than what the
baseline file says by itself, and where it is a number at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prunecal.judge import student_t

if TYPE_CHECKING:
    from pytest_prunecal.study.pairing import Pairing
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.uncertainty import Uncertainty

POWER = 0.95
MOST_SEEDS = 99
MOST_IMAGES = 100


@dataclass(frozen=True)
class Sample:
    """One side of a comparison.

    Attributes:
        mean: the metric.
        uncertainty: how sure it is.
        share_base: whether all its seeds started from one base network.
    """

    mean: float
    uncertainty: Uncertainty
    share_base: bool = False

    def over_bases(self) -> Uncertainty:
        """How sure it is where base networks differ: seeds that share one tell nothing of others."""
        return replace(self.uncertainty, sd=None, seeds=1) if self.share_base else self.uncertainty


@dataclass(frozen=True)
class Terms:
    """What the gate asks of every comparison.

    Attributes:
        noise: the protocol's prior.
        level: false-alarm rate of one comparison.
        min_effect: change below which nobody cares, in the metric's unit, >= 0.
    """

    noise: Noise
    level: float
    min_effect: float


@dataclass(frozen=True)
class Allowance:
    """What noise explains of one comparison.

    Attributes:
        change: the change that is judged, in the metric's unit: measured minus accepted, or what `basis`
            says.
        noise: how far noise alone takes it for the worse, at the gate's false-alarm rate, >= 0.
        bound: how far it may go: the larger of `noise` and the smallest effect that matters.
        sd: standard deviation of the change under no change, >= 0.
        freedom: degrees of freedom of that deviation.
        detectable: the smallest true change for the worse that is caught with a probability of 0.95.
        basis: which comparison it is, in words.
        seeds: how many seeds on both sides would bring `noise` down to the smallest effect that matters; 0 if
            it is there already, None if not even `MOST_SEEDS` would.
        images: by what factor more test images would, with these seeds; 0 if it is there already, None if
            not even `MOST_IMAGES` times would.
        against_base: whether `change` is that of the distance from the base network.
        independent: whether its noise is the cell's own: both sides fine-tuned the same base network.
        prior_sd: `sd` as the protocol's prior alone has it.
        seen: squared deviations over seeds, as multiples of what the prior expects of one, added up; and how
            many degrees of freedom they are.
    """

    change: float
    noise: float
    bound: float
    sd: float
    freedom: int
    detectable: float
    basis: str
    seeds: int | None
    images: float | None
    against_base: bool = False
    independent: bool = False
    prior_sd: float = 0.0
    seen: tuple[float, int] = (0.0, 0)

    @property
    def blind(self) -> bool:
        """Whether noise hides changes that matter."""
        return self.seeds != 0

    def p_value(self, worsening: float) -> float:
        """Probability that noise alone takes the change this far for the worse."""
        if self.sd == 0:
            return 0.0 if worsening > 0 else 1.0
        return student_t.tail(worsening / self.sd, self.freedom)

    def power(self, effect: float) -> float:
        """Probability that a true change for the worse of this size, in the metric's unit, is caught."""
        if self.sd == 0:
            return float(effect > self.bound)
        return student_t.tail((self.bound - effect) / self.sd, self.freedom)


@dataclass(frozen=True)
class _Spread:
    """Standard deviation of a change under no change, and where it comes from."""

    change: float
    by_images: float  # variance of one network that more test images would shrink
    fixed: float  # and that which they would not
    share: float  # 1/Kx + 1/Ky
    freedom: int
    basis: str
    kind: str = ""
    prior: float = 0.0  # variance of one network as the prior has it
    seen: tuple[float, int] = (0.0, 0)

    @property
    def sd(self) -> float:
        return math.sqrt((self.by_images + self.fixed) * self.share)


def allowance(
    name: str, measured: Sample, accepted: Sample, dense: float | None, pairing: Pairing, terms: Terms
) -> Allowance:
    """Say how far noise alone may move a metric, by the sharpest comparison that there is.

    Args:
        name: the metric.
        measured: the new side.
        accepted: the baseline's side.
        dense: the metric of the baseline's dense cell; None if it has none.
        pairing: how the two sides relate.
        terms: the protocol's prior, the false-alarm rate, the smallest effect that matters.
    """
    change = measured.mean - accepted.mean
    if pairing.same_base and not pairing.tuned:
        return _allowance(_Spread(change, 0, 0, 2, 1, "the same network, no training in between"), terms)
    kinds = ["finetune"] if pairing.same_base else ["retrain"]
    if not pairing.same_base and pairing.tuned and math.isfinite(pairing.changes.get(name, math.nan)):
        kinds.append("change")
    spreads = [_spread(kind, name, measured, accepted, dense, pairing, terms.noise) for kind in kinds]
    return _allowance(min(spreads, key=lambda spread: spread.sd), terms)


def sharper(found: Allowance, alone: Allowance) -> Allowance:
    """The sharper of a paired comparison and that of the baseline file alone, which is always a number."""
    return found if found.sd <= alone.sd else alone


def _spread(
    kind: str,
    name: str,
    measured: Sample,
    accepted: Sample,
    dense: float | None,
    pairing: Pairing,
    noise: Noise,
) -> _Spread:
    ours, theirs = measured.uncertainty, accepted.uncertainty
    if kind != "finetune":
        ours, theirs = measured.over_bases(), accepted.over_bases()
    share = 1 / ours.seeds + 1 / theirs.seeds
    errors = [error for error in (theirs.se, ours.se) if error is not None]
    se = errors[0] if errors else 0.0
    paired = (pairing.change_errors if kind == "change" else pairing.paired).get(name)
    if paired is not None and not 0 <= paired < math.inf:
        paired = None
    if paired is not None:
        by_chance = paired * paired / share
    else:
        by_chance = sum(error * error for error in errors) / max(len(errors), 1)
    # The lesser of two: a slip of the pen in the baseline must not excuse itself.
    damage = 0.0 if dense is None else min(abs(side.mean - dense) for side in (accepted, measured))
    prior = noise.share(kind, name)
    total = by_chance + prior.variance(se, damage, accepted.mean)
    own = by_chance + prior.error * se * prior.error * se
    by_images = own / total if 0 < total < math.inf else 0.0
    freedom, expected, seen = noise.freedom, total, (0.0, 0)
    if kind == "change":
        sizes = {ours.seeds - 1, theirs.seeds - 1} - {0}
        spread = pairing.change_spread.get(name, [])
        known = [(count, sd) for count, sd in spread if count in sizes and 0 <= sd < math.inf]
    else:
        known = [(side.seeds - 1, side.sd) for side in (ours, theirs) if side.sd is not None]
    if known:
        squares = sum(count * sd * sd for count, sd in known)
        extra = sum(count for count, _ in known)
        total = (freedom * total + squares) / (freedom + extra)
        freedom += extra
        seen = (squares / expected, extra) if expected else seen
    change = pairing.changes[name] if kind == "change" else measured.mean - accepted.mean
    basis = _basis(kind, ours, theirs, paired=paired is not None)
    return _Spread(
        change,
        total * by_images,
        total * (1 - by_images),
        share,
        freedom,
        basis,
        kind,
        expected,
        seen,
    )


def _basis(kind: str, ours: Uncertainty, theirs: Uncertainty, *, paired: bool) -> str:
    what = {
        "finetune": "same base network",
        "retrain": "another base network",
        "change": "change from the base network",
    }[kind]
    by_image = "paired by image" if paired else "not paired"
    seeds = "1 seed" if theirs.seeds == ours.seeds == 1 else f"{theirs.seeds} and {ours.seeds} seeds"
    return f"{what}, {by_image}, {seeds}"


def _allowance(spread: _Spread, terms: Terms) -> Allowance:
    noise = student_t.quantile(terms.level, spread.freedom) * spread.sd
    bound = max(noise, terms.min_effect)
    blind = noise > terms.min_effect
    return Allowance(
        change=spread.change,
        noise=noise,
        bound=bound,
        sd=spread.sd,
        freedom=spread.freedom,
        detectable=bound + student_t.quantile(1 - POWER, spread.freedom) * spread.sd,
        basis=spread.basis,
        seeds=_seeds(spread, terms) if blind else 0,
        images=_images(spread, terms) if blind else 0.0,
        against_base=spread.kind == "change",
        independent=spread.kind == "finetune",
        prior_sd=math.sqrt(spread.prior * spread.share),
        seen=spread.seen,
    )


def _seeds(spread: _Spread, terms: Terms) -> int | None:
    """Seeds on both sides that bring the noise down to the smallest effect that matters."""
    one = math.sqrt(spread.by_images + spread.fixed)
    for seeds in range(2, MOST_SEEDS + 1):
        freedom = terms.noise.freedom + 2 * (seeds - 1)
        if student_t.quantile(terms.level, freedom) * one * math.sqrt(2 / seeds) <= terms.min_effect:
            return seeds
    return None


def _images(spread: _Spread, terms: Terms) -> float | None:
    """Factor of test images that does the same."""
    room = (
        terms.min_effect / student_t.quantile(terms.level, spread.freedom)
    ) ** 2 / spread.share - spread.fixed
    return spread.by_images / room if room * MOST_IMAGES > spread.by_images else None
