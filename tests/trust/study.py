"""What the gate promises, measured: false alarms, detection, the power that it claims, what it can see.

    python tests/trust/study.py FOLDER measure [WHAT...]  # two hours each on two cores
    python tests/trust/study.py FOLDER report [PART...]   # minutes a part; results.json and the docs

WHAT is `tiny`, the small gate of the other parts, or `damaged`, cells of the shipped one. What lies in FOLDER
is not measured again. PART is one of false-alarms, damaged, detection, power, candidates (which measures what
it needs), detectable (from the shipped baselines alone) and environments (which sums up the reports of
sessions in FOLDER/environments).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import candidates
import damaged
import detectable
import detection
import environments
import false_alarms
import power
from faults import CATALOGUE
from measure_all import measure_all
from picture import picture
from tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from records import Results

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "measured"


def jobs() -> list[tuple[str, int]]:
    """What is measured in the laboratory: faults and seeds."""
    found = [("none", seed) for seed in range(1, false_alarms.SEEDS + 1)]
    faults = [*CATALOGUE, *(power.fault_of(share) for share in power.SHARES)]
    for fault in dict.fromkeys(faults):
        found += [(fault, seed) for seed in range(1, detection.seeds_of(fault) + 1)]
    return found


MEASURED: dict[str, Callable[[Path], None]] = {
    "tiny": lambda folder: measure_all(folder, jobs()),
    "damaged": damaged.measure,
}
PARTS: dict[str, Callable[[Path], object]] = {
    "false alarms": false_alarms.report,
    "damaged": damaged.report,
    "detection": detection.report,
    "power": power.report,
    "candidates": candidates.report,
    "detectable": lambda _: detectable.report(),
    "environments": environments.report,
}


def main(folder: Path, what: str, parts: list[str]) -> None:
    if what == "measure":
        for one in parts or MEASURED:
            MEASURED[one](folder)
        return
    kept = HERE / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for part in parts or PARTS:
        results[part.replace("-", " ")] = PARTS[part.replace("-", " ")](folder)
        kept.write_text(json.dumps(results, indent=1) + "\n")
    found = cast("Results", results)
    (DOCS / "tables" / "trust.md").write_text(tables(found))
    if "power" in found:
        (DOCS / "trust.svg").write_text(picture(found["power"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
