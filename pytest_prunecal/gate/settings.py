"""All that the user asked for, checked: options and files -> one frozen `Settings`."""

from __future__ import annotations

import shlex
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.atomic import make_folder
from pytest_prunecal.baseline.file import BASE_KINDS
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.candidates import candidates_of
from pytest_prunecal.gate.options import ROWS, Options
from pytest_prunecal.gate.readers import Written
from pytest_prunecal.gate.registry import check_extensions, check_model, check_protocol, levels_of
from pytest_prunecal.gate.selection import GateFile, Narrowed, pinned, select, shown
from pytest_prunecal.study import metric, recovery, weights_file
from pytest_prunecal.study.cell import Cell, grid
from pytest_prunecal.study.given_base import Bases, GivenBase
from pytest_prunecal.study.paths import reason
from pytest_prunecal.study.protocol_file import built_in_names, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_prunecal.study.candidate import Candidates
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol

_ROOM = 48
"""Bytes by which the longest name beside a baseline, while it is written, is longer than the baseline's."""


@dataclass(frozen=True)
class Settings:
    """All that the user asked for, and what was made of it.

    Attributes:
        options: what was asked for, option by option.
        narrowed: whether the command line narrows the grid.
        surroundings: options of pytest's own that a command must repeat to find the same configuration.
        repeated: options that a command must repeat to mean the same protocol, files and measurements.
        protocol: how cells are measured, and how often one that is in doubt.
        extensions: the user's own models, pruners, data sets and metrics.
        metrics: every metric by name, in canonical order.
        folder: where this protocol's baselines lie.
        files: the gate, model by model; empty if the session has none.
        bases: trained networks to start from instead of base training.
        candidates: finished networks that are measured as they are, all that the session knows.
        started: when the session began, in seconds since the epoch.
        recovery: whether a rule of recovery is in play.
    """

    options: Options
    narrowed: bool
    surroundings: tuple[str, ...]
    repeated: tuple[str, ...]
    protocol: Protocol
    extensions: Extensions
    metrics: Mapping[str, Metric]
    folder: Path
    files: tuple[GateFile, ...]
    bases: Bases
    candidates: Candidates
    started: float
    recovery: bool = False

    def accept_command(self, file: GateFile, cells: Sequence[Cell]) -> str:
        """The command that accepts the numbers of these cells of a model and of no others; empty for none."""
        if not cells:
            return ""
        by_grid = [cell for cell in cells if not cell.candidate]
        words = ["pytest", *self.surroundings]
        words += [f"--prunecal-models={file.model}"] if by_grid else []
        words += [*self.repeated, *self._candidates(file.model, cells)]
        # An update of the whole grid may remove cells: no command does that which was not asked to.
        if self.narrowed or file.orphans or set(cells) != set(file.cells):
            words += self._narrowing(file.model, by_grid, cells)
        return shlex.join([*words, "--prunecal-update"])

    def _candidates(self, model: str, cells: Sequence[Cell]) -> list[str]:
        """Options that give again those of the cells that a command line gave."""
        wanted = {cell.candidate for cell in cells}
        return [
            f"--prunecal-candidate={given.text}"
            for given in self.options.candidate
            if given.model == model and given.name in wanted and given.given
        ]

    def _narrowing(self, model: str, by_grid: Sequence[Cell], cells: Sequence[Cell]) -> list[str]:
        """Options that select some cells of a model and no others."""
        pruners = list(dict.fromkeys(cell.pruner for cell in by_grid if cell.pruner))
        levels = levels_of(pruners, self.extensions)
        ratios = list(dict.fromkeys(cell.ratio for cell in by_grid if cell.pruner not in levels))
        words = [f"--prunecal-pruners={','.join(pruners)}"] if pruners else []
        if by_grid and (ratios or not levels):
            words.append(f"--prunecal-ratios={','.join(f'{ratio:g}' for ratio in ratios)}")
        selected = {
            cell.id
            for cell in (grid(model, pruners, ratios or self.protocol.ratios, levels) if words else ())
        }
        selected |= {
            Cell(model, None, 0.0, candidate=one.name).id
            for one in self.candidates.values()
            if one.given or not by_grid
        }
        if selected != {cell.id for cell in cells}:
            words += ["-k", " or ".join(f"prune[{cell.id}]" for cell in cells)]
        return words


def build(
    asked: Mapping[str, Written],
    extensions: Extensions,
    root: Path,
    named: Sequence[Path],
    started: float,
    *,
    gated: bool,
    surroundings: tuple[str, ...] = (),
) -> Settings:
    """Check everything and read every file that the session needs.

    Args:
        asked: what was asked for, by option.
        extensions: the user's own.
        root: pytest's root directory, where defaults lie.
        named: files and folders at or below the baselines folder that the command line names.
        started: when the session began, in seconds since the epoch.
        gated: whether the session has a gate at all.
        surroundings: see `Settings`.

    Raises:
        PrunecalError: whatever is wrong, in one sentence.
    """
    options = Options(asked, root)
    protocol, inferred = _protocol(options, named)
    if options.repeat is not None:
        protocol = replace(protocol, repeat=options.repeat)
    check_extensions(extensions)
    check_protocol(protocol, extensions)
    metrics = metric.known(extensions.metrics.values())
    recovery.check(protocol.recovery, metrics)
    _check_pin(options)
    if not gated:
        _check_reports(asked)
    candidates = candidates_of(options, extensions, root)
    narrowed = _narrowed(asked)
    files = select(options, extensions, protocol, named, candidates, narrowed) if gated else ()
    bases = ({} if options.pin else pinned(files, protocol)) | _checkpoints(options, extensions)
    if gated:
        _check_gated(asked, options, files, narrowed=bool(named))
    for base in dict.fromkeys(bases.values()):
        weights_file.check(base.path, base.name)
    return Settings(
        options=options,
        narrowed=narrowed.any,
        surroundings=surroundings,
        repeated=_repeated(asked, inferred),
        protocol=protocol,
        extensions=extensions,
        metrics=metrics,
        folder=options.baselines / protocol.name,
        files=files,
        bases=bases,
        candidates=candidates,
        started=started,
        recovery=any(file.recovery(cell, protocol) for file in files for cell in file.cells)
        or (not gated and bool(protocol.recovery)),
    )


