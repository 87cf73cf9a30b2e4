"""Axes of a figure: round ticks, and where a value lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Axis:
    """One axis of a figure.

    Attributes:
        ticks: ascending, the first and the last being the axis' ends.
        start: coordinate of the first tick.
        end: coordinate of the last tick.
    """

    ticks: tuple[float, ...]
    start: float
    end: float

    def place(self, value: float) -> float:
        """Coordinate of a value."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return round(self.start + share * (self.end - self.start), 2)

    def label(self, tick: float) -> str:
        """A tick in as many decimals as their distance needs."""
        step = self.ticks[1] - self.ticks[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{tick:.{decimals}f}" if abs(tick) < 1e5 else f"{tick:g}"


def nice_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Ticks at multiples of 1, 2 or 5 times a power of ten that enclose a range.

    Args:
        low: start of the range.
        high: its end, above `low`.
        most: how many steps at most lie within the range.
    """
    least = (high - low) / most
    power = math.floor(math.log10(least))
    # The slack keeps 0.7 / 7 from needing a step just above 0.1.
    step = next(factor for factor in (1, 2, 5, 10) if factor * 10.0**power >= least * (1 - 1e-9))
    unit = step * 10.0**power
    first, last = math.floor(low / unit + 1e-9), math.ceil(high / unit - 1e-9)
    return tuple(round(index * unit, max(0, -power) + 1) for index in range(first, last + 1))


def value_ticks(values: Sequence[float], *, higher_is_better: bool) -> tuple[float, ...]:
    """Ticks for values: from zero if that is near, sooner so for errors; else close about the values."""
    low, high = min(values), max(values)
    # A flat curve stays flat: what baselines cannot tell apart is not blown up to the height of the figure.
    room = 0.02 * max(abs(low), abs(high), 0.05) - (high - low)
    if room > 0:
        low, high = max(low - room / 2, min(low, 0.0)), high + room / 2
    if 0 < low < (0.25 if higher_is_better else 0.6) * high:
        low = 0.0
    return nice_ticks(low, high, 5)
