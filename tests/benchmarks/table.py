"""The README's table of speed, from what pytest-benchmark wrote.

    pytest tests/benchmarks -m slow -p no:xdist --benchmark-json=bench.json
    python tests/benchmarks/table.py bench.json…

Times are medians of a row's rounds. Where a row was run beside another, the ratio is the median over such
pairs; elsewhere it is to the row of the group that stands first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SHOWN = ("share", "ratio", "ms more", "peak MB of a worker")


def rows(places: list[str]) -> list[tuple[str, str, float, dict]]:
    """Group, row, median seconds and what else is known, in the order of the files."""
    found = []
    for place in places:
        for row in json.loads(Path(place).read_text())["benchmarks"]:
            name = row["param"] or row["name"].removeprefix("test_")
            found.append((row["group"] or "", name, row["stats"]["median"], row["extra_info"]))
    return found


def table(found: list[tuple[str, str, float, dict]]) -> list[str]:
    """Markdown, one line a row."""
    lines = ["| what | row | time | beside it |", "| --- | --- | --- | --- |"]
    last = None
    for group, name, median, extra in found:
        known = "; ".join(f"{key} {extra[key]}" for key in SHOWN if key in extra)
        lines.append(f"| {group if group != last else ''} | {name} | {_time(median)} | {known} |")
        last = group
    return lines


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


if __name__ == "__main__":
    print("\n".join(table(rows(sys.argv[1:]))))  # noqa: T201 - a script