def _narrowed(asked: Mapping[str, Written]) -> Narrowed:
    given = {name for name, written in asked.items() if written.given}
    models = "models" in given
    return Narrowed(bool(given & {"pruners", "ratios"}), models, "candidate" in given and not models)


def _repeated(asked: Mapping[str, Written], inferred: Written | None) -> tuple[str, ...]:
    given = {name: written for name, written in asked.items() if written.given}
    if inferred:
        given["protocol"] = inferred
    return tuple(
        str(given[name]._replace(text=text))
        for name, row in ROWS.items()
        if row.repeated and name in given
        for text in (given[name].text.splitlines() if row.several else [given[name].text])
    )


def _protocol(options: Options, named: Sequence[Path]) -> tuple[Protocol, Written | None]:
    """The protocol asked for, else that of the baselines named, else the ini file's, else `quick`.

    Returns:
        The protocol, and the option that would ask for it where only the named baselines do.
    """
    directory, asked = options.baselines, options.protocol
    folders = {path.relative_to(directory).parts[0] for path in named if path != directory}
    if asked is not None:
        protocol = load(asked.text, asked.folder)
        if asked.given or folders <= {protocol.name}:
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
    return load(folder, directory), Written("protocol", folder, directory)


def _check_pin(options: Options) -> None:
    if not options.pin:
        return
    if options.update != "all":
        raise PrunecalError("--prunecal-pin goes with a bare --prunecal-update: it renews the base networks")
    if options.checkpoint:
        raise PrunecalError("--prunecal-pin keeps what base training gives; it does not go with a checkpoint")
    if "://" in options.store:
        raise PrunecalError(
            "--prunecal-pin needs a store on this machine; give a folder, --prunecal-store=DIR"
        )


def _check_reports(asked: Mapping[str, Written]) -> None:
    for name in ("report", "json"):
        if name in asked and asked[name].given:
            raise PrunecalError(
                f"--prunecal-{name} has no gate to report; say what to gate: --prunecal-models=A,B"
            )


def _checkpoints(options: Options, extensions: Extensions) -> Bases:
    """The user's own trained networks; one serves as a base of either kind."""
    for model in options.checkpoint:
        check_model(model, extensions, "--prunecal-checkpoint: ")
    return {
        (model, kind): GivenBase(path) for model, path in options.checkpoint.items() for kind in BASE_KINDS
    }


def _check_gated(
    asked: Mapping[str, Written], options: Options, files: Sequence[GateFile], *, narrowed: bool
) -> None:
    """Refuse a checkpoint that nothing would start from: its model would be trained, or is not meant.

    An ini file may name checkpoints of models that a command line leaves out.
    """
    if not options.checkpoint:
        return
    if not asked["checkpoint"].given and (narrowed or ("models" in asked and asked["models"].given)):
        return
    gated = [file.model for file in files]
    for model in options.checkpoint:
        if model not in gated:
            raise PrunecalError(
                f"--prunecal-checkpoint: {model} is not gated here, only {', '.join(gated)}; name it in "
                "--prunecal-models, or leave its checkpoint out"
            )


def check_device(settings: Settings) -> None:
    """Refuse a GPU that this machine does not have, as far as that is known without torch.

    Raises:
        PrunecalError: there is no such device.
    """
    device = settings.options.device
    if not settings.files or not device.startswith("cuda"):
        return
    from pytest_prunecal.store.environment import cuda_devices, no_such_device  # noqa: PLC0415 - few ask

    count = cuda_devices()
    if count is not None and int(device.partition(":")[2] or 0) >= count:
        raise PrunecalError(no_such_device(device, count))


def check_writable(settings: Settings, *, measures: bool) -> None:
    """Make sure, before anything is measured, that what this session will write can be written.

    Creates missing folders. For the process that writes only: never under an xdist worker.

    Args:
        settings: of the session.
        measures: whether it needs the store; not if it only collects.

    Raises:
        PrunecalError: a place cannot be written.
    """
    options = settings.options
    places = [(path.parent, path) for path in (options.report, options.json) if path]
    if settings.files and not (options.update or settings.folder.is_dir()):
        places.append((settings.folder, settings.folder))  # pytest collects from it; it goes again if empty
    if options.update and settings.files:
        places.append((settings.folder, settings.folder))
        places += [(settings.folder, file.path) for file in settings.files]
    for folder, place in places:
        try:
            # What is written passes through a name that is longer than the last.
            there = next(parent for parent in (folder, *folder.parents) if parent.exists())
            with suppress(FileNotFoundError):
                (there / (place.name + _ROOM * "x")).lstat()
            make_folder(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PrunecalError(f"{shown(place)} cannot be written: {reason(error)}") from None
    if settings.files and measures:
        from pytest_prunecal.store.store import Store  # noqa: PLC0415 - a run that only collects needs none

        Store(options.store).check_writable()
