"""From what was written to a value: what each option takes, and the one sentence for what it does not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable

UPDATES = ("all", "missing", "failing")
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


class Written(NamedTuple):
    """An option as it was written.

    Attributes:
        name: the option's name.
        text: what was written.
        folder: what a relative path in it is relative to.
        given: whether it stands on the command line.
    """

    name: str
    text: str
    folder: Path
    given: bool = False

    def __str__(self) -> str:
        """As it stands, or would stand, on a command line."""
        return f"--prunecal-{self.name}={self.text}"


def as_written(written: Written) -> Written:
    """For an option whose value is made where more is known."""
    return written


def yes_or_no(written: Written) -> bool:
    """Read an option that takes no value on the command line."""
    word = written.text.strip().lower()
    if word not in (*_YES, *_NO):
        raise PrunecalError(f"prunecal_{written.name} = {written.text}: write yes or no")
    return word in _YES


def names(written: Written) -> tuple[str, ...]:
    """Read what stands between commas."""
    return tuple(part.strip() for part in written.text.split(",") if part.strip())


def ratios(written: Written) -> tuple[float, ...]:
    """Read pruning ratios, none twice."""
    from pytest_prunecal.study.cell import unique_ratios  # noqa: PLC0415 - only sessions with ratios need it

    texts = names(written)
    if not texts:
        raise PrunecalError(f"--prunecal-{written.name} selects nothing; give ratios such as 0.3,0.5")
    return unique_ratios(texts)


def update(written: Written) -> str:
    """Read what is to be accepted."""
    if written.text not in UPDATES:
        raise PrunecalError(
            f"--prunecal-{written.name} takes {', '.join(UPDATES)} or nothing, not {written.text!r}; "
            f"a path belongs before it, or write --prunecal-{written.name}=all"
        )
    return written.text


def whole(least: int, most: int) -> Callable[[Written], int]:
    """Make a reader of whole numbers from least to most, both of them included."""

    def read(written: Written) -> int:
        text = written.text.strip()
        if not text.isdecimal() or not least <= int(text) <= most:
            raise PrunecalError(f"{written}: give a whole number from {least} to {most}")
        return int(text)

    return read


def device(written: Written) -> str:
    """Read a device's name; whether this machine has it is known once torch is there."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", written.text):
        raise PrunecalError(f"unknown device {written.text!r}; use auto, cpu, cuda or cuda:1")
    return written.text


def path(written: Written) -> Path:
    """Read a path, which is kept as written but for `..`: symbolic links stay what people see."""
    return Path(os.path.normpath(written.folder / written.text))


def folder(written: Written) -> Path:
    """Read the path of a folder that is there."""
    found = path(written)
    if not found.is_dir():
        raise PrunecalError(f"--prunecal-{written.name}={found}: there is no such folder")
    return found


def file(written: Written) -> Path:
    """Read the path of a file to write."""
    found = path(written)
    if found.is_dir():
        raise PrunecalError(f"--prunecal-{written.name}={found} is a folder; name a file")
    return found


def path_or_url(written: Written) -> str:
    """Read a path or an fsspec URL."""
    scheme, colon, _ = written.text.partition(":")
    if colon and "://" not in written.text and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme):
        raise PrunecalError(f"{written}: write {scheme}://… for a URL, or ./{scheme}:… for a folder")
    return written.text if "://" in written.text else str(path(written))


def checkpoints(written: Written) -> dict[str, Path]:
    """Read `MODEL=FILE,…`; what is inside a file is checked when a network is loaded from it."""
    found: dict[str, Path] = {}
    for text in names(written):
        what = f"--prunecal-{written.name}={text}"
        model, equals, place = text.partition("=")
        if not equals or not place:
            raise PrunecalError(f"{what}: write MODEL=FILE, such as resnet20=base.safetensors")
        if model in found:
            raise PrunecalError(f"--prunecal-{written.name} names {model!r} twice; give one file a model")
        found[model] = written.folder / place
        if not found[model].is_file():
            raise PrunecalError(f"{what}: there is no file {found[model]}")
    return found
