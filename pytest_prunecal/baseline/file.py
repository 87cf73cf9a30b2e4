"""Baseline files: the accepted numbers of one model under one protocol, read into frozen types."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import uncertainty, yaml_reader
from pytest_prunecal.study.cell import baseline_name, cell_from_id
from pytest_prunecal.study.tolerance import Tolerance, read_tolerances, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.uncertainty import Uncertainty
    from pytest_prunecal.study.yaml_reader import Value

FORMAT = 1
BASE_KINDS = ("plain", "slimmed")
CELL_FIELDS = ("note", "known", "environment", "tolerance")
ENVIRONMENT_FIELDS = ("torch", "device", "threads", "corruptions", "base")


@dataclass(frozen=True)
class AcceptedCell:
    """What the baseline file says of one cell.

    Attributes:
        metrics: accepted number by metric.
        tolerance: this cell's own rules by metric.
        note: what a person wrote about it.
        environment: where it was measured, if not where the rest of the file was.
        line: line of the file where the cell begins, counted from 1.
        uncertainty: how sure each accepted number is.
        known: the regression that people know of; None if they know of none.
    """

    metrics: dict[str, Number]
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    line: int = 0
    uncertainty: dict[str, Uncertainty] = field(default_factory=dict)
    known: Known | None = None


@dataclass(frozen=True)
class Known:
    """A regression that people know of: the cell is expected to fail.

    Attributes:
        reason: why it is tolerated.
        until: last day on which it is; None for ever.
        where: `file:line`.
    """

    reason: str
    until: date | None
    where: str

    def expired(self, today: date) -> bool:
        """Whether the last day has passed."""
        return self.until is not None and today > self.until


@dataclass(frozen=True)
class PinnedBase:
    """A trained base network that lies beside the baseline file: every run starts from it.

    Attributes:
        file: its name, in the baseline file's own folder.
        sha256: of its bytes, in hex.
        recipe: `Protocol.base_fingerprint` of the recipe that trained it.
    """

    file: str
    sha256: str
    recipe: str


@dataclass(frozen=True)
class ImagesFile:
    """The file beside the baseline that holds the accepted cells' results image by image.

    Attributes:
        file: its name, in the baseline file's own folder.
        sha256: of its bytes, in hex.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class Baseline:
    """The accepted numbers of one model under one protocol.

    Attributes:
        name: the file's name as shown to people.
        model: the model's name.
        protocol: the protocol's name.
        fingerprint: of the protocol that measured the numbers.
        environment: where they were measured.
        base: pinned base networks by kind, `plain` or `slimmed`.
        images: where the results by image are; None if there are none.
        tolerance: the file's rules by metric, over the protocol's.
        cells: accepted cells by id, in file order.
    """

    name: str
    model: str
    protocol: str
    fingerprint: str
    environment: dict[str, str]
    base: dict[str, PinnedBase]
    tolerance: dict[str, Tolerance]
    cells: dict[str, AcceptedCell]
    images: ImagesFile | None = None

    def tolerances_of(self, cell_id: str, protocol: Protocol) -> dict[str, Tolerance]:
        """Rules that apply to one cell: its own over the file's over the protocol's."""
        cell = self.cells.get(cell_id)
        return resolve(protocol.tolerance, self.tolerance, cell.tolerance if cell else {})

    def environment_of(self, cell_id: str) -> dict[str, str]:
        """Where one cell was measured."""
        cell = self.cells.get(cell_id)
        return cell.environment if cell and cell.environment else self.environment


def path_of(directory: Path, protocol: str, model: str) -> Path:
    """Where a model's baseline lies: `<directory>/<protocol>/<model>.yaml`."""
    return directory / protocol / f"{baseline_name(model)}.yaml"


def read(path: Path, name: str) -> Baseline:
    """Read a baseline file.

    Args:
        path: the file.
        name: how messages call it.

    Raises:
        PrunecalError: unreadable, malformed, or not a baseline; with file and line.
    """
    return parse(yaml_reader.read_text(path, name), name)


def parse(text: str, name: str) -> Baseline:
    """Read a baseline from its text; see `read`."""
    top = yaml_reader.parse(text, name)
    entries = top.mapping(
        ("prunecal", "model", "protocol", "environment", "base", "images", "tolerance", "cells")
    )
    for key in ("prunecal", "model", "protocol", "cells"):
        if key not in entries:
            top.fail(f"this is no baseline file: it has no {key!r}")
    version = entries["prunecal"].integer()
    if version != FORMAT:
        entries["prunecal"].fail(f"baseline format {version} is not known here; this version reads {FORMAT}")
    protocol = entries["protocol"].mapping(("name", "fingerprint"))
    for key in ("name", "fingerprint"):
        if key not in protocol:
            entries["protocol"].fail(f"protocol has no {key!r}; write {{name: quick, fingerprint: 1a2b3c4d}}")
    cells = entries["cells"]
    return Baseline(
        name=name,
        model=entries["model"].text(),
        protocol=protocol["name"].text(),
        fingerprint=protocol["fingerprint"].text(),
        environment=_environment(entries["environment"]) if "environment" in entries else {},
        base=_pinned(entries["base"]) if "base" in entries else {},
        tolerance=read_tolerances(entries["tolerance"]) if "tolerance" in entries else {},
        images=_images(entries["images"]) if "images" in entries else None,
        cells={} if empty(cells) else {key: _cell(key, value) for key, value in cells.mapping().items()},
    )


