"""Command line and ini files -> `Settings`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

UPDATES = ("all", "missing", "failing")
GRID = ("models", "pruners", "ratios", "update")
"""Options that ask for the gate: with one of them and no path on the command line, only the gate runs."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "models": {"metavar": "A,B", "help": "models to gate: registered names, or package.module:callable"},
    "pruners": {"metavar": "A,B", "help": "narrow the grid to these pruners (default: the protocol's)"},
    "ratios": {
        "metavar": "X,Y",
        "help": "narrow the grid to these ratios, 0 is dense (default: the protocol's)",
    },
    "protocol": {"metavar": "NAME|PATH", "help": "protocol by name or by path (default: quick)"},
    "baselines": {"metavar": "DIR", "help": "folder of the accepted numbers (default: baselines)"},
    "update": {
        "metavar": "all|missing|failing",
        "nargs": "?",
        "const": "all",
        "help": "accept the measured numbers of the selected cells as the baseline (bare: all)",
    },
    "seeds": {"metavar": "K", "help": "repeat each cell over K seeds (default: 1)"},
    "fresh": {
        "action": "store_const",
        "const": "yes",
        "help": "measure every cell again, whatever the store has of earlier runs",
    },
    "power": {
        "action": "store_const",
        "const": "yes",
        "help": "list the smallest regression that each comparison catches",
    },
    "checkpoint": {
        "metavar": "MODEL=FILE",
        "help": "start from this trained network (safetensors) instead of base training; several with commas",
    },
    "pin": {
        "action": "store_const",
        "const": "yes",
        "help": "with --prunecal-update: keep the trained bases beside the baselines; later runs start there",
    },
    "device": {
        "metavar": "DEVICE",
        "help": "cpu, cuda, cuda:1 or auto (the default: workers spread over GPUs)",
    },
    "data": {"metavar": "DIR", "help": "where data sets are"},
    "store": {"metavar": "URL", "help": "where artefacts go: a path or an fsspec URL (default: .prunecal)"},
    "report": {"metavar": "PATH.html", "help": "write the report for people"},
    "json": {"metavar": "PATH", "help": "write the report for programs"},
}


class Options(NamedTuple):  # a dataclass takes longer to make, in every run of pytest
    """What was asked for, as written; None where nothing was.

    Attributes:
        values: option name to its text.
        directories: option name to what a relative path in it is relative to: the working directory for the
            command line, the ini file's folder for an ini file.
        given: names of the options that stand on the command line.
    """

    values: dict[str, str | None]
    directories: dict[str, Path]
    given: frozenset[str]

    @property
    def used(self) -> bool:
        """Whether anything was asked for at all."""
        return any(value is not None for value in self.values.values())

    def path(self, name: str, default: Path | None = None) -> Path | None:
        """Read an option as a path."""
        text = self.values[name]
        if text is None:
            return default
        # Kept as written but for `..`: symbolic links stay what people see.
        return Path(os.path.normpath(self.directories[name] / text))

    def names(self, name: str) -> list[str] | None:
        """Read an option as a comma-separated list."""
        text = self.values[name]
        return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def add(parser: pytest.Parser) -> None:
    """Register every option and its ini twin."""
    group = parser.getgroup("prunecal", "gating pruned networks (pytest-prunecal)")
    for name, settings in _OPTIONS.items():
        group.addoption(f"--prunecal-{name}", dest=f"prunecal_{name}", default=None, **settings)
        # A text, not a list: `prunecal_ratios = 0.1,0.2` means the same in an ini file and on a command line.
        parser.addini(f"prunecal_{name}", f"{settings['help']}; twin of --prunecal-{name}", default=None)


def read(config: pytest.Config) -> Options:
    """Read all options, the command line over the ini file."""
    values: dict[str, str | None] = {}
    directories: dict[str, Path] = {}
    given = set()
    ini_folder = config.inipath.parent if config.inipath else config.rootpath
    for name in _OPTIONS:
        text = config.getoption(f"prunecal_{name}")
        directories[name] = config.invocation_params.dir
        if text is not None:
            given.add(name)
        else:
            text = _from_ini(config, f"prunecal_{name}")
            directories[name] = ini_folder
        values[name] = text
    return Options(values, directories, frozenset(given))


def _from_ini(config: pytest.Config, name: str) -> str | None:
    """Read an ini option, None if it is not there or empty; raises UsageError if it is no text."""
    value = config.getini(name)
    if value is not None and not isinstance(value, str):
        raise pytest.UsageError(f'prunecal: {config.inipath}: {name} is no text; write {name} = "A,B"')
    return value or None


def named_baselines(config: pytest.Config, options: Options) -> list[Path]:
    """Files and folders at or below the baselines folder that stand on the command line.

    Many a repository has a folder `baselines` of its own: where nothing else is asked of
    the plugin, what holds no baseline of ours is left to pytest.
    """
    if config.args_source != config.ArgsSource.ARGS:
        return []
    folder = options.path("baselines", config.rootpath / "baselines")
    assert folder is not None  # noqa: S101 - it has a default
    paths = [
        Path(os.path.normpath(config.invocation_params.dir / argument.partition("::")[0]))
        for argument in config.args
    ]
    return [
        path
        for path in paths
        if (path == folder or folder in path.parents)
        and ((options.used and (path.is_dir() or path.suffix == ".yaml")) or _holds_baselines(path, folder))
    ]


def _holds_baselines(path: Path, folder: Path) -> bool:
    if path.is_dir():
        files = path.glob("*/*.yaml" if path == folder else "*.yaml")
        return any(_holds_baselines(file, folder) for file in files)
    if path.suffix != ".yaml" or path.parent.parent != folder or not path.is_file():
        return False
    with path.open("rb") as file:
        return any(line.startswith(b"prunecal:") for line in file)
