"""Baselines that the command line names as paths; imported by every pytest run, as `options` is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.gate.readers import Written


def named_baselines(config: pytest.Config, asked: Mapping[str, Written]) -> list[Path]:
    """Files and folders at or below the baselines folder that stand on the command line.

    Many a repository has a folder `baselines` of its own: where nothing else is asked of
    the plugin, what holds no baseline of ours, or cannot be read, is left to pytest.

    Raises:
        pytest.UsageError: the baselines folder can be none.
    """
    if config.args_source != config.ArgsSource.ARGS:
        return []
    try:
        folder: Path = options.read("baselines", asked, config.rootpath)
    except PrunecalError as error:
        if not asked:
            return []
        raise pytest.UsageError(f"prunecal: {error}") from None
    paths = [
        Path(os.path.normpath(config.invocation_params.dir / argument.partition("::")[0]))
        for argument in config.args
    ]
    return [
        path
        for path in paths
        if (path == folder or folder in path.parents)
        and ((asked and (_is_folder(path) or path.suffix == ".yaml")) or _holds_baselines(path, folder))
    ]


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path's own raises where it may not look


def _holds_baselines(path: Path, folder: Path) -> bool:
    if _is_folder(path):
        files = path.glob("*/*.yaml" if path == folder else "*.yaml")
        return any(_holds_baselines(file, folder) for file in files)
    if path.suffix != ".yaml" or path.parent.parent != folder or not os.path.isfile(path):  # noqa: PTH113
        return False
    try:
        with path.open("rb") as file:
            return any(line.startswith(b"prunecal:") for line in file)
    except OSError:
        return False
