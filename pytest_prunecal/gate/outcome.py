"""What becomes of a measured cell: its verdict against the baseline, and what its test comes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from pytest_prunecal.baseline.agreement import edited
from pytest_prunecal.baseline.file import ENVIRONMENT_FIELDS
from pytest_prunecal.judge import holm
from pytest_prunecal.judge.verdict import CellVerdict, Circumstances, Status, judge
from pytest_prunecal.study.cell import DENSE
from pytest_prunecal.study.metric import CORRUPTED, recorded
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import rule_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.baseline.file import AcceptedCell
    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.image_results import ImageResults
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.tolerance import Tolerance


@dataclass(frozen=True)
class Outcome:
    """What becomes of a measured cell.

    Attributes:
        verdict: its numbers against the baseline.
        accepted: whether this run takes them as the new baseline.
        known: why a regression is tolerated today; empty if there is none, or it is not tolerated.
        result: what the cell's test comes to.
        superfluous: where the baseline marks a known regression of a cell that passes by itself; or empty.
    """

    verdict: CellVerdict
    accepted: bool
    known: str
    result: Literal["passed", "failed", "xfailed"]
    superfluous: str


def outcome_of(
    file: GateFile,
    cell: Cell,
    measurement: Measurement,
    pairing: Pairing,
    settings: Settings,
    comparisons: int,
    *,
    runxfail: bool,
) -> Outcome:
    """Decide what becomes of a measured cell, where it was measured and where results are gathered.

    Args:
        file: the model's part of the gate.
        cell: the cell.
        measurement: its numbers.
        pairing: how they relate to the accepted ones.
        settings: of the session.
        comparisons: how many comparisons under `auto` the whole run makes.
        runxfail: whether known regressions fail all the same.
    """
    verdict = _verdict(file, cell, measurement, pairing, settings, comparisons)
    baseline = file.accepted(cell)
    accepted = _accepts(settings.options.update, verdict)
    known = "" if accepted or runxfail else _known(baseline, verdict)
    fails = verdict.status.fails and not accepted
    return Outcome(
        verdict=verdict,
        accepted=accepted,
        known=known,
        result="xfailed" if known else "failed" if fails else "passed",
        superfluous=baseline.known.where if baseline and baseline.known and not (accepted or fails) else "",
    )


def _verdict(
    file: GateFile,
    cell: Cell,
    measurement: Measurement,
    pairing: Pairing,
    settings: Settings,
    comparisons: int,
) -> CellVerdict:
    protocol = settings.protocol
    accepted = file.accepted(cell)
    dense = file.baseline.cells.get(DENSE) if file.baseline else None
    images, _ = images_of(file, cell, settings.metrics)
    circumstances = Circumstances(
        noise=protocol.noise,
        false_alarms=protocol.false_alarms,
        comparisons=max(comparisons, 1),
        min_effect=protocol.min_effect,
        measured=measurement.uncertainty,
        accepted=accepted.uncertainty if accepted else {},
        dense=dense.metrics if dense else {},
        same_base=_same_base(file, cell, measurement),
        share_base=(measurement.provenance.get("base") is not None, _accepted_base(file, cell) is not None),
        pairing=replace(pairing, tuned=cell.pruner is not None),
        first=_first_of(images, accepted) if images and accepted else {},
        incomparable=_incomparable(file, cell, measurement, settings),
    )
    return judge(
        measurement.metrics,
        accepted.metrics if accepted else None,
        tolerances_of(file, cell, settings),
        settings.metrics,
        circumstances,
    )


def _accepts(update: str | None, verdict: CellVerdict) -> bool:
    """Whether an update of this kind takes a cell's numbers as its new baseline."""
    if update == "missing":
        # New metrics must not carry another's regression along, nor the loss of one.
        lost = [row for row in verdict.having(Status.MISSING) if row.baseline is not None]
        worse = verdict.having(Status.REGRESSION, Status.CHANGED)
        return verdict.status is Status.MISSING and not lost and not worse
    return update == "all" or (update == "failing" and verdict.status.fails)


