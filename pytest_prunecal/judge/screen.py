"""The exact screen: what a run computed before training noise set in, against what the accepted run did.

Float arithmetic alone moves such numbers by a few units of their last digit, and by how much was measured
when the baseline was accepted. What moves them by more is another computation. Nobody can review what is
compared here, so it never makes a verdict milder: it tells, and it chooses the sharper comparison.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.study.trace import (
    CORRUPTIONS,
    DATA,
    DENSE,
    FINETUNE,
    PRUNED,
    RULER,
    STAGES,
    STRUCTURE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.study.trace import Jitter, Trace, Value

TIMES = 10
"""How many times what float arithmetic was seen to do is no difference."""

FLOOR = 2e-6
"""What is none in any case, besides as large a share of the number; 5e-7 was seen between processors."""

NORM = 3e-7
"""The same for the norm of all parameters, which sums rounding errors away; 1e-8 was seen."""

EXACT = 1e-9
"""The same for what the processor has no part in: learning rates, and pixels."""

_SUBJECTS = {
    DATA: "the data set",
    CORRUPTIONS: "the corrupted images",
    DENSE: "the evaluation of the base network",
    PRUNED: "pruning",
    STRUCTURE: "pruning",
    FINETUNE: "fine-tuning",
}
_STEP = re.compile(r"(?:loss|rate) (\d+)")


@dataclass(frozen=True)
class Difference:
    """One value of a trace that is not what it was.

    Attributes:
        stage: of the trace.
        name: of the value.
        accepted: as it was; None if it was not there.
        measured: as it is; None if it is not there.
        allowed: how far float arithmetic may move it; 0 for what is exact.
    """

    stage: str
    name: str
    accepted: Value | None
    measured: Value | None
    allowed: float = 0.0

    def __str__(self) -> str:
        """`loss 2.30259 -> 2.31877`; a digest is not shown."""
        name = _STEP.sub(lambda found: found[0].split()[0], self.name)
        if isinstance(self.accepted, str) or isinstance(self.measured, str):
            return f"{name} differ" if name.endswith("s") else f"{name} differs"
        return f"{name} {_shown(self.accepted)} -> {_shown(self.measured)}"

    @property
    def of_ruler(self) -> bool:
        """Whether it is about what everything is measured with."""
        return self.stage in RULER


def _shown(value: Value | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def screen(measured: Trace, accepted: Trace, jitter: Jitter | None) -> tuple[Difference, ...]:
    """Compare two traces.

    Args:
        measured: of the run.
        accepted: of the baseline. Between two base networks, only data and corruptions are compared.
        jitter: how far float arithmetic moves each value; None if that is not known.
    """
    same_base = measured.base == accepted.base
    found: list[Difference] = []
    for stage in STAGES if same_base else (DATA, CORRUPTIONS):
        ours, theirs = measured.stages.get(stage, {}), accepted.stages.get(stage, {})
        moved = jitter.trace.get(stage, {}) if jitter else {}
        # A metric that somebody adds is no other evaluation.
        names = [name for name in theirs if name in ours] if stage == DENSE else [*theirs, *ours]
        for name in dict.fromkeys(names):
            there, here = theirs.get(name), ours.get(name)
            allowed = _allowed(there, moved.get(name, 0.0), _floor(stage, name))
            if _differ(there, here, allowed):
                found.append(Difference(stage, name, there, here, allowed))
    return tuple(found)


def _floor(stage: str, name: str) -> float:
    if stage == CORRUPTIONS or name.startswith(("rate ", "sum of rates")):
        return EXACT
    return NORM if name == "norm of parameters" else FLOOR


def _allowed(value: Value | None, moved: float, floor: float) -> float:
    if not isinstance(value, float):
        return 0.0
    return max(TIMES * moved, floor * (1.0 + abs(value)))


def _differ(there: Value | None, here: Value | None, allowed: float) -> bool:
    if isinstance(there, float) and isinstance(here, (int, float)) and math.isfinite(there):
        return not abs(here - there) <= allowed
    # Where training diverged, both are no number.
    return there != here and (there == there or here == here)  # noqa: PLR0124


def ruler(differences: Sequence[Difference]) -> str:
    """Say how what everything is measured with differs; empty if it does not."""
    return _told([one for one in differences if one.of_ruler])


def told(differences: Sequence[Difference]) -> str:
    """Say what a cell does otherwise: `fine-tuning differs from step 3 on (loss 2.1 -> 2.2)`; or empty."""
    return _told([one for one in differences if not one.of_ruler])


def _told(differences: Sequence[Difference]) -> str:
    """What differs in the first stage that does: the stages after it follow from it."""
    if not differences:
        return ""
    subject = _SUBJECTS[differences[0].stage]
    here = [one for one in differences if _SUBJECTS[one.stage] == subject]
    # A score says more to people than the mean of a logit.
    shown, more = min(here, key=lambda one: one.name.startswith("logit ")), len(here) - 1
    if found := _STEP.fullmatch(shown.name):
        return f"{subject} differs from step {found[1]} on ({shown})"
    verb = "differ" if subject.endswith("images") else "differs"
    return f"{subject} {verb}: {shown}" + (f", and {more} more" if more else "")
