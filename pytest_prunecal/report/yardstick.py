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
            seeds = f"over {found.seeds} seeds " if found.seeds > 1 and found.kind != "exact" else ""
            by_yardstick.setdefault(f"{seeds}{yardstick(found)}", []).append(row.metric)
    return [f"compared {words}: {', '.join(names)}" for words, names in by_yardstick.items()]
