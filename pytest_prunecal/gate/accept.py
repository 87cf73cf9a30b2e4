"""Accepting numbers: the baseline file, the results by image and the base networks beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.baseline import beside, images, refresh
from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.atomic import write_atomically
from pytest_prunecal.baseline.lock import locked
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.outcome import environment_of
from pytest_prunecal.gate.registry import untuned
from pytest_prunecal.gate.selection import reread
from pytest_prunecal.study import yaml_reader

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.report.run import CellResult
    from pytest_prunecal.study.measurement import Measurement

_TRIES = 10
_WITHOUT_LOCKS = (
    "; this file system has no locks, so two sessions that accept at the same moment may lose numbers: "
    "accept from one at a time"
)


def accept(file: GateFile, results: list[CellResult], removable: Collection[str], settings: Settings) -> str:
    """Write the accepted numbers into the baseline file as it is now; say what was done.

    Other sessions may have accepted other cells since this one began, so the file and what lies beside it are
    read again under its lock. What lies beside it carries its digest in its name and is written first: the
    baseline never names what is not there. What no baseline names any more is removed last.

    Args:
        file: the model's part of the gate, as it was when the session began.
        results: cell by cell.
        removable: ids of cells to drop where the file still has them.
        settings: of the session.

    Raises:
        PrunecalError: the file cannot be refreshed; it is left as it was.
        OSError: something cannot be written.
    """
    with locked(file.path, file.name) as held:
        for _ in range(_TRIES):
            said = _accept(file, results, removable, settings)
            if said is not None:
                beside.clean(file.path, locked=held)
                return said if held else said + _WITHOUT_LOCKS
    raise PrunecalError(
        f"{file.name}: not refreshed: it is being changed all the time; run the command again"
    )


def _accept(
    file: GateFile, results: list[CellResult], removable: Collection[str], settings: Settings
) -> str | None:
    """As `accept`; None if the file was changed while this went on."""
    text = _text(file)
    accepted = {
        result.cell.id: result.measurement for result in results if result.accepted and result.measurement
    }
    now = reread(
        file,
        text,
        settings.protocol,
        settings.metrics,
        {*accepted, *removable},
        untuned(settings.extensions),
    )
    removed = tuple(
        cell_id for cell_id in (now.baseline.cells if now.baseline else ()) if cell_id in removable
    )
    base = _pin(now, results, removed, settings) if settings.options.pin else None
    if base is None:
        _check_base(file, now)
    finished = {result.cell.id for result in results if result.cell.candidate} & accepted.keys()
    typical = next((cell_id for cell_id in accepted if cell_id not in finished), next(iter(accepted)))
    environment = environment_of(accepted[typical])
    change = refresh.Change(
        model=file.model,
        environment=environment | {"base": "pinned"} if base else environment,
        cells={cell_id: dict(measurement.metrics) for cell_id, measurement in accepted.items()},
        uncertainty={cell_id: measurement.uncertainty for cell_id, measurement in accepted.items()},
        removed=removed,
        base=base,
        images=_write_images(now, accepted, removed),
        elsewhere={cell_id: environment_of(accepted[cell_id]) for cell_id in finished},
        networks={
            cell_id: str(accepted[cell_id].provenance["network"])
            for cell_id in finished
            if "network" in accepted[cell_id].provenance
        },
    )
    new = refresh.apply(text, change, settings.protocol, settings.metrics, file.name)
    if _text(file) != text:
        return None
    if new == text:
        return f"{file.name}: already says all of it"
    write_atomically(file.path, new.encode())
    said = f"{file.name}: accepted {len(accepted)} cell{'s' * (len(accepted) != 1)}"
    return said + (f", removed {', '.join(removed)}" if removed else "") + "; review the diff like code"


def _text(file: GateFile) -> str | None:
    return yaml_reader.read_text(file.path, file.name) if file.path.exists() else None


def _check_base(file: GateFile, now: GateFile) -> None:
    """Refuse numbers that start from other base networks than the file pins by now."""
    before, after = (found.baseline.base if found.baseline else {} for found in (file, now))
    if before != after:
        raise PrunecalError(
            f"{file.name}: not refreshed: since this session began another one has pinned other base networks"
            "; run the command again"
        )


def _pin(
    file: GateFile, results: list[CellResult], removed: Collection[str], settings: Settings
) -> dict[str, baseline.PinnedBase]:
    """Put the base networks that this run trained beside the baseline file."""
    started = [result for result in results if not result.cell.candidate]
    needed = file.grid | (file.trained - set(removed))
    if missing := needed - {result.cell.id for result in started if result.measurement}:
        raise PrunecalError(f"{file.name}: not pinned: {min(missing)} was not measured from the new base")
    bases = {}
    for result in started:
        provenance = result.measurement.provenance if result.measurement else {}
        kind = str(provenance["base_kind"])
        if kind not in bases:
            name, sha256 = beside.write(file.path, kind, _entry(settings, str(provenance["base_entry"])))
            recipe = settings.protocol.base_fingerprint(file.model, kind)
            bases[kind] = baseline.PinnedBase(name, sha256, recipe)
    return bases


def _entry(settings: Settings, place: str) -> bytes:
    """An entry of the store, as it was written."""
    from pytest_prunecal.store.store import Store  # noqa: PLC0415 - few sessions pin

    path = Store(settings.options.store).find(place)
    if path is None:
        raise PrunecalError(f"not pinned: the store {settings.options.store} has no {place} any more")
    return path.read_bytes()


def _write_images(
    file: GateFile, accepted: dict[str, Measurement], removed: Collection[str]
) -> baseline.ImagesFile | None:
    """Write the results by image of the accepted cells over those that the file has."""
    fresh = {cell_id: found.by_image for cell_id, found in accepted.items() if found.by_image}
    sizes = {found.cell.images for found in fresh.values()}
    cells = set(file.baseline.cells if file.baseline else ()) - {*removed, *fresh}
    kept = {
        cell_id: found
        for cell_id, found in file.images.items()
        if cell_id in cells and (not sizes or found.cell.images in sizes)
    }
    if not fresh and kept == file.images:
        return None
    return baseline.ImagesFile(*beside.write(file.path, beside.IMAGES, images.dump(kept | fresh)))
