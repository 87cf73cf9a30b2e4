"""Where a data set named by a path lies."""

from __future__ import annotations

from pathlib import Path

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.paths import found, written


def locate(name: str, root: Path | None, path: object) -> Path:
    """Resolves a data set's `path` option.

    Args:
        name: The data set, for messages.
        root: The user's data directory (`--prunecal-data`), or None.
        path: The option: absolute, or relative to `root`, or without a `root` to the current directory; None
            for `root` itself.

    Returns:
        A path that exists.

    Raises:
        PrunecalError: If there is no file or folder, nothing to go by, or `path` is no text.
    """
    if path is None and root is None:
        raise PrunecalError(
            f"data set {name!r} lies nowhere: give it a path in the protocol, or pass --prunecal-data=DIR"
        )
    if path is not None and not (isinstance(path, (str, Path)) and str(path)):
        raise PrunecalError(f"data set {name!r}: path is {path!r}, wanted the path of a file or folder")
    place = written(str(path or ""), root or Path(), f"data set {name!r}: path")
    there = found(place, f"data set {name!r}: {place}")
    if there not in ("a file", "a folder"):
        raise PrunecalError(
            f"data set {name!r}: {f'{place} is {there}' if there else f'there is no {place}'}"
        )
    return place