def _known(accepted: AcceptedCell | None, verdict: CellVerdict) -> str:
    """Why a cell's regression is tolerated today; empty if it is not one, or not tolerated."""
    known = accepted.known if accepted else None
    today = date.today()  # noqa: DTZ011 - the day where it runs
    excused = verdict.status is Status.REGRESSION and not verdict.having(Status.CHANGED)
    if known is None or not excused or known.expired(today):
        return ""
    return known.reason


def tolerances_of(file: GateFile, cell: Cell, settings: Settings) -> dict[str, Tolerance]:
    """Rules that apply to a cell."""
    if file.baseline:
        return file.baseline.tolerances_of(cell.id, settings.protocol)
    return settings.protocol.tolerance


def comparisons_of(cells: Iterable[tuple[GateFile, Cell]], settings: Settings) -> int:
    """How many comparisons under `auto` these cells make: each by itself, and those of a model together."""
    by_model: dict[str, list[list[str]]] = {}
    for file, cell in cells:
        accepted = file.accepted(cell)
        rules = tolerances_of(file, cell, settings)
        auto = [metric for metric in (accepted.metrics if accepted else ()) if rule_of(metric, rules).auto]
        by_model.setdefault(file.model, []).append(auto)
    return holm.comparisons(by_model.values())


def images_of(file: GateFile, cell: Cell, metrics: Mapping[str, Metric]) -> tuple[ImageResults | None, str]:
    """What the baseline knows of a cell image by image, or why it knows nothing."""
    accepted = file.accepted(cell)
    found = file.images.get(cell.id)
    if accepted is None:
        return None, ""
    if found is None:
        return None, file.unpaired or "the baseline has no results by image of this cell"
    if edited(found, accepted, metrics):
        return None, "the baseline's numbers were edited since its results by image were written"
    return found, ""


def without_images(file: GateFile, cell: Cell, measurement: Measurement, why: str) -> Pairing:
    """What is known of a comparison from the baseline file alone."""
    known = file.images.get(cell.id)
    same_base = bool(known and measurement.by_image and known.base == measurement.by_image.base)
    return Pairing(
        same_base=same_base or _same_base(file, cell, measurement),
        tuned=cell.pruner is not None,
        unpaired=why,
    )


def _same_base(file: GateFile, cell: Cell, measurement: Measurement) -> bool:
    """Whether both sides started from the same base network by what the baseline file says."""
    here = measurement.provenance.get("base")
    return here is not None and here == _accepted_base(file, cell)


def _accepted_base(file: GateFile, cell: Cell) -> str | None:
    """The base network that the accepted numbers started from, by what the baseline file says.

    `pinned` or the beginning of a checkpoint's digest; None if every seed trained its own.
    """
    return file.baseline.environment_of(cell.id).get("base") if file.baseline else None


def _first_of(images: ImageResults, accepted: AcceptedCell) -> dict[str, float]:
    """The numbers of the baseline's first seed, but for those whose means were edited since."""
    means = {name: recorded(mean) for name, mean in images.metrics.items()}
    return {name: one for name, one in images.first.items() if accepted.metrics.get(name) == means.get(name)}


def environment_of(measurement: Measurement | None) -> dict[str, str]:
    """What a baseline records about where a measurement was made."""
    provenance: Mapping[str, object] = measurement.provenance if measurement else {}
    return {key: str(provenance[key]) for key in ENVIRONMENT_FIELDS if key in provenance}


def _incomparable(file: GateFile, cell: Cell, measurement: Measurement, settings: Settings) -> dict[str, str]:
    """Other corrupted images are another test: what was measured on them is not compared."""
    there = file.baseline.environment_of(cell.id).get("corruptions") if file.baseline else None
    here = environment_of(measurement).get("corruptions")
    if there is None or here is None or there == here:
        return {}
    reason = (
        f"the baseline's corrupted images are {there}, this run's {here}; "
        "give the same data folder, or measure again with --prunecal-update"
    )
    return {name: reason for name, metric in settings.metrics.items() if metric.where == CORRUPTED}
