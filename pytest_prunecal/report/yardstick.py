"""What a comparison under `auto` is made against, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import CellVerdict


def yardstick(found: Allowance) -> str:
    """`against the mean of 12 accepted seeds`."""
    if found.kind == "exact":
        return "exactly, as noise has no part in it"
    if found.kind == "same network":
        return "exactly, as the network is the very file that was accepted"
    if found.kind == "another network":
        how = "image by image" if found.paired else "by what the baseline file says of its sampling error"
        return f"against the accepted network, {how}: the test images are all the noise"
    if found.kind == "same seed":
        one = "the accepted number of the same seed"
        return f"against {one}" if found.seeds == 1 else f"against {one}, seed by seed"
    mean = f"the mean of {found.accepted} accepted seeds" if found.accepted > 1 else "the one accepted seed"
    if found.against_base:
        return f"by the distance from the base network, against {mean}"
    return f"against {mean}" + (", from another base network" if found.kind == "another base" else "")


def compared(verdict: CellVerdict | None) -> list[str]:
    """Each comparison that was made, and of what: `compared over 5 seeds against ...: accuracy, ece`."""
    by_yardstick: dict[str, list[str]] = {}
    for row in verdict.metrics if verdict else ():
        if found := row.allowance:
            exact = found.kind in ("exact", "same network")
            seeds = f"over {found.seeds} seeds " if found.seeds > 1 and not exact else ""
            by_yardstick.setdefault(f"{seeds}{yardstick(found)}", []).append(row.metric)
    return [f"compared {words}: {', '.join(names)}" for words, names in by_yardstick.items()]


def kept(verdict: CellVerdict | None) -> list[str]:
    """What rules of recovery ask, and where they are written: one line a file and line."""
    return [
        f"recovery of {row.metric}: at worst {row.rule} ({row.rule.where})"
        for row in (verdict.recovery if verdict else ())
    ]
