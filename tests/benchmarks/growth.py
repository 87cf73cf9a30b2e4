"""The table and the picture of `test_growth.py`.

python tests/benchmarks/growth.py BENCH.json    # writes tables/growth.md and growth.svg into docs/measured
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from markdown_table import markdown_table
from panels import Panel, picture

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


def rows_of(file: Path) -> list[dict]:
    """What each run noted, by cells and images."""
    benchmarks = json.loads(file.read_text())["benchmarks"]
    rows = [entry["extra_info"] for entry in benchmarks if entry["group"] == "growth"]
    return sorted(rows, key=lambda row: (row["images"], row["cells"]))


def table(rows: list[dict]) -> str:
    """Everything that was measured, as two Markdown tables."""
    head = [CELLS, IMAGES, *COLUMNS]
    lines = [
        [str(row["cells"]), f"{row['images']:,}", *(f"{row[key]:{form}}" for key, form in COLUMNS.values())]
        for row in rows
    ]
    kinds = list(rows[0]["MB by kind"])
    stored = [
        [
            *(str(row["cells"]), f"{row['images']:,}"),
            *(f"{1000 * row['MB by kind'][kind] / row['cells']:.1f}" for kind in kinds),
        ]
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


def panels(rows: list[dict]) -> list[Panel]:
    """Seconds, memory and disk: against cells, and below against images."""
    found = []
    for axis, key, other in ((CELLS, "cells", "images"), (IMAGES, "images", "cells")):
        fewest = min(row[other] for row in rows)
        chosen = sorted((row for row in rows if row[other] == fewest), key=lambda row: row[key])
        told = f"{fewest:,} {IMAGES if other == 'images' else CELLS}"

        def series(*names: str, key: str = key, chosen: list[dict] = chosen) -> dict:
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
    measured = rows_of(Path(sys.argv[1]))
    (DOCS / "tables" / "growth.md").write_text(table(measured))
    (DOCS / "growth.svg").write_text(picture(panels(measured)))
