"""From what was written to a value: what each option takes, and the one sentence for what it does not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.study.paths import Found

UPDATES = ("all", "missing", "failing")
CHANGED = ("tell", "fail")
_DIGITS, _LONG = 20, 60
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


class Given(NamedTuple):
    """A candidate as an option names it.

    Attributes:
        model: the model's name.
        name: the candidate's.
        path: its file.
        text: the whole as it was written.
        given: whether it stands on the command line.
    """

    model: str
    name: str
    path: Path
    text: str
    given: bool


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


def changed(written: Written) -> str:
    """Read what a cell that is not computed as it was comes to."""
    if written.text not in CHANGED:
        raise PrunecalError(f"{_brief(str(written))}: give {' or '.join(CHANGED)}")
    return written.text


def whole(least: int, most: int) -> Callable[[Written], int | None]:
    """Make a reader of whole numbers from least to most, both of them included; an empty text is none."""

    def read(written: Written) -> int | None:
        text = written.text.strip()
        if not text:
            return None
        # Python makes no number of more than 4,300 digits.
        fits = text.isdecimal() and len(text) <= _DIGITS and least <= int(text) <= most
        if not fits:
            raise PrunecalError(f"{_brief(str(written))}: give a whole number from {least} to {most}")
        return int(text)

    return read


def device(written: Written) -> str:
    """Read a device's name; whether this machine has it is known later."""
    if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", written.text):
        raise PrunecalError(f"unknown device {_brief(written.text)!r}; use auto, cpu, cuda or cuda:1")
    return written.text


def _brief(text: str) -> str:
    """A text fit for one line."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def path(written: Written) -> Path:
    """Read a path, which is kept as written but for `~` and `..`: symbolic links stay what people see."""
    from pytest_prunecal.study import paths  # noqa: PLC0415 - not every pytest run has paths

    place = paths.written(written.text, written.folder, f"--prunecal-{written.name}")
    return Path(os.path.normpath(place))


def _there(place: Path, written: Written) -> Found:
    """What lies at a path that was read, see `study.paths.found`."""
    from pytest_prunecal.study import paths  # noqa: PLC0415 - as `path`

    return paths.found(place, f"--prunecal-{written.name}={place}")


def folder(written: Written) -> Path:
    """Read the path of a folder that is there."""
    found = path(written)
    if _there(found, written) != "a folder":
        raise PrunecalError(f"--prunecal-{written.name}={found}: there is no such folder")
    return found


def new_folder(written: Written) -> Path:
    """Read the path of a folder, or of where one can be made."""
    found = path(written)
    if _there(found, written) not in ("", "a folder"):
        raise PrunecalError(f"--prunecal-{written.name}={found} is no folder; name one")
    return found


def file(written: Written) -> Path:
    """Read the path of a file to write."""
    found = path(written)
    there = _there(found, written)
    if there not in ("", "a file"):
        # A device or a pipe would be replaced by the file.
        raise PrunecalError(f"--prunecal-{written.name}={found} is {there}; name a file")
    return found


def path_or_url(written: Written) -> str:
    """Read the path of a folder, or an fsspec URL."""
    scheme, colon, _ = written.text.partition(":")
    if colon and "://" not in written.text and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme):
        raise PrunecalError(f"{written}: write {scheme}://… for a URL, or ./{scheme}:… for a folder")
    return written.text if "://" in written.text else str(new_folder(written))


def checkpoints(written: Written) -> dict[str, Path]:
    """Read `MODEL=FILE`, one a line or several with commas; what is inside is checked where all is known.

    A comma ends a file's name only where another `MODEL=` follows, and not where the whole is a file's name.
    """
    found: dict[str, Path] = {}
    for line in written.text.splitlines():
        for text in _assignments(line.strip(), written):
            what = f"--prunecal-{written.name}={text}"
            model, equals, place = text.partition("=")
            if not equals or not place:
                raise PrunecalError(f"{what}: write MODEL=FILE, such as resnet20=base.safetensors")
            if model in found:
                raise PrunecalError(f"--prunecal-{written.name} names {model!r} twice; give one file a model")
            found[model] = _existing(place, written, what)
    return found


def candidates(written: Written) -> tuple[Given, ...]:
    """Read `MODEL:NAME=FILE`, one a line; what is inside a file is checked where all is known."""
    from pytest_prunecal.study.candidate import check_name  # noqa: PLC0415 - as `path`

    found: list[Given] = []
    for text in filter(None, map(str.strip, written.text.splitlines())):
        what = f"--prunecal-{written.name}={text}"
        whose, equals, place = text.partition("=")
        model, _, name = whose.rpartition(":")
        if not (equals and place and model and name):
            raise PrunecalError(f"{what}: write MODEL:NAME=FILE, such as resnet20:v2=v2.onnx")
        check_name(name, what)
        if any((model, name) == (other.model, other.name) for other in found):
            raise PrunecalError(
                f"--prunecal-{written.name} gives {whose} twice; give each candidate one file"
            )
        path = _existing(place, written, what)
        found.append(Given(model, name, path, text, written.given))
    return tuple(found)


def trusted(written: Written) -> tuple[Path, ...]:
    """Read files that may run code, one a line."""
    places = filter(None, map(str.strip, written.text.splitlines()))
    return tuple(_existing(place, written, f"--prunecal-{written.name}={place}") for place in places)


def _existing(place: str, written: Written, what: str) -> Path:
    path = _checkpoint(place, written)
    if (there := _there(path, written)) != "a file":
        raise PrunecalError(f"{what}: {f'{path} is {there}' if there else f'there is no file {path}'}")
    return path


def _checkpoint(place: str, written: Written) -> Path:
    from pytest_prunecal.study import paths  # noqa: PLC0415 - as `path`

    return paths.written(place, written.folder, f"--prunecal-{written.name}")


def _assignments(line: str, written: Written) -> list[str]:
    """Take `A=x,B=y` apart."""
    _, _, place = line.partition("=")
    if os.path.isfile(_checkpoint(place, written)):  # noqa: PTH113 - Path's own raises for too long a name
        return [line]
    parts = re.split(r",(?=\s*[A-Za-z_][\w.:]*=)", line)
    return [text for part in parts if (text := part.strip().rstrip(",").strip())]
