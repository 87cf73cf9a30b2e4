"""Setting a session up: settings, the gate's place among what pytest collects, the gathering of results."""

from __future__ import annotations

import os
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import options, settings
from pytest_prunecal.gate.engine import engine_of
from pytest_prunecal.gate.stash import BEGAN, SETTINGS, Began, worker_of
from pytest_prunecal.gate.surroundings import surroundings
from pytest_prunecal.gate.user_code import extensions
from pytest_prunecal.study.paths import reason
from pytest_prunecal.study.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.gate.readers import Written
    from pytest_prunecal.gate.settings import Settings

LONGEST_ERROR = 2000
"""Characters of an error at the start of a session."""


def configure(config: pytest.Config, asked: Mapping[str, Written], named: list[Path]) -> None:
    """Check everything that was asked for and make room for the gate.

    Raises:
        pytest.UsageError: whatever is wrong, in one sentence.
    """
    gated = is_gated(config, asked, named)
    gathers = worker_of(config) is None
    try:
        found = _build(config, asked, named, gated=gated)
        if gathers and not found.options.plan:
            settings.check_device(found)
            measures = not config.getoption("collectonly", default=False)
            settings.check_writable(found, measures=measures)
            config.stash[SETTINGS] = found
            if measures:
                _admit(config, found)
    except PrunecalError as error:
        raise pytest.UsageError(line(f"prunecal: {error}", LONGEST_ERROR)) from None
    except (OSError, UnicodeError) as error:
        # Whatever nobody thought of: a name that is too long, a folder that may not be looked into.
        raise pytest.UsageError(line(f"prunecal: {_refused(error, asked)}", LONGEST_ERROR)) from None
    config.stash[SETTINGS] = found
    if not gated or found.options.plan:
        return
    if not named:
        _collect(config, found.folder, alone=_in_grid(asked))
    if gathers:
        if len(named) == len(config.args) or config.args == [str(found.folder)]:
            _hand_out_singly(config)
        _gather(config, found)


def _admit(config: pytest.Config, found: Settings) -> None:
    """Try every candidate before anything is measured; raises PrunecalError for one that cannot be."""
    candidates = [cell for file in found.files for cell in file.cells if cell.candidate]
    for cell in candidates:
        engine_of(config).admit(cell)


def is_gated(config: pytest.Config, asked: Mapping[str, Written], named: list[Path]) -> bool:
    """Whether the session has a gate at all."""
    # Models of the ini file join the repository's tests; they do not join a path that somebody names.
    pathless = config.args_source != pytest.Config.ArgsSource.ARGS
    return bool(named) or _in_grid(asked) or ("models" in asked and pathless)


def _in_grid(asked: Mapping[str, Written]) -> bool:
    """Whether the command line asks for the gate."""
    return any(written.given and options.ROWS[name].gates for name, written in asked.items())


def _refused(error: OSError | UnicodeError, asked: Mapping[str, Written]) -> str:
    """What the file system refused, and the option that named it, as far as that can be told."""
    place = os.fsdecode(error.filename) if isinstance(error, OSError) and error.filename else ""
    named = [str(written) for written in asked.values() if written.text.strip() and written.text in place]
    where = f" (see {', '.join(named)})" if named else ""
    return f"{place or 'a file'} cannot be used: {reason(error)}{where}"


def _gather(config: pytest.Config, found: Settings) -> None:
    """Gather results in this process."""
    from pytest_prunecal.gate.controller import Controller, PooledReports  # noqa: PLC0415 - no worker needs it
    from pytest_prunecal.gate.terminated import Terminated  # noqa: PLC0415 - likewise

    controller = Controller(found, config)
    config.pluginmanager.register(controller, "prunecal-controller")
    # Whoever comes later is called earlier.
    config.pluginmanager.register(PooledReports(controller, found), "prunecal-pooled")
    config.pluginmanager.register(Terminated(), "prunecal-terminated")


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
        config.stash[SETTINGS] = _build(config, options.asked(config), [], gated=False)
    found: Settings = config.stash[SETTINGS]
    return found


def _build(
    config: pytest.Config, asked: Mapping[str, Written], named: list[Path], *, gated: bool
) -> Settings:
    began = config.pluginmanager.get_plugin(BEGAN)
    started = began.time if isinstance(began, Began) else time.time()
    return settings.build(
        asked,
        extensions(config),
        config.rootpath,
        named,
        started,
        gated=gated,
        surroundings=surroundings(config.invocation_params.args),
    )


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
                        line(
                            f"prunecal: pytest does not look for baselines in {folder}, as its norecursedirs "
                            f"names {part!r}; move them, or run the gate by itself"
                        )
                    )
            return True
    return False
