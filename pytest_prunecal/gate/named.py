"""Baselines that the command line names as paths; imported by every pytest run, as `options` is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.gate import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_prunecal.gate.readers import Written


def named_baselines(config: pytest.Config, asked: Mapping[str, Written]) -> list[Path]:
    """Files and folders at or below the baselines folder that stand on the command line.

    Many a repository has a folder `baselines` of its own: where nothing else is asked of
    the plugin, what holds no baseline of ours is left to pytest.
    """
    if config.args_source != config.ArgsSource.ARGS:
        return []
    folder: Path = options.read("baselines", asked, config.rootpath)
    paths = [
        Path(os.path.normpath(config.invocation_params.dir / argument.partition("::")[0]))
        for argument in config.args
    ]
    return [
        path
        for path in paths
        if (path == folder or folder in path.parents)
        and ((asked and (path.is_dir() or path.suffix == ".yaml")) or _holds_baselines(path, folder))
    ]


def _holds_baselines(path: Path, folder: Path) -> bool:
    if path.is_dir():
        files = path.glob("*/*.yaml" if path == folder else "*.yaml")
        return any(_holds_baselines(file, folder) for file in files)
    if path.suffix != ".yaml" or path.parent.parent != folder or not path.is_file():
        return False
    with path.open("rb") as file:
        return any(line.startswith(b"prunecal:") for line in file)
