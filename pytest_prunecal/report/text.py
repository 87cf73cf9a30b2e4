"""Text shared by what is read in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.metric import written

if TYPE_CHECKING:
    from collections.abc import Sequence


def signed(change: float) -> str:
    """Write a change with its sign: `+0.0123`, `-45`, and `=` for none."""
    if change == 0:
        return "="
    return ("+" if change > 0 else "-") + written(abs(change))


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
    return not text.strip("+-=.0123456789")
