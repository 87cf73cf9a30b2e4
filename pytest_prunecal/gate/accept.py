"""Accepting numbers: the baseline file, the results by image and the base networks beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline import images, refresh
from pytest_prunecal.baseline.atomic import write_atomically
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.outcome import environment_of
from pytest_prunecal.study import yaml_reader

if TYPE_CHECKING:
    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.report.run import CellResult
    from pytest_prunecal.study.measurement import Measurement


def accept(file: GateFile, results: list[CellResult], removed: tuple[str, ...], settings: Settings) -> str:
    """Write the accepted numbers into the baseline file as it is now; say what was done.

    What lies beside the file carries its digest in its name and is written first, so that the baseline never
    names what is not there; what it named before is removed last.

    Raises:
        PrunecalError: the file cannot be refreshed; it is left as it was.
        OSError: something cannot be written.
    """
    accepted = {
        result.cell.id: result.measurement for result in results if result.accepted and result.measurement
    }
    base = _pin(file, results, settings) if settings.options.pin else None
    environment = environment_of(next(iter(accepted.values())))
    change = refresh.Change(
        model=file.model,
        environment=environment | {"base": "pinned"} if base else environment,
        cells={cell_id: dict(measurement.metrics) for cell_id, measurement in accepted.items()},
        uncertainty={cell_id: measurement.uncertainty for cell_id, measurement in accepted.items()},
        removed=removed,
        base=base,
        images=_write_images(file, accepted, removed),
    )
    text = yaml_reader.read_text(file.path, file.name) if file.path.exists() else None
    new = refresh.apply(text, change, settings.protocol, settings.metrics, file.name)
    if new == text:
        return f"{file.name}: already says all of it"
    write_atomically(file.path, new.encode())
    _drop_unnamed(file, change)
    said = f"{file.name}: accepted {len(accepted)} cell{'s' * (len(accepted) != 1)}"
    return said + (f", removed {', '.join(removed)}" if removed else "") + "; review the diff like code"


def _pin(file: GateFile, results: list[CellResult], settings: Settings) -> dict[str, baseline.PinnedBase]:
    """Put the base networks that this run trained beside the baseline file."""
    if not file.grid <= {result.cell.id for result in results if result.measurement}:
        raise PrunecalError(f"{file.name}: not pinned: not every cell was measured from the new base")
    bases = {}
    for result in results:
        provenance = result.measurement.provenance if result.measurement else {}
        kind = str(provenance["base_kind"])
        if kind not in bases:
            content = (Path(settings.options.store) / str(provenance["base_entry"])).read_bytes()
            name, sha256 = _write_beside(file, kind, "safetensors", content)
            recipe = settings.protocol.base_fingerprint(file.model, kind)
            bases[kind] = baseline.PinnedBase(name, sha256, recipe)
    return bases


def _write_images(
    file: GateFile, accepted: dict[str, Measurement], removed: tuple[str, ...]
) -> baseline.ImagesFile | None:
    """Write the results by image of the accepted cells over those that the file had."""
    fresh = {cell_id: found.by_image for cell_id, found in accepted.items() if found.by_image}
    kept = {cell_id: found for cell_id, found in file.images.items() if cell_id not in removed}
    if not fresh and kept == file.images:
        return None
    name, sha256 = _write_beside(file, "images", "zip", images.dump(kept | fresh))
    return baseline.ImagesFile(name, sha256)


def _write_beside(file: GateFile, what: str, suffix: str, content: bytes) -> tuple[str, str]:
    """Write a file beside the baseline; give its name and its SHA-256."""
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{file.path.stem}-{what}-{sha256[:8]}.{suffix}"
    write_atomically(file.path.with_name(name), content)
    return name, sha256


def _drop_unnamed(file: GateFile, change: refresh.Change) -> None:
    """Remove the files that the baseline named before and does not name any more."""
    if file.baseline is None:
        return
    replaced = {
        pinned.file for kind, pinned in file.baseline.base.items() if change.base and kind in change.base
    }
    if file.baseline.images and change.images:
        replaced.add(file.baseline.images.file)
    named = {pinned.file for pinned in (change.base or {}).values()}
    if change.images:
        named.add(change.images.file)
    for name in replaced - named:
        file.path.with_name(name).unlink(missing_ok=True)
