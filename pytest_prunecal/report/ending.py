"""The last words of a run that passed: that all is well, or the one thing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.report.power import compared
from pytest_prunecal.report.wording import differing, outcome, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.report.run import Run

ENOUGH_SEEDS = 12
"""Of a baseline: more of them show little more."""


def lines(run: Run) -> Iterator[str]:
    """Say it; nothing of a run that failed, which says what to do where it fails."""
    if outcome(run) != "passed":
        return
    others = [result for result in run.results if not result.accepted]
    if not others:
        yield "accepted: look at what changed in the baseline files, and commit them"
        return
    known = plural(sum(bool(result.known) for result in others), "known regression")
    if all(result.label == "identical" for result in others):
        yield "every number is what was accepted"
    elif any(result.known for result in others):
        yield f"nothing else got worse by more than noise explains; {known} stands"
    else:
        yield "nothing got worse by more than noise explains"
    changed = [result for result in others if result.verdict and differing(result.verdict)]
    if changed:
        yield (
            f"{plural(len(changed), 'cell')} no longer computed as accepted, and as good: "
            "accept again (--prunecal-update) if meant"
        )
    else:
        yield from _sharper(run)


def _sharper(run: Run) -> Iterator[str]:
    """The step that helps most where noise hides what matters; nothing where none is likely to."""
    blind = [found for model in run.models for _, _, found in compared(model) if found.blind]
    if any(found.kind in ("another base", "change from the base") for found in blind):
        yield "runs from the same base network show smaller changes: --prunecal-update --prunecal-pin"
    elif any(found.kind == "same base" and found.accepted < ENOUGH_SEEDS for found in blind):
        yield f"more accepted seeds show smaller changes: --prunecal-seeds={ENOUGH_SEEDS} --prunecal-update"
