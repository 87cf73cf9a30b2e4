"""All that the user asked for, checked: options and files -> one frozen `Settings`."""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.file import BASE_KINDS
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.options import UPDATES, Options
from pytest_prunecal.gate.registry import check_extensions, check_model, check_protocol
from pytest_prunecal.gate.selection import GateFile, pinned, select, shown
from pytest_prunecal.study import metric
from pytest_prunecal.study.given_base import Bases, GivenBase
from pytest_prunecal.study.protocol_file import built_in_names, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol

MOST_SEEDS = 100
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """All that the user asked for.

    Attributes:
        protocol: how cells are measured.
        extensions: the user's own models, pruners, data sets and metrics.
        metrics: every metric by name, in canonical order.
        folder: where this protocol's baselines lie.
        files: the gate, model by model; empty if the session has none.
        update: `all`, `missing`, `failing`, or None.
        seeds: how many seeds each cell is measured over, >= 1.
        fresh: whether stored measurements are ignored.
        started: when the session began, in seconds since the epoch.
        power: whether the summary lists what each comparison can see.
        pin: whether the base networks are to be kept beside the baselines.
        bases: trained networks to start from instead of base training.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data: the user's data folder.
        store: directory or URL of the store.
        report: where the report for people goes.
        json: where the report for programs goes.
        repeated: options of this command line that a command must repeat to mean the same protocol and files.
    """

    protocol: Protocol
    extensions: Extensions
    metrics: Mapping[str, Metric]
    folder: Path
    files: tuple[GateFile, ...]
    update: str | None
    seeds: int
    fresh: bool
    started: float
    power: bool
    pin: bool
    bases: Bases
    device: str
    data: Path | None
    store: str
    report: Path | None
    json: Path | None
    repeated: tuple[str, ...]

    def accept_command(self, model: str, cells: Sequence[Cell] = ()) -> str:
        """The command that accepts the numbers of a model, or of some of its cells."""
        words = ["pytest", shlex.quote(f"--prunecal-models={model}"), *self.repeated]
        pruners = dict.fromkeys(cell.pruner for cell in cells if cell.pruner)
        if pruners:
            words.append(f"--prunecal-pruners={','.join(pruners)}")
        if cells:
            ratios = dict.fromkeys(f"{cell.ratio:g}" for cell in cells)
            words.append(f"--prunecal-ratios={','.join(ratios)}")
        return " ".join([*words, "--prunecal-update"])


def build(
    options: Options,
    extensions: Extensions,
    root: Path,
    named: Sequence[Path],
    started: float,
    *,
    gated: bool,
) -> Settings:
    """Check everything and read every file that the session needs.

    Args:
        options: what was asked for.
        extensions: the user's own.
        root: pytest's root directory, where defaults lie.
        named: files and folders at or below the baselines folder that the command line names.
        started: when the session began, in seconds since the epoch.
        gated: whether the session has a gate at all.

    Raises:
        PrunecalError: whatever is wrong, in one sentence.
    """
    directory = options.path("baselines", root / "baselines")
    assert directory is not None  # noqa: S101 - it has a default
    protocol, inferred = _protocol(options, directory, named)
    check_extensions(extensions)
    check_protocol(protocol, extensions)
    files: tuple[GateFile, ...] = ()
    update = _update(options)
    pin = _pin(options, update)
    if gated:
        files = select(options, extensions, protocol, directory, named, update)
    store = options.values["store"] or str(root / ".prunecal")
    return Settings(
        protocol=protocol,
        extensions=extensions,
        metrics=metric.known(extensions.metrics.values()),
        folder=directory / protocol.name,
        files=files,
        update=update,
        seeds=_seeds(options),
        fresh=options.values["fresh"] is not None,
        started=started,
        power=options.values["power"] is not None,
        pin=pin,
        bases=({} if pin else pinned(files, protocol)) | _checkpoints(options, extensions),
        device=_device(options),
        data=_data(options),
        store=store if "://" in store else str(options.path("store", root / ".prunecal")),
        report=_report(options, "report", gated=gated),
        json=_report(options, "json", gated=gated),
        repeated=_repeated(options, inferred),
    )


def _repeated(options: Options, inferred: str | None) -> tuple[str, ...]:
    values = options.values | ({"protocol": inferred} if inferred else {})
    given = options.given | ({"protocol"} if inferred else set())
    names = [
        name for name in ("protocol", "baselines", "seeds", "checkpoint", "data", "device") if name in given
    ]
    return tuple(shlex.quote(f"--prunecal-{name}={values[name]}") for name in names)


