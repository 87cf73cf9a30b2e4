"""Setting a session up: settings, the gate's place among what pytest collects, the gathering of results."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import options, settings
from pytest_prunecal.gate.controller import Results, TogetherReports
from pytest_prunecal.gate.options import SETTINGS
from pytest_prunecal.store.imports import is_first_party
from pytest_prunecal.study.extensions import Extensions

if TYPE_CHECKING:
    from pluggy import HookCaller

    from pytest_prunecal.gate.options import Options
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.study.extensions import Registrar


def configure(config: pytest.Config, asked: Options, named: list[Path]) -> None:
    """Check everything that was asked for and make room for the gate.

    Raises:
        pytest.UsageError: whatever is wrong, in one sentence.
    """
    in_grid = bool(asked.given & set(options.GRID))
    # Models of the ini file join the repository's tests; they do not join a path that somebody names.
    pathless = config.args_source != pytest.Config.ArgsSource.ARGS
    gated = bool(named) or in_grid or (asked.values["models"] is not None and pathless)
    is_worker = hasattr(config, "workerinput")
    try:
        found = _build(config, asked, named, gated=gated)
        if not is_worker:
            settings.check_writable(found)
    except PrunecalError as error:
        raise pytest.UsageError(f"prunecal: {error}") from None
    config.stash[SETTINGS] = found
    if not gated:
        return
    if not named:
        _collect(config, found.folder, alone=in_grid)
    if not is_worker:
        if len(named) == len(config.args) or config.args == [str(found.folder)]:
            _hand_out_singly(config)
        results = Results(found, config.rootpath)
        config.pluginmanager.register(results, "prunecal-results")
        config.pluginmanager.register(TogetherReports(results, found), "prunecal-together")


def _hand_out_singly(config: pytest.Config) -> None:
    """Have xdist hand out one cell at a time, unless the user says otherwise: each takes seconds or hours."""
    if getattr(config.option, "maxschedchunk", 0) is None:
        config.option.maxschedchunk = 1


def settings_of(config: pytest.Config) -> Settings:
    """The session's settings; the defaults if nothing was asked for.

    Raises:
        PrunecalError: a conftest.py adds something that it cannot add.
    """
    if SETTINGS not in config.stash:
        config.stash[SETTINGS] = _build(config, options.read(config), [], gated=False)
    return config.stash[SETTINGS]


def _build(config: pytest.Config, asked: Options, named: list[Path], *, gated: bool) -> Settings:
    began = config.pluginmanager.get_plugin(options.BEGAN)
    started = began.time if isinstance(began, options.Began) else time.time()
    return settings.build(asked, _extensions(config), config.rootpath, named, started, gated=gated)


def _collect(config: pytest.Config, folder: Path, *, alone: bool) -> None:
    """Put the gate among what pytest collects; alone if no path was named and the grid was asked for."""
    if alone and config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(folder)]
        config.args_source = pytest.Config.ArgsSource.ARGS
    elif not _reached(config, folder):
        config.args.append(str(folder))


def _reached(config: pytest.Config, folder: Path) -> bool:
    """Whether pytest comes by the folder anyway.

    Naming it besides would make pytest before 9 collect nothing else of the folder that it lies in, and later
    ones leave it out as named twice.

    Raises:
        pytest.UsageError: pytest comes by, but does not look into a folder of this name.
    """
    for argument in config.args:
        start = Path(os.path.normpath(config.invocation_params.dir / argument))
        if start in folder.parents:
            for part in folder.relative_to(start).parts:
                if any(fnmatch(part, pattern) for pattern in config.getini("norecursedirs")):
                    raise pytest.UsageError(
                        f"prunecal: pytest does not look for baselines in {folder}, as its norecursedirs "
                        f"names {part!r}; move them, or run the gate by itself"
                    )
            return True
    return False


def _extensions(config: pytest.Config) -> Extensions:
    hooks = config.hook
    return Extensions(
        models=_merged(config.hook.pytest_prunecal_models(config=config), "models"),
        pruners=_merged(config.hook.pytest_prunecal_pruners(config=config), "pruners"),
        datasets=_merged(config.hook.pytest_prunecal_datasets(config=config), "datasets"),
        metrics=_merged(config.hook.pytest_prunecal_metrics(config=config), "metrics"),
        registrars=_registrars(
            hooks.pytest_prunecal_models,
            hooks.pytest_prunecal_pruners,
            hooks.pytest_prunecal_datasets,
            hooks.pytest_prunecal_metrics,
        ),
        plugins=tuple(
            registrar
            for plugin in config.pluginmanager.get_plugins()
            for registrar in _module(plugin)
            if is_first_party(registrar[1])
        ),
        files=_declared(hooks.pytest_prunecal_files(config=config), config.rootpath),
    )


def _registrars(*hooks: HookCaller) -> tuple[Registrar, ...]:
    """The modules that implement some hooks."""
    implementations = (found for hook in hooks for found in hook.get_hookimpls())
    return tuple({registrar for found in implementations for registrar in _module(found.plugin)})


def _module(plugin: object) -> Iterator[Registrar]:
    """A plugin that is a module with a file."""
    if isinstance(plugin, ModuleType) and plugin.__file__:
        yield plugin.__name__, Path(plugin.__file__)


def _declared(answers: list[Any], root: Path) -> tuple[Path, ...]:
    """Files and folders that conftest.py files declare; relative ones lie below the root directory."""
    files: list[Path] = []
    for answer in answers:
        if isinstance(answer, (str, Path)) or not isinstance(answer, Iterable):
            raise PrunecalError(f"pytest_prunecal_files returned {answer!r}; return a list of paths")
        for entry in answer:
            if not isinstance(entry, (str, Path)):
                raise PrunecalError(f"pytest_prunecal_files names {entry!r}; name paths")
            path = root / entry
            if not path.exists():
                raise PrunecalError(f"pytest_prunecal_files names {entry}, and there is no {path}")
            files.append(path)
    return tuple(files)


def _merged(answers: list[Any], what: str) -> dict[str, Any]:
    """Merge what several conftest.py files add, none over another."""
    merged: dict[str, Any] = {}
    for answer in answers:
        if not isinstance(answer, dict):
            raise PrunecalError(f"pytest_prunecal_{what} returned a {type(answer).__name__}; return a dict")
        for name, entry in answer.items():
            if name in merged:
                raise PrunecalError(f"two conftest.py files add {name!r} through pytest_prunecal_{what}")
            merged[name] = entry
    return merged
