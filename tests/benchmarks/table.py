"""The tables of speed in docs/measured/speed.md, from what pytest-benchmark wrote.

    pytest tests/benchmarks -m slow -p no:xdist --benchmark-json=bench.json
    python tests/benchmarks/table.py bench.json…

Times are medians of a row's rounds. A row that was run beside another says how they compare, as the median
over such pairs; of ours and a counterpart the fastest rounds are compared.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_table import markdown_table
from rows import rows_of

if TYPE_CHECKING:
    from rows import Row

TOLD = {
    "share": "{:.2f} of the barest loop's images per second",
    "ratio": "{:.2f} times the other",
    "ms more": "{:+.0f} ms",
    "peak MB of a worker": "{:.0f} MB in a worker at most",
}
ELSEWHERE = ("layouts", "batch sizes", "cells", "step", "growth")
"""Groups that a choice rests on, or that have a table of their own."""


def table(benchmarks: list[Row]) -> list[str]:
    """Markdown, one line a row; of ours and a counterpart one line for both."""
    lines = []
    for group, members in groupby(benchmarks, key=lambda row: row["group"] or ""):
        rows = list(members)
        if group.startswith(ELSEWHERE):
            continue
        for number, row in enumerate(rows):
            if "counterpart" in row["name"]:
                continue
            told = [
                text.format(row["extra_info"][key]) for key, text in TOLD.items() if key in row["extra_info"]
            ]
            told += [_beside(row, other) for other in rows if "counterpart" in other["name"]]
            lines.append(["" if number else group, _name(row), _time(row), ", ".join(told)])
    return markdown_table(["what", "", "time", ""], lines)


def _name(row: Row) -> str:
    """What the row is called, and of its parameters those that the group does not name."""
    name = row["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
    known = (row["group"] or "").split()
    parameters = [
        part for part in (row["param"] or "").split("-") if part and part not in "-".join(known).split("-")
    ]
    return " ".join([name, *parameters])


def _beside(row: Row, other: Row) -> str:
    return f"{other['stats']['min'] / row['stats']['min']:.1f} times as fast as its counterpart"


def _time(row: Row) -> str:
    seconds = row["stats"]["median"]
    images = row["extra_info"].get("images")
    if images:
        return f"{seconds / images * 1e3:.3g} ms an image"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


if __name__ == "__main__":
    found = [row for place in sys.argv[1:] for row in rows_of(Path(place))]
    # The two sides of a group may stand far apart: the parts of a benchmark are run one after the other.
    order = list(dict.fromkeys(row["group"] for row in found))
    print("\n".join(table(sorted(found, key=lambda row: order.index(row["group"])))))  # noqa: T201 - a script