def _protocol(options: Options, directory: Path, named: Sequence[Path]) -> tuple[Protocol, str | None]:
    """The protocol asked for, else that of the baselines named, else the ini file's, else `quick`.

    Returns:
        The protocol, and its name where only the named baselines say it.
    """
    folders = {path.relative_to(directory).parts[0] for path in named if path != directory}
    spec = options.values["protocol"]
    if spec is not None:
        protocol = load(spec, options.directories["protocol"])
        if "protocol" in options.given or folders <= {protocol.name}:
            return protocol, None
    if not folders:
        return load("quick", directory), None
    if len(folders) > 1:
        raise PrunecalError(
            f"baselines of several protocols are named ({', '.join(sorted(folders))}); "
            "gate one protocol at a time"
        )
    (folder,) = folders
    if folder not in built_in_names():
        raise PrunecalError(
            f"{directory / folder} holds baselines of protocol {folder!r}, which is not built in; "
            "name its file with --prunecal-protocol=PATH"
        )
    return load(folder, directory), folder


def _update(options: Options) -> str | None:
    update = options.values["update"]
    if update is not None and update not in UPDATES:
        raise PrunecalError(
            f"--prunecal-update takes {', '.join(UPDATES)} or nothing, not {update!r}; "
            "a path belongs before it, or write --prunecal-update=all"
        )
    return update


def _pin(options: Options, update: str | None) -> bool:
    pin = options.values["pin"] is not None
    if pin and (options.values["pruners"] is not None or options.values["ratios"] is not None):
        raise PrunecalError("--prunecal-pin needs the whole grid: no cell may keep numbers of another base")
    if pin and update != "all":
        raise PrunecalError("--prunecal-pin goes with a bare --prunecal-update: it renews the base networks")
    if pin and options.values["checkpoint"] is not None:
        raise PrunecalError("--prunecal-pin keeps what base training gives; it does not go with a checkpoint")
    if pin and "://" in (options.values["store"] or ""):
        raise PrunecalError(
            "--prunecal-pin needs a store on this machine; give a folder, --prunecal-store=DIR"
        )
    return pin


def _checkpoints(options: Options, extensions: Extensions) -> Bases:
    """Read `MODEL=FILE,…`; what is inside a file is checked when a network is loaded from it."""
    bases: Bases = {}
    for text in options.names("checkpoint") or ():
        model, equals, file = text.partition("=")
        if not equals or not file:
            raise PrunecalError(
                f"--prunecal-checkpoint={text}: write MODEL=FILE, such as resnet20=base.safetensors"
            )
        check_model(model, extensions, "--prunecal-checkpoint: ")
        if (model, "plain") in bases:
            raise PrunecalError(f"--prunecal-checkpoint names {model!r} twice; give one file a model")
        path = options.directories["checkpoint"] / file
        if not path.is_file():
            raise PrunecalError(f"--prunecal-checkpoint={text}: there is no file {path}")
        bases |= {(model, kind): GivenBase(path) for kind in BASE_KINDS}
    return bases


def _seeds(options: Options) -> int:
    text = options.values["seeds"] or "1"
    if not text.strip().isdecimal() or not 1 <= int(text) <= MOST_SEEDS:
        raise PrunecalError(f"--prunecal-seeds={text}: give a whole number from 1 to {MOST_SEEDS}")
    return int(text)


def _device(options: Options) -> str:
    device = options.values["device"] or "auto"
    if not _DEVICE.fullmatch(device):
        raise PrunecalError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:1")
    return device


def _data(options: Options) -> Path | None:
    data = options.path("data")
    if data is not None and not data.is_dir():
        raise PrunecalError(f"--prunecal-data={data}: there is no such folder")
    return data


def _report(options: Options, name: str, *, gated: bool) -> Path | None:
    if name in options.given and not gated:
        raise PrunecalError(
            f"--prunecal-{name} has no gate to report; say what to gate: --prunecal-models=A,B"
        )
    path = options.path(name)
    if path is not None and path.is_dir():
        raise PrunecalError(f"--prunecal-{name}={path} is a folder; name a file")
    return path


def check_writable(settings: Settings) -> None:
    """Make sure, before anything is measured, that what this session will write can be written.

    Creates missing folders. For the process that writes only: never under an xdist worker.

    Raises:
        PrunecalError: a place cannot be written.
    """
    places = [(path.parent, path) for path in (settings.report, settings.json) if path]
    if settings.update and settings.files:
        places.append((settings.folder, settings.folder))
    for folder, place in places:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PrunecalError(f"{shown(place)} cannot be written: {error.strerror or error}") from None
