"""The gate: which cells this session measures, and what their baselines say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal import baseline as baselines
from pytest_prunecal.cell import Cell, baseline_name, canonical_order, grid, unique_ratios
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.given import Bases, GivenBase
from pytest_prunecal.names import check_model, models_of, pruners_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_prunecal.baseline import Baseline
    from pytest_prunecal.extensions import Extensions
    from pytest_prunecal.options import Options
    from pytest_prunecal.protocol import Protocol


_PIN_AGAIN = "train it anew with --prunecal-update --prunecal-pin"


@dataclass(frozen=True)
class GateFile:
    """One model's part of the gate.

    Attributes:
        model: the model's name.
        path: its baseline file, which need not exist yet.
        name: the file as shown to people.
        baseline: what the file says; None if there is none.
        cells: the selected cells, in the order in which they are measured.
        grid: ids of all cells of the protocol's grid, selected or not.
    """

    model: str
    path: Path
    name: str
    baseline: Baseline | None
    cells: tuple[Cell, ...]
    grid: frozenset[str]


def select(
    options: Options,
    extensions: Extensions,
    protocol: Protocol,
    directory: Path,
    named: Sequence[Path],
    update: str | None,
) -> tuple[GateFile, ...]:
    """Select the gate's cells and read their baselines.

    Args:
        options: what was asked for.
        extensions: the user's own.
        protocol: whose grid is narrowed.
        directory: the baselines folder.
        named: files and folders at or below it that the command line names.
        update: whether, and which, baselines are to be refreshed.

    Raises:
        PrunecalError: the selection is empty or names what is not there, or a baseline cannot be used.
    """
    folder = directory / protocol.name
    if not folder.is_dir() and update is None:
        raise PrunecalError(
            f"there is no folder {shown(folder)} with baselines of protocol {protocol.name!r}; "
            "accept this machine's numbers with --prunecal-update, or name another folder with "
            "--prunecal-baselines=DIR"
        )
    asked = pruners_of(options, extensions) or list(protocol.pruners)
    pruners = sorted(asked, key=lambda name: canonical_order(Cell("", name, 0), protocol.pruners))
    texts = options.names("ratios")
    if texts is not None and not texts:
        raise PrunecalError("--prunecal-ratios selects nothing; give ratios such as 0.3,0.5")
    ratios = protocol.ratios if texts is None else unique_ratios(texts)
    files = []
    for model in _models(options, extensions, folder, named):
        path = baselines.path_of(directory, protocol.name, model)
        found = baselines.read(path, shown(path)) if path.exists() else None
        cells = tuple(grid(model, pruners, ratios))
        if not cells:
            raise PrunecalError("the grid is empty: no pruner and no dense cell is selected")
        full = frozenset(cell.id for cell in grid(model, protocol.pruners, protocol.ratios))
        if found is not None:
            baselines.check(found, model, protocol)
            _check_stale(found, protocol, update, {cell.id for cell in cells} | (set(found.cells) - full))
        files.append(GateFile(model, path, shown(path), found, cells, full))
    return tuple(files)


def pinned(files: Sequence[GateFile], protocol: Protocol) -> Bases:
    """Base networks that the gate's baseline files pin.

    Raises:
        PrunecalError: a file is missing, or was trained by another recipe than the protocol's.
    """
    bases: Bases = {}
    for file in files:
        for kind, base in (file.baseline.base if file.baseline else {}).items():
            path = file.path.parent / base.file
            if not path.is_file():
                raise PrunecalError(f"{file.name}: pins {base.file}, which is not beside it; {_PIN_AGAIN}")
            if base.recipe != protocol.base_fingerprint(file.model, kind):
                raise PrunecalError(
                    f"{file.name}: {base.file} was trained by another recipe than protocol {protocol.name!r} "
                    f"has now; {_PIN_AGAIN}"
                )
            bases[file.model, kind] = GivenBase(path, base.sha256)
    return bases


def _check_stale(found: Baseline, protocol: Protocol, update: str | None, replaced: Collection[str]) -> None:
    """Refuse numbers of another version of the protocol, unless this run replaces all of them."""
    reason = baselines.stale(found, protocol)
    if reason and (update != "all" or not set(found.cells) <= set(replaced)):
        raise PrunecalError(reason)


def _models(options: Options, extensions: Extensions, folder: Path, named: Sequence[Path]) -> list[str]:
    """Models to gate: those asked for, else those whose baseline files are named, else all in the folder."""
    asked = models_of(options, extensions)
    if asked is not None:
        return asked
    paths = [path for path in named if path.is_file()]
    if not paths or any(path.is_dir() for path in named):
        paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise PrunecalError(f"{shown(folder)} has no baselines; say what to gate with --prunecal-models=A,B")
    models = []
    for path in dict.fromkeys(paths):
        name = shown(path)
        found = baselines.read(path, name)
        if baseline_name(found.model) != path.stem:
            raise PrunecalError(
                f"{name}: is a baseline of model {found.model!r}, so its name must be "
                f"{baseline_name(found.model)}.yaml"
            )
        check_model(found.model, extensions, f"{name}: ")
        models.append(found.model)
    return models


def shown(path: Path) -> str:
    """A path as people see it: relative to where they are, if it lies below."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return os.fspath(path)