def empty(value: Value) -> bool:
    """Whether nothing stands behind a key."""
    return value.content is None and value.scalar() is None


def _cell(cell_id: str, value: Value) -> AcceptedCell:
    try:
        cell_from_id("", cell_id)
    except PrunecalError as error:
        value.fail(str(error))
    line = value.key.start_mark.line + 1 if value.key else value.line
    if empty(value):
        return AcceptedCell({}, line=line)
    entries = value.mapping()
    numbers = {key: uncertainty.read(entry) for key, entry in entries.items() if key not in CELL_FIELDS}
    return AcceptedCell(
        metrics={key: mean for key, (mean, _) in numbers.items()},
        tolerance=read_tolerances(entries["tolerance"]) if "tolerance" in entries else {},
        note=entries["note"].text() if "note" in entries else "",
        environment=_environment(entries["environment"]) if "environment" in entries else {},
        line=line,
        uncertainty={key: sure for key, (_, sure) in numbers.items() if sure != uncertainty.UNKNOWN},
        known=_known(entries["known"]) if "known" in entries else None,
    )


def _known(value: Value) -> Known:
    if value.content is None:
        return Known(value.text(), None, value.where)
    entries = value.mapping(("reason", "until"))
    if "reason" not in entries:
        value.fail(f"{value.label} has no reason; write {{reason: why it is tolerated, until: 2027-01-31}}")
    until = None
    if "until" in entries:
        try:
            until = date.fromisoformat(entries["until"].text())
        except ValueError:
            entries["until"].fail(f"{entries['until'].label} is no date; write one such as 2027-01-31")
    return Known(entries["reason"].text(), until, value.where)


def _images(value: Value) -> ImagesFile:
    fields = {key: part.text() for key, part in value.mapping(("file", "sha256")).items()}
    if len(fields) < len(("file", "sha256")):
        value.fail(f"{value.label} needs file and sha256, as --prunecal-update writes them")
    if Path(fields["file"]).name != fields["file"]:
        value.fail(f"{value.label}.file must be the name of a file in this folder")
    return ImagesFile(**fields)


def _pinned(value: Value) -> dict[str, PinnedBase]:
    bases = {}
    for kind, entry in value.mapping(BASE_KINDS).items():
        fields = {key: part.text() for key, part in entry.mapping(("file", "sha256", "recipe")).items()}
        if len(fields) < len(("file", "sha256", "recipe")):
            entry.fail(f"{entry.label} needs file, sha256 and recipe, as --prunecal-pin writes them")
        if Path(fields["file"]).name != fields["file"]:
            entry.fail(f"{entry.label}.file must be the name of a file in this folder")
        bases[kind] = PinnedBase(**fields)
    return bases


def _environment(value: Value) -> dict[str, str]:
    return {key: entry.text() for key, entry in value.mapping(ENVIRONMENT_FIELDS).items()}


def check(baseline: Baseline, model: str, protocol: Protocol) -> None:
    """Refuse a file that is about something else than its place says.

    Raises:
        PrunecalError: the file names another model or another protocol.
    """
    if baseline.model != model:
        raise PrunecalError(
            f"{baseline.name}: is a baseline of model {baseline.model!r} "
            f"but lies where {model!r} belongs; move it"
        )
    if baseline.protocol != protocol.name:
        raise PrunecalError(
            f"{baseline.name}: is a baseline of protocol {baseline.protocol!r}, not of {protocol.name!r}; "
            "numbers of two protocols cannot be compared"
        )


def stale(baseline: Baseline, protocol: Protocol) -> str:
    """Say why the file's numbers cannot be compared with this protocol's; empty if they can."""
    if baseline.fingerprint == protocol.fingerprint:
        return ""
    return (
        f"{baseline.name}: was measured under another version of protocol {protocol.name!r} "
        f"(fingerprint {baseline.fingerprint}, now {protocol.fingerprint}), "
        "so its numbers cannot be compared; measure the whole file again with --prunecal-update"
    )


def environments(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Describe how two environments differ: `torch 2.11.0 -> 2.12.0`; empty if they do not.

    What the baseline does not record is not compared, but for the base: none means that it was trained.
    """
    trained = {"base": "trained"}
    there, here = trained | dict(there), trained | dict(here)
    changed = [key for key in ENVIRONMENT_FIELDS if key in there and there[key] != here.get(key)]
    return ", ".join(f"{key} {there[key]} -> {here.get(key, 'unknown')}" for key in changed)
