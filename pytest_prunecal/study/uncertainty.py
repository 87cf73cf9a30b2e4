"""How sure a number is: its sampling error on the test images, and its deviation over seeds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.metric import DECIMALS
from pytest_prunecal.study.metric import recorded as metric_recorded
from pytest_prunecal.study.metric import written as metric_written
from pytest_prunecal.study.yaml_schema import checked, either, integer, number, numeric, optional, record

if TYPE_CHECKING:
    from pytest_prunecal.study.yaml_reader import Value
    from pytest_prunecal.study.yaml_schema import Reader

_DIGITS = 2  # significant ones: an error is not known better, and a refresh should change few lines
_NOTHING = 1e-12  # a smaller error is rounding, beside numbers of four decimals
MOST_SEEDS = 1000
"""Of a baseline: what is worked out from them takes as many steps."""
_LARGEST = 1.7e308  # of two significant digits that a float holds
_IN_FULL = 1e16  # from here on floats are written with an exponent
_OF_FLOATS = (
    1e-12  # share of a mean by which adding up moves it; seeds that agree have no deviation to show it
)


@dataclass(frozen=True)
class Uncertainty:
    """How sure one metric of one cell is.

    Attributes:
        se: sampling error: standard error of the metric over resampled test images, >= 0; None where there
            is none (parameters) or it is not known.
        sd: standard deviation over seeds, >= 0; None with a single seed.
        seeds: number of seeds whose mean the metric is, >= 1.
        first: the metric under the first of several seeds; None with a single one, or where it is not known.
    """

    se: float | None = None
    sd: float | None = None
    seeds: int = 1
    first: float | None = None

    def __str__(self) -> str:
        """`±0.0043`, or `±0.0043 (sd 0.0031 over 3 seeds)`; empty if nothing is known."""
        error = "" if self.se is None else f"±{plain(self.se)}"
        spread = "" if self.sd is None else f"(sd {plain(self.sd)} over {self.seeds} seeds)"
        return " ".join(part for part in (error, spread) if part)

    @property
    def recorded(self) -> Uncertainty:
        """The same as a baseline file carries it: two significant digits of finite errors."""
        se, sd = (
            None if error is None or not math.isfinite(error) else rounded(error)
            for error in (self.se, self.sd)
        )
        # A file names the seeds with the deviation over them, and with nothing else.
        if sd is None or self.seeds < 2:
            return Uncertainty(se)
        return Uncertainty(se, sd, self.seeds, None if self.first is None else metric_recorded(self.first))

    @property
    def reach(self) -> float:
        """How far a single seed can lie from the mean of all of them, in the metric's unit; 0 with one seed.

        That is sd (K - 1) / sqrt(K) of K seeds (Samuelson 1968, J. Am. Stat. Assoc. 63:1522), for the largest
        sd that is written with the same two digits.
        """
        if not self.sd:
            return 0.0
        half_a_digit = 0.5 * 10.0 ** (math.floor(math.log10(self.sd)) + 1 - _DIGITS)
        return (self.sd + half_a_digit) * (self.seeds - 1) / math.sqrt(self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Builtins only."""
        return asdict(self)


UNKNOWN = Uncertainty()


def within_reach(one: float, mean: float, sure: Uncertainty) -> bool:
    """Whether one seed's number can be one of those that a recorded mean and deviation sum up.

    Args:
        one: of a single seed.
        mean: of all seeds, as a baseline records it: four decimals, or a whole number of whole ones.
        sure: the deviation over seeds, and how many they are.
    """
    whole = isinstance(mean, int) and float(one).is_integer()
    rounding = (0.5 if whole else 10.0**-DECIMALS) + _OF_FLOATS * abs(mean)
    return abs(one - mean) <= sure.reach + rounding


def rounded(error: float) -> float:
    """Two significant digits of a finite error; 0 for what is nothing but rounding.

    Example:
        >>> rounded(0.0043219), rounded(1.4e-17)
        (0.0043, 0.0)
    """
    return 0.0 if abs(error) < _NOTHING else min(float(f"{error:.{_DIGITS}g}"), _LARGEST)


def plain(error: float) -> str:
    """Two significant digits of a finite error, without an exponent as long as that can be read.

    Example:
        >>> plain(0.00432), plain(1234), plain(1.2e300)
        ('0.0043', '1200', '1.2e+300')
    """
    value = rounded(error)
    if value >= _IN_FULL:
        return f"{value:.{_DIGITS - 1}e}"
    return f"{value:.0f}" if value == int(value) else f"{Decimal(repr(value)):f}"


def written(mean: str, uncertainty: Uncertainty) -> str:
    """A metric's value in a baseline file: the bare number, or `{mean: 0.9850, se: 0.0043}` and so on."""
    parts = [f"mean: {mean}"]
    if uncertainty.se is not None:
        parts.append(f"se: {plain(uncertainty.se)}")
    if uncertainty.sd is not None:
        parts.append(f"sd: {plain(uncertainty.sd)}, seeds: {uncertainty.seeds}")
    if uncertainty.first is not None:
        parts.append(f"first: {metric_written(uncertainty.first)}")
    return mean if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _sd_says_over_how_many(value: Value) -> None:
    if len(value.mapping().keys() & {"sd", "seeds"}) == 1:
        value.fail(f"{value.label} needs sd and seeds together: a deviation says over how many seeds")


def _first_is_one_of_them(value: Value, found: tuple[int | float, Uncertainty]) -> None:
    mean, sure = found
    if sure.first is None:
        return
    first = value.mapping()["first"]
    if sure.sd is None:
        first.fail(f"{first.label} is one of several seeds, and {value.label} has one; leave it out")
    if not within_reach(sure.first, mean, sure):
        first.fail(
            f"{first.label} {sure.first:g} is none of {sure.seeds} numbers with the mean {mean:g} and the "
            f"deviation {sure.sd:g}; measure the cell again with --prunecal-update"
        )


def _says_what_it_must(value: Value, found: tuple[int | float, Uncertainty]) -> None:
    _sd_says_over_how_many(value)
    _first_is_one_of_them(value, found)


read: Reader[tuple[int | float, Uncertainty]] = either(
    lambda value: (value.numeric(), UNKNOWN),
    checked(
        record(
            lambda mean, **errors: (mean, Uncertainty(**errors)),
            "{label} has no mean; write a number, or {{mean: 0.9850, se: 0.0043}}",
            mean=numeric,
            se=optional(number(0)),
            sd=optional(number(0)),
            seeds=optional(integer(2, MOST_SEEDS)),
            first=optional(numeric),
        ),
        _says_what_it_must,
    ),
)
"""Reads a metric of a baseline file: a number, or a mapping with `mean`, `se`, `sd`, `seeds` and `first`."""
