"""Tables as plain text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.numbers import sure
from pytest_prunecal.report.wording import metric_of
from pytest_prunecal.study.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.report.comparison import Column, Row
    from pytest_prunecal.study.metric import Metric

LONGEST_ENTRY = 250
"""Characters of an entry of a table: an error's line and what stands before it."""


def comparison(
    columns: Sequence[Column[Row]], rows: Sequence[Row], metrics: Mapping[str, Metric]
) -> list[str]:
    """Lay out a comparison; uncertainties have columns of their own, and `ok` goes without saying."""
    header = []
    for column in columns:
        header.append("" if column.kind == "verdict" else column.heading)
        header += [""] if column.sure else []
    return table(header, [_line(columns, row, metric_of(row.metric, metrics)) for row in rows])


def _line(columns: Sequence[Column[Row]], row: Row, metric: Metric) -> list[str]:
    line = []
    for column in columns:
        unsaid = column.kind == "verdict" and row.status is Status.OK
        line.append("" if unsaid else column.text(row, metric))
        if column.sure:
            line.append(sure(column.sure(row)))
    return line


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table: first column and texts to the left, columns of numbers to the right."""
    header, *rows = [[line(text, LONGEST_ENTRY) for text in row] for row in (header, *rows)]
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
    return text in ("none", "any") or not text.strip("+-=.0123456789±/")
