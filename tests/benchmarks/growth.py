"""The table and the picture of `test_growth.py`.

python tests/benchmarks/growth.py BENCH.json    # writes tables/growth.md and growth.svg into docs/measured
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from markdown_table import markdown_table
from panels import Panel, picture
from rows import rows_of

DOCS = Path(__file__).parents[2] / "docs" / "measured"
CELLS, IMAGES = "cells", "test images"
COLUMNS = {
    "run, s": ("seconds", ".0f"),
    "run, all compared anew, s": ("seconds compared", ".0f"),
    "run, all reused, s": ("seconds reused", ".1f"),
    "a cell, s": ("seconds per cell", ".2f"),
    "a cell, CPU s": ("CPU seconds per cell", ".2f"),
    "a cell alone, s": ("seconds of a cell alone", ".2f"),
    "worst worker, MB": ("worker MB", ".0f"),
    "controller, MB": ("controller MB", ".0f"),
    "store, MB": ("store MB", ".1f"),
    "baseline, MB": ("baseline MB", ".3f"),
    "its images, MB": ("images zip MB", ".2f"),
}


@dataclass(frozen=True)
class Growth:
    """What one run noted.

    Attributes:
        numbers: its `cells` and `images`, and what they took.
        kinds: MB in the store, by kind.
    """

    numbers: dict[str, float]
    kinds: dict[str, float]


def noted(file: Path) -> list[Growth]:
    """What each run noted, by images and cells."""
    found = [row["extra_info"] for row in rows_of(file) if row["group"] == "growth"]
    rows = [
        Growth({key: info[key] for key in info if key != "MB by kind"}, info["MB by kind"]) for info in found
    ]
    return sorted(rows, key=lambda row: (row.numbers["images"], row.numbers["cells"]))


def table(rows: list[Growth]) -> str:
    """Everything that was measured, as two Markdown tables."""
    head = [CELLS, IMAGES, *COLUMNS]
    lines = [[*_size(row), *(f"{row.numbers[key]:{form}}" for key, form in COLUMNS.values())] for row in rows]
    kinds = list(rows[0].kinds)
    stored = [
        [*_size(row), *(f"{1000 * row.kinds[kind] / row.numbers['cells']:.1f}" for kind in kinds)]
        for row in rows
    ]
    return "\n".join(
        [
            *markdown_table(head, lines),
            "",
            "A cell: the run less the one with everything reused, over cells, times workers.",
            "CPU: the same of what all processes worked.",
            "A cell alone: the median of what cells say they took.",
            "",
            "Kept in the store, kB over cells:",
            "",
            *markdown_table([CELLS, IMAGES, *kinds], stored),
            "",
        ]
    )


def _size(row: Growth) -> list[str]:
    return [str(row.numbers["cells"]), f"{row.numbers['images']:,}"]


def panels(rows: list[Growth]) -> list[Panel]:
    """Seconds, memory and disk: against cells, and below against images."""
    found = []
    for axis, key, other in ((CELLS, "cells", "images"), (IMAGES, "images", "cells")):
        fewest = min(row.numbers[other] for row in rows)
        alike = [row.numbers for row in rows if row.numbers[other] == fewest]
        chosen = sorted(alike, key=itemgetter(key))
        told = f"{fewest:,} {IMAGES if other == 'images' else CELLS}"

        def series(
            *names: str, key: str = key, chosen: list[dict[str, float]] = chosen
        ) -> dict[str, list[tuple[float, float]]]:
            return {name: [(row[key], row[source]) for row in chosen] for name, source in map(_named, names)}

        found += [
            Panel(f"seconds per cell, {told}", axis, series("wall", "CPU")),
            Panel(f"memory, MB, {told}", axis, series("worker", "controller")),
            Panel(f"store, MB, {told}", axis, series("store")),
        ]
    return found


def _named(name: str) -> tuple[str, str]:
    """A line's name in the picture, and what it shows."""
    return name, {
        "wall": "seconds per cell",
        "CPU": "CPU seconds per cell",
        "worker": "worker MB",
        "controller": "controller MB",
        "store": "store MB",
    }[name]


if __name__ == "__main__":
    measured = noted(Path(sys.argv[1]))
    (DOCS / "tables" / "growth.md").write_text(table(measured))
    (DOCS / "growth.svg").write_text(picture(panels(measured)))
