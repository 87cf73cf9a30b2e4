"""What becomes of a measured cell: its verdict against the baseline, and what its test comes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from pytest_prunecal.baseline.agreement import edited
from pytest_prunecal.baseline.file import ENVIRONMENT_FIELDS
from pytest_prunecal.gate.family import family_of
from pytest_prunecal.gate.registry import untuned
from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.screen import screen
from pytest_prunecal.judge.verdict import CellVerdict, Status
from pytest_prunecal.study.cell import DENSE
from pytest_prunecal.study.metric import CORRUPTED, recorded
from pytest_prunecal.study.pairing import Pairing, pair, pair_finished

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_prunecal.baseline.file import AcceptedCell
    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.screen import Difference
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
    *,
    runxfail: bool,
) -> Outcome:
    """Decide what becomes of a measured cell, where it was measured and where results are gathered.

    Args:
        file: the model's part of the gate.
        cell: the cell.
        measurement: its numbers.
        pairing: how they relate to the accepted ones, see `pairing_of`.
        settings: of the session.
        runxfail: whether known regressions fail all the same.
    """
    accepted = file.accepted(cell)
    verdict = judge(
        measurement.metrics,
        accepted.metrics if accepted else None,
        tolerances_of(file, cell, settings),
        settings.metrics,
        _circumstances(file, cell, measurement, pairing, settings),
    )
    taken = _accepts(settings, verdict)
    known = "" if runxfail else _known(accepted, verdict, settings, taken=taken)
    # An update accepts numbers; it does not silence a rule.
    fails = bool(verdict.short) or (verdict.status.fails and not taken)
    return Outcome(
        verdict=verdict,
        accepted=taken,
        known=known,
        result="xfailed" if known else "failed" if fails else "passed",
        superfluous=accepted.known.where if accepted and accepted.known and not (taken or fails) else "",
    )


def _circumstances(
    file: GateFile, cell: Cell, measurement: Measurement, pairing: Pairing, settings: Settings
) -> Circumstances:
    protocol, accepted = settings.protocol, file.accepted(cell)
    dense = file.baseline.cells.get(DENSE) if file.baseline else None
    images, _ = images_of(file, cell, settings.metrics)
    bare = untuned(settings.extensions)
    family = file.family or family_of(file.baseline, protocol, settings.metrics, bare, images=file.images)
    tuned = is_tuned(cell, bare)
    each = _standing(images, accepted) if images and accepted else {}
    differences = _screened(measurement, images)
    return Circumstances(
        sides=Sides(
            noise=protocol.noise,
            tuned=tuned,
            accepted=accepted.uncertainty if accepted else {},
            dense=dense.metrics if dense else {},
            levels=family.levels,
            same_base=_same_base(file, cell, measurement),
            share_base=(_shares_base(measurement), _accepted_base(file, cell) is not None),
            each=measurement.each,
            accepted_each=each,
            pairing=replace(pairing, tuned=tuned),
            traced=differences == () and _same_trace_base(measurement, images),
            jitter=images.jitter if images else None,
            couplings=family.couplings.get(cell.pruner or "", {}),
            finished=bool(cell.candidate),
            same_network=_same_network(accepted, measurement) if cell.candidate else False,
            measured=measurement.uncertainty if cell.candidate else {},
        ),
        level=family.rate.cell,
        most=protocol.repeat,
        min_effect=protocol.min_effect,
        measured=measurement.uncertainty,
        first={name: values[0] for name, values in each.items()} | _first_of(accepted),
        incomparable=_incomparable(file, cell, measurement, settings),
        differences=differences,
        changed_fails=settings.options.changed == "fail",
        recovery=file.recovery(cell, protocol),
        dense=measurement.against_dense,
        without_baseline=file.baseline is None and bool(protocol.recovery),
    )


def is_tuned(cell: Cell, untuned: Collection[str]) -> bool:
    """Whether a cell is fine-tuned, and so has training noise of its own.

    Args:
        cell: the cell.
        untuned: names of pruners whose cells are not.
    """
    return cell.pruner is not None and cell.pruner not in untuned


def _same_network(accepted: AcceptedCell | None, measurement: Measurement) -> bool:
    """Whether a candidate is the very file that was accepted, by what the baseline file says."""
    return accepted is not None and accepted.network == measurement.provenance.get("network")


def _shares_base(measurement: Measurement) -> bool:
    """Whether all measured seeds started from one base network, and would under any number of seeds."""
    said = measurement.provenance
    return said.get("base") is not None or (said.get("bases") == 1 and said.get("seeds") != 1)


def _screened(measurement: Measurement, images: ImageResults | None) -> tuple[Difference, ...] | None:
    """What the cell computed otherwise than the accepted one; None where either is not known."""
    if measurement.trace is None or images is None or images.trace is None:
        return None
    return screen(measurement.trace, images.trace, images.jitter)


def _same_trace_base(measurement: Measurement, images: ImageResults | None) -> bool:
    ours, theirs = measurement.trace, images.trace if images else None
    return ours is not None and theirs is not None and ours.base == theirs.base


def _standing(images: ImageResults, accepted: AcceptedCell) -> dict[str, list[float]]:
    """The accepted numbers under each seed, but for those whose means were edited since."""
    means = {name: recorded(mean) for name, mean in images.metrics.items()}
    return {name: each for name, each in images.each.items() if accepted.metrics.get(name) == means.get(name)}


def _first_of(accepted: AcceptedCell | None) -> dict[str, float]:
    """The accepted numbers under the first of several seeds, as the baseline file has them."""
    sure = accepted.uncertainty if accepted else {}
    return {name: one.first for name, one in sure.items() if one.first is not None}


def _accepts(settings: Settings, verdict: CellVerdict) -> bool:
    """Whether an update of the session's kind takes a cell's numbers as its new baseline."""
    update = settings.options.update
    if update == "missing":
        # New metrics must not carry another's regression along, nor the loss of one, nor another ruler.
        lost = [row for row in verdict.having(Status.MISSING) if row.baseline is not None]
        worse = verdict.having(Status.REGRESSION, Status.CHANGED)
        return verdict.by_baseline is Status.MISSING and not (lost or worse or _changed(verdict, settings))
    return update == "all" or (update == "failing" and verdict.by_baseline.fails)


def _changed(verdict: CellVerdict, settings: Settings) -> bool:
    """Whether what the cell computed otherwise fails it, whatever its numbers are."""
    told = verdict.differences if settings.options.changed == "fail" else ()
    return bool(told) or any(one.of_ruler for one in verdict.differences)


def _known(accepted: AcceptedCell | None, verdict: CellVerdict, settings: Settings, *, taken: bool) -> str:
    """Why a cell's regression, or its recovery, is tolerated today; empty if it is not one, or not tolerated.

    Where the numbers are taken, it is the recovery that is left.
    """
    known = accepted.known if accepted else None
    today = date.today()  # noqa: DTZ011 - the day where it runs
    changed = bool(verdict.having(Status.CHANGED)) or _changed(verdict, settings)
    if known is None or known.expired(today) or (taken and not verdict.short):
        return ""
    tolerable = verdict.status in (Status.REGRESSION, Status.UNRECOVERED) and not changed
    return known.reason if taken or tolerable else ""


def tolerances_of(file: GateFile, cell: Cell, settings: Settings) -> dict[str, Tolerance]:
    """Rules that apply to a cell."""
    if file.baseline:
        return file.baseline.tolerances_of(cell.id, settings.protocol)
    return settings.protocol.tolerance


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


def pairing_of(
    file: GateFile,
    cell: Cell,
    measurement: Measurement,
    metrics: Mapping[str, Metric],
    untuned: Collection[str] = (),
) -> Pairing:
    """How a cell's measurement relates to the accepted one, by what lies beside the baseline if it can be.

    Args:
        file: the model's part of the gate.
        cell: the cell.
        measurement: its numbers.
        metrics: every metric by name.
        untuned: names of pruners whose cells are not fine-tuned.
    """
    accepted, why = images_of(file, cell, metrics)
    if accepted is None or measurement.by_image is None:
        return replace(_without_images(file, cell, measurement, why), tuned=is_tuned(cell, untuned))
    if cell.candidate:
        return pair_finished(measurement.by_image, accepted, metrics)
    return pair(measurement.by_image, accepted, tuned=is_tuned(cell, untuned))


def _without_images(file: GateFile, cell: Cell, measurement: Measurement, why: str) -> Pairing:
    """What is known of a comparison from the baseline file alone."""
    known = file.images.get(cell.id)
    same_base = bool(known and measurement.by_image and known.base == measurement.by_image.base)
    return Pairing(
        same_base=same_base or _same_base(file, cell, measurement),
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
