"""Text shared by what is read in a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.study.metric import recorded, written
from pytest_prunecal.study.uncertainty import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.study.uncertainty import Uncertainty


def signed(change: float) -> str:
    """Write a change with its sign: `+0.0123`, `-45`, and `=` for none."""
    if change == 0:
        return "="
    return ("+" if change > 0 else "-") + written(abs(change))


def sure(uncertainty: Uncertainty) -> str:
    """Write an uncertainty beside its number: `±0.0043`, with deviation over seeds `±0.0043/0.0031`."""
    if uncertainty.sd is None:
        return "" if uncertainty.se is None else f"±{plain(uncertainty.se)}"
    return f"±{'-' if uncertainty.se is None else plain(uncertainty.se)}/{plain(uncertainty.sd)}"


def allowed(row: MetricVerdict) -> str:
    """How far a metric may get worse; under `auto` what was compared where that is not the change itself."""
    if row.bound is None:
        return ""
    whole = isinstance(row.baseline, int) and math.isfinite(row.bound)
    bound = written(int(row.bound)) if whole else written(row.bound)
    if row.allowance and row.allowance.against_base:
        return f"{bound} for {signed(recorded(row.allowance.change))} against the base"
    return bound


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table: first column and texts to the left, columns of numbers to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [
        all(_is_number(text) for text in column[1:]) and index > 0 for index, column in enumerate(columns)
    ]
    return [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (header, *rows)
    ]


def _is_number(text: str) -> bool:
    return not text.strip("+-=.0123456789±/")
