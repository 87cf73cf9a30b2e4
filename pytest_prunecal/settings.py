"""All that the user asked for, checked: options and files -> one frozen `Settings`."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal import baseline as baselines
from pytest_prunecal import metric
from pytest_prunecal.cell import Cell, baseline_name, grid, unique_ratios
from pytest_prunecal.datasets import DATASETS
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.models import MODELS
from pytest_prunecal.options import UPDATES, Options
from pytest_prunecal.protocol import Protocol, built_in_names, load
from pytest_prunecal.pruners import PRUNERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_prunecal.baseline import Baseline
    from pytest_prunecal.extensions import Extensions
    from pytest_prunecal.metric import Metric

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_MODEL_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
        checkpoints: by model name, a trained network to start from instead of base training.
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
    checkpoints: dict[str, Path]
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
    options: Options, extensions: Extensions, root: Path, named: Sequence[Path], *, gated: bool
) -> Settings:
    """Check everything and read every file that the session needs.

    Args:
        options: what was asked for.
        extensions: the user's own.
        root: pytest's root directory, where defaults lie.
        named: files and folders at or below the baselines folder that the command line names.
        gated: whether the session has a gate at all.

    Raises:
        PrunecalError: whatever is wrong, in one sentence.
    """
    directory = options.path("baselines", root / "baselines")
    assert directory is not None  # noqa: S101 - it has a default
    protocol, inferred = _protocol(options, directory, named)
    _check_extensions(extensions)
    _check_pruners(protocol.pruners, extensions)
    _check_dataset(protocol, extensions)
    files: tuple[GateFile, ...] = ()
    update = _update(options)
    if gated:
        files = _files(options, extensions, protocol, directory, named, update)
    store = options.values["store"] or str(root / ".prunecal")
    return Settings(
        protocol=protocol,
        extensions=extensions,
        metrics=metric.known(extensions.metrics.values()),
        folder=directory / protocol.name,
        files=files,
        update=update,
        checkpoints=_checkpoints(options, extensions),
        device=_device(options),
        data=_data(options),
        store=store if "://" in store else str(options.path("store", root / ".prunecal")),
        report=_report(options, "report"),
        json=_report(options, "json"),
        repeated=_repeated(options, inferred),
    )


def _repeated(options: Options, inferred: str | None) -> tuple[str, ...]:
    values = options.values | ({"protocol": inferred} if inferred else {})
    given = options.given | ({"protocol"} if inferred else set())
    names = [name for name in ("protocol", "baselines", "checkpoint", "data", "device") if name in given]
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


def _files(
    options: Options,
    extensions: Extensions,
    protocol: Protocol,
    directory: Path,
    named: Sequence[Path],
    update: str | None,
) -> tuple[GateFile, ...]:
    """Select the gate's cells and read their baselines."""
    folder = directory / protocol.name
    shown = _shown(folder)
    if not folder.is_dir() and update is None:
        raise PrunecalError(
            f"there is no folder {shown} with baselines of protocol {protocol.name!r}; "
            "accept this machine's numbers with --prunecal-update, or name another folder with "
            "--prunecal-baselines=DIR"
        )
    pruners = _names(options, "pruners", "pruner", [*PRUNERS, *extensions.pruners]) or list(protocol.pruners)
    pruners = [
        *(name for name in protocol.pruners if name in pruners),
        *(set(pruners) - set(protocol.pruners)),
    ]
    texts = options.names("ratios")
    if texts is not None and not texts:
        raise PrunecalError("--prunecal-ratios selects nothing; give ratios such as 0.3,0.5")
    ratios = protocol.ratios if texts is None else unique_ratios(texts)
    models = _models(options, extensions, folder, named)
    files = []
    for model in models:
        path = baselines.path_of(directory, protocol.name, model)
        name = _shown(path)
        found = baselines.read(path, name) if path.is_file() else None
        cells = tuple(grid(model, pruners, ratios))
        if not cells:
            raise PrunecalError("the grid is empty: no pruner and no dense cell is selected")
        full = frozenset(cell.id for cell in grid(model, protocol.pruners, protocol.ratios))
        if found is not None:
            baselines.check(found, model, protocol)
            _check_stale(found, protocol, update, {cell.id for cell in cells} | (set(found.cells) - full))
        files.append(GateFile(model, path, name, found, cells, full))
    return tuple(files)


def _check_stale(found: Baseline, protocol: Protocol, update: str | None, replaced: Collection[str]) -> None:
    """Refuse numbers of another version of the protocol, unless this run replaces all of them."""
    reason = baselines.stale(found, protocol)
    if reason and (update != "all" or not set(found.cells) <= set(replaced)):
        raise PrunecalError(reason)


