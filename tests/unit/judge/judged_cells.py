"""What the tests of the judge share: one cell as a baseline has it, and seeds of a run."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.verdict import Circumstances, judge
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.verdict import CellVerdict

PRIOR = Noise(
    4, 0.4, {kind: {"default": Share(error=factor)} for kind, factor in zip(KINDS, (1, 2, 3), strict=True)}
)
LEVEL = 1e-4
_OF_CIRCUMSTANCES = (
    "most",
    "min_effect",
    "measured",
    "first",
    "incomparable",
    "differences",
    "changed_fails",
)


def circumstances(noise: Noise = PRIOR, level: float = LEVEL, **given: Any) -> Circumstances:
    """What `auto` takes into account: arguments of `Circumstances` and of `Sides` side by side."""
    mine = {name: given.pop(name) for name in _OF_CIRCUMSTANCES if name in given}
    return Circumstances(Sides(noise, **given), level, **mine)


def judged(
    seeds: Mapping[str, Sequence[float]],
    means: Mapping[str, float],
    sure: Mapping[str, Uncertainty],
    **given: Any,
) -> CellVerdict:
    """Judge what was measured under some seeds, against a baseline that started from the same base network."""
    measured = {
        name: values[0] if len(values) == 1 else statistics.fmean(values) for name, values in seeds.items()
    }
    given = {"same_base": True, "share_base": (True, True), "accepted": sure, "each": seeds} | given
    tolerances = given.pop("tolerances", {})
    return judge(measured, means, tolerances, METRICS, circumstances(**given))


def accepted(each: Sequence[float], se: float = 0.01) -> tuple[float, Uncertainty]:
    """Mean and errors of accepted seeds, as a baseline file has them."""
    if len(each) == 1:
        return round(each[0], 4), Uncertainty(se).recorded
    sure = Uncertainty(se, statistics.stdev(each), len(each), each[0])
    return round(statistics.fmean(each), 4), sure.recorded


__all__ = ["LEVEL", "PRIOR", "UNKNOWN", "accepted", "circumstances", "judged"]
