"""Baseline files: the accepted numbers of one model under one protocol, read into frozen types."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import recovery, uncertainty, yaml_reader
from pytest_prunecal.study.cell import baseline_name, cell_from_id
from pytest_prunecal.study.tolerance import Tolerance, read_tolerances, resolve
from pytest_prunecal.study.yaml_schema import check_format, either, mapping_of, optional, record, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.recovery import Recovery
    from pytest_prunecal.study.uncertainty import Uncertainty
    from pytest_prunecal.study.yaml_reader import Value
    from pytest_prunecal.study.yaml_schema import Reader

FORMAT = 1
BASE_KINDS = ("plain", "slimmed")
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
        network: SHA-256, in hex, of the file of the finished network that was accepted; empty for a cell that
            is trained, and for one that something builds.
        recovery: this cell's own rules by metric; None where it has none to say, empty where it wants none.
    """

    metrics: dict[str, Number]
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    line: int = 0
    uncertainty: dict[str, Uncertainty] = field(default_factory=dict)
    known: Known | None = None
    network: str = ""
    recovery: dict[str, Recovery] | None = None

    @property
    def seeds(self) -> int:
        """Over how many seeds it was measured."""
        return max((sure.seeds for sure in self.uncertainty.values()), default=1)


@dataclass(frozen=True)
class Known:
    """A regression that people know of: the cell is expected to fail.

    Attributes:
        reason: why it is tolerated.
        where: `file:line`.
        until: last day on which it is; None for ever.
    """

    reason: str
    where: str
    until: date | None = None

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
        cells: accepted cells by id, in file order.
        environment: where they were measured.
        base: pinned base networks by kind, `plain` or `slimmed`.
        images: where the results by image are; None if there are none.
        tolerance: the file's rules by metric, over the protocol's.
        recovery: likewise the file's rules of recovery; None where it has none to say.
    """

    name: str
    model: str
    protocol: str
    fingerprint: str
    cells: dict[str, AcceptedCell]
    environment: dict[str, str] = field(default_factory=dict)
    base: dict[str, PinnedBase] = field(default_factory=dict)
    images: ImagesFile | None = None
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    recovery: dict[str, Recovery] | None = None

    def tolerances_of(self, cell_id: str, protocol: Protocol) -> dict[str, Tolerance]:
        """Rules that apply to one cell: its own over the file's over the protocol's."""
        cell = self.cells.get(cell_id)
        return resolve(protocol.tolerance, self.tolerance, cell.tolerance if cell else {})

    def recovery_of(self, cell_id: str, protocol: Protocol) -> dict[str, Recovery]:
        """Rules of recovery that apply to one cell, likewise."""
        cell = self.cells.get(cell_id)
        return recovery.resolve(protocol.recovery, self.recovery, cell.recovery if cell else None)

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


def parse(content: str, name: str) -> Baseline:
    """Read a baseline from its text; see `read`."""
    top = yaml_reader.parse(content, name)
    check_format(top, "baseline", FORMAT)
    return Baseline(name=name, **_BASELINE(top))


def empty(value: Value) -> bool:
    """Whether nothing stands behind a key."""
    return value.content is None and value.scalar() is None


def _cells(value: Value) -> dict[str, AcceptedCell]:
    return {} if empty(value) else {key: _cell(key, cell) for key, cell in value.mapping().items()}


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
        line=line,
        uncertainty={key: sure for key, (_, sure) in numbers.items() if sure != uncertainty.UNKNOWN},
        **{key: read_field(entries[key]) for key, read_field in CELL_FIELDS.items() if key in entries},
    )


def _known(value: Value) -> Known:
    """Read `known: why`, or `known: {reason: why, until: 2027-01-31}`."""
    return Known(**_REASON(value), where=value.where)


def _day(value: Value) -> date:
    try:
        return date.fromisoformat(value.text())
    except ValueError:
        value.fail(f"{value.label} is no date; write one such as 2027-01-31")


def _sha256(value: Value) -> str:
    found = value.text()
    if not _SHA256.fullmatch(found):
        value.fail(f"{value.label} must be a SHA-256, 64 hex digits, as --prunecal-update writes it")
    return found


def _beside(value: Value) -> str:
    """Read the name of a file that lies beside this one."""
    name = value.text()
    # The same on every system: a backslash parts folders on one of them.
    if name in ("", ".", "..") or "/" in name or "\\" in name or ":" in name or not name.isprintable():
        value.fail(f"{value.label} must be the name of a file in this folder")
    return name


_SHA256 = re.compile("[0-9a-f]{64}")

_ENVIRONMENT = mapping_of(text, ENVIRONMENT_FIELDS)

_REASON: Reader[dict[str, Any]] = either(
    lambda value: {"reason": value.text()},
    record(
        dict,
        "{label} has no reason; write {{reason: why it is tolerated, until: 2027-01-31}}",
        reason=text,
        until=optional(_day),
    ),
)

CELL_FIELDS: dict[str, Reader[Any]] = {
    "note": text,
    "known": _known,
    "environment": _ENVIRONMENT,
    "network": _sha256,
    "tolerance": read_tolerances,
    "recovery": recovery.read,
}
"""What may stand in a cell beside its metrics; each is a field of `AcceptedCell`, too."""

_PINNED = record(
    PinnedBase,
    "{label} needs file, sha256 and recipe, as --prunecal-pin writes them",
    file=_beside,
    sha256=text,
    recipe=text,
)

_IMAGES = record(
    ImagesFile,
    "{label} needs file and sha256, as --prunecal-update writes them",
    file=_beside,
    sha256=text,
)

_BASELINE = record(
    lambda protocol, **fields: {**protocol, **fields},
    "this is no baseline file: it has no {key!r}",
    prunecal=None,
    model=text,
    protocol=record(
        lambda name, fingerprint: {"protocol": name, "fingerprint": fingerprint},
        "{label} has no {key!r}; write {{name: quick, fingerprint: 1a2b3c4d}}",
        name=text,
        fingerprint=text,
    ),
    environment=optional(_ENVIRONMENT),
    base=optional(mapping_of(_PINNED, BASE_KINDS)),
    images=optional(_IMAGES),
    tolerance=optional(read_tolerances),
    recovery=optional(recovery.read),
    cells=_cells,
)


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
