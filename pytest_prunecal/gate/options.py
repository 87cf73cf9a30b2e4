"""The options: a row each, which registers it and its ini twin and reads what was written.

Every pytest run in the environment imports this module, so it imports next to nothing and makes no dataclass,
which would take a millisecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, cast

import pytest

from pytest_prunecal.gate import readers
from pytest_prunecal.gate.readers import Given, Written
from pytest_prunecal.study.looks import MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")


class Row(NamedTuple):
    """What an option is.

    Attributes:
        metavar: how help calls its value; empty if it takes none.
        help: what it does.
        read: from what was written to its value; raises PrunecalError with one sentence.
        default: what is read, in pytest's root directory, where nothing is written; None for no value.
        bare: what the option stands for without a value on the command line; None if it needs one.
        several: whether a command line may give it several times; each is then a line of what was written.
        gates: whether it asks for the gate: with it and no path on the command line, only the gate runs.
        repeated: whether a command must repeat it to mean the same protocol, files and measurements.
    """

    metavar: str
    help: str
    read: Callable[[Written], Any]
    default: str | None = None
    bare: str | None = None
    several: bool = False
    gates: bool = False
    repeated: bool = False


def _option(metavar: str, help: str, read: Callable[[Written], T], **row: Any) -> T:  # noqa: A002, ANN401 - as `Row`
    return cast("T", Row(metavar, help, read, **row))


def _switch(help: str, **row: Any) -> bool:  # noqa: A002, ANN401 - as `Row`
    return _option("", help, readers.yes_or_no, default="no", bare="yes", **row)


class Options:
    """What was asked for, read and checked; see `read`. On the class, each option stands for its row."""

    models: tuple[str, ...] | None = _option(
        "A,B",
        "models to gate: registered names, package.module:callable, torchvision:NAME or timm:NAME",
        readers.names,
        gates=True,
    )
    pruners: tuple[str, ...] | None = _option(
        "A,B", "narrow the grid to these pruners (default: the protocol's)", readers.names, gates=True
    )
    ratios: tuple[float, ...] | None = _option(
        "X,Y",
        "narrow the grid to these ratios, 0 is dense, and to pruners that take one (default: the protocol's)",
        readers.ratios,
        gates=True,
    )
    protocol: Written | None = _option(
        "NAME|PATH", "protocol by name or by path (default: quick)", readers.as_written, repeated=True
    )
    baselines: Path = _option(
        "DIR",
        "folder of the accepted numbers (default: baselines)",
        readers.new_folder,
        default="baselines",
        repeated=True,
    )
    update: str | None = _option(
        "|".join(readers.UPDATES),
        "accept the measured numbers of the selected cells as the baseline (bare: all)",
        readers.update,
        bare="all",
        gates=True,
    )
    seeds: int | None = _option(
        "K",
        "begin with K seeds a cell (default: 1); an update measures K (default: as many as the baseline has)",
        readers.whole(1, 100),
        repeated=True,
    )
    repeat: int | None = _option(
        "N",
        "measure a cell that is in doubt over at most N seeds (default: the protocol's)",
        readers.whole(1, MOST),
        repeated=True,
    )
    changed: str = _option(
        "|".join(readers.CHANGED),
        "where pruning or fine-tuning is no longer what was accepted: tell it (the default) or fail",
        readers.changed,
        default=readers.CHANGED[0],
    )
    fresh: bool = _switch("measure every cell again, whatever the store has of earlier runs")
    power: bool = _switch("list the smallest regression that each comparison catches")
    plan: bool = _switch(
        "say what the gate would see with more seeds or test images; measure nothing", gates=True
    )
    checkpoint: dict[str, Path] = _option(
        "MODEL=FILE",
        "start from this trained network (safetensors) instead of base training; may be repeated",
        readers.checkpoints,
        default="",
        several=True,
        repeated=True,
    )
    candidate: tuple[Given, ...] = _option(
        "MODEL:NAME=FILE",
        "measure this finished network (ONNX, safetensors, .pt2, TorchScript) as it is, as a cell of "
        "MODEL; may be repeated",
        readers.candidates,
        default="",
        several=True,
        gates=True,
    )
    trust: tuple[Path, ...] = _option(
        "FILE",
        "load this candidate though its kind of file (TorchScript) runs code on loading; may be repeated",
        readers.trusted,
        default="",
        several=True,
        repeated=True,
    )
    pin: bool = _switch(
        "with --prunecal-update: keep the trained bases beside the baselines; later runs start there"
    )
    data: Path | None = _option("DIR", "where data sets are", readers.folder, repeated=True)
    device: str = _option(
        "DEVICE",
        "cpu, cuda, cuda:1 or auto (the default: workers spread over GPUs)",
        readers.device,
        default="auto",
        repeated=True,
    )
    store: str = _option(
        "URL",
        "where artefacts go: a path or an fsspec URL (default: .prunecal)",
        readers.path_or_url,
        default=".prunecal",
    )
    report: Path | None = _option("PATH.html", "write the report for people", readers.file)
    json: Path | None = _option("PATH", "write the report for programs", readers.file)

    def __init__(self, asked: Mapping[str, Written], root: Path) -> None:
        vars(self).update({name: read(name, asked, root) for name in ROWS})

    def __setattr__(self, name: str, value: NoReturn) -> None:
        """Options stay as they were read."""
        raise AttributeError(f"{name} cannot be set")


ROWS = {name: row for name, row in vars(Options).items() if isinstance(row, Row)}
"""Every option's row, by name."""