def _models(options: Options, extensions: Extensions, folder: Path, named: Sequence[Path]) -> list[str]:
    """Models to gate: those asked for, else those whose baseline files are named, else all in the folder."""
    asked = _names(options, "models", "model", [*MODELS, *extensions.models])
    if asked is not None:
        files = [baseline_name(model) for model in asked]
        twice = [name for name in files if files.count(name) > 1]
        if twice:
            raise PrunecalError(f"two models of --prunecal-models share the baseline file {twice[0]}.yaml")
        return asked
    paths = [path for path in named if path.is_file()]
    if not paths or any(path.is_dir() for path in named):
        paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise PrunecalError(f"{_shown(folder)} has no baselines; say what to gate with --prunecal-models=A,B")
    models = []
    for path in dict.fromkeys(paths):
        name = _shown(path)
        found = baselines.read(path, name)
        if baseline_name(found.model) != path.stem:
            raise PrunecalError(
                f"{name}: is a baseline of model {found.model!r}, so its name must be "
                f"{baseline_name(found.model)}.yaml"
            )
        _check_model(found.model, [*MODELS, *extensions.models], f"{name}: ")
        models.append(found.model)
    return models


def _names(options: Options, option: str, what: str, known: Sequence[str]) -> list[str] | None:
    """Read a list of names, each known and none twice."""
    names = options.names(option)
    if names is None:
        return None
    if not names:
        raise PrunecalError(f"--prunecal-{option} selects nothing; known are {', '.join(known)}")
    for name in names:
        if names.count(name) > 1:
            raise PrunecalError(f"{what} {name!r} is given twice; name each {what} once")
        if what == "model":
            _check_model(name, known, "")
        elif name not in known:
            raise PrunecalError(_unknown(what, name, known))
    return names


def _check_model(name: str, known: Sequence[str], where: str) -> None:
    if name in known:
        return
    if not _MODEL_PATH.fullmatch(name):
        raise PrunecalError(where + _unknown("model", name, known) + ", or give package.module:callable")
    module = name.partition(":")[0]
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise PrunecalError(f"{where}model {name!r}: there is no module {module!r} to import")


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown {what} {name!r}{hint}; known are {', '.join(known)}"


def _check_extensions(extensions: Extensions) -> None:
    for what, own, built_in in (
        ("model", extensions.models, MODELS),
        ("pruner", extensions.pruners, PRUNERS),
        ("data set", extensions.datasets, DATASETS),
        ("metric", extensions.metrics, {*metric.METRICS, *baselines.CELL_FIELDS}),
    ):
        for name in own:
            if name in built_in:
                raise PrunecalError(
                    f"conftest.py adds {what} {name!r}, which is built in; give it another name"
                )
            if not _NAME.fullmatch(name):
                raise PrunecalError(f"conftest.py adds {what} {name!r}; use letters, digits and underscores")


def _check_pruners(pruners: Sequence[str], extensions: Extensions) -> None:
    for name in pruners:
        if name not in PRUNERS and name not in extensions.pruners:
            raise PrunecalError("the protocol's " + _unknown("pruner", name, [*PRUNERS, *extensions.pruners]))


def _check_dataset(protocol: Protocol, extensions: Extensions) -> None:
    name = str(protocol.dataset["name"])
    if name not in DATASETS and name not in extensions.datasets:
        known = [*DATASETS, *extensions.datasets]
        raise PrunecalError(f"protocol {protocol.name!r}: " + _unknown("data set", name, known))


def _update(options: Options) -> str | None:
    update = options.values["update"]
    if update is not None and update not in UPDATES:
        raise PrunecalError(
            f"--prunecal-update takes {', '.join(UPDATES)} or nothing, not {update!r}; "
            "a path belongs before it, or write --prunecal-update=all"
        )
    return update


def _checkpoints(options: Options, extensions: Extensions) -> dict[str, Path]:
    """Read `MODEL=FILE,…`; what is inside a file is checked when a network is loaded from it."""
    checkpoints: dict[str, Path] = {}
    for text in options.names("checkpoint") or ():
        model, equals, file = text.partition("=")
        if not equals or not file:
            raise PrunecalError(
                f"--prunecal-checkpoint={text}: write MODEL=FILE, such as resnet20=base.safetensors"
            )
        _check_model(model, [*MODELS, *extensions.models], "--prunecal-checkpoint: ")
        if model in checkpoints:
            raise PrunecalError(f"--prunecal-checkpoint names {model!r} twice; give one file a model")
        path = options.directories["checkpoint"] / file
        if not path.is_file():
            raise PrunecalError(f"--prunecal-checkpoint={text}: there is no file {path}")
        checkpoints[model] = path
    return checkpoints


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


def _report(options: Options, name: str) -> Path | None:
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
    for folder, shown in places:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PrunecalError(f"{_shown(shown)} cannot be written: {error.strerror or error}") from None


def _shown(path: Path) -> str:
    """A path as people see it: relative to where they are, if it lies below."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return os.fspath(path)