def add(parser: pytest.Parser) -> None:
    """Register every option and its ini twin."""
    group = parser.getgroup("prunecal", "gating pruned networks (pytest-prunecal)")
    for name, row in ROWS.items():
        value: dict[str, Any] = {"metavar": row.metavar}
        if not row.metavar:
            value = {"action": "store_const", "const": row.bare}
        elif row.several:
            value |= {"action": "append"}
        elif row.bare is not None:
            value |= {"nargs": "?", "const": row.bare}
        group.addoption(f"--prunecal-{name}", dest=f"prunecal_{name}", default=None, help=row.help, **value)
        # A text, not a list: `prunecal_ratios = 0.1,0.2` means the same in an ini file and on a command line.
        parser.addini(f"prunecal_{name}", f"{row.help}; twin of --prunecal-{name}", default=None)


def asked(config: pytest.Config) -> dict[str, Written]:
    """What was asked for, by option: the command line's word over the ini file's.

    Raises:
        pytest.UsageError: what an ini file has is no text, or the command line has no value.
    """
    found: dict[str, Written] = {}
    ini_folder = config.inipath.parent if config.inipath else config.rootpath
    for name, row in ROWS.items():
        text = config.getoption(f"prunecal_{name}")
        if text is not None:
            texts = text if row.several else [text]
            if not all(isinstance(one, str) for one in texts):
                # Before Python 3.13 argparse takes the value `--` for the end of the options.
                raise pytest.UsageError(f"prunecal: --prunecal-{name}=--: give a value, such as ./--")
            text = "\n".join(texts)
            found[name] = Written(name, text, config.invocation_params.dir, given=True)
        elif text := _from_ini(config, f"prunecal_{name}"):
            found[name] = Written(name, text, ini_folder)
    return found


def _from_ini(config: pytest.Config, name: str) -> str | None:
    value = config.getini(name)
    if value is not None and not isinstance(value, str):
        # The path is shown as Python writes it: it may hold anything.
        raise pytest.UsageError(f'prunecal: {str(config.inipath)!r}: {name} is no text; write {name} = "A,B"')
    return value


def read(name: str, asked: Mapping[str, Written], root: Path) -> Any:  # noqa: ANN401 - what its row reads
    """Read one option; where nothing or an empty text is written, its default, if it has one.

    Args:
        name: the option's.
        asked: what was asked for, by option.
        root: pytest's root directory, which defaults are relative to.

    Raises:
        PrunecalError: the text is none that the option takes.
    """
    row, written = ROWS[name], asked.get(name)
    if row.default is not None and (written is None or not written.text):
        written = Written(name, row.default, root)
    return None if written is None else row.read(written)
