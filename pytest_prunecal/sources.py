"""Digests of source code: what a stored artefact was made by."""

from __future__ import annotations

import hashlib
import inspect
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent


@cache
def package_digest(*parts: str) -> str:
    """SHA-256, in hex, of some of this package's files and subpackages, such as `models`, `training.py`."""
    files = sorted(path for part in parts for path in _files(_PACKAGE / part))
    state = hashlib.sha256()
    for path in files:
        state.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def module_digest(thing: Any) -> str:  # noqa: ANN401 - whatever a user registered
    """SHA-256, in hex, of the file that defines a callable or an object's class.

    Of a `functools.partial` also of its arguments.
    """
    if isinstance(thing, partial):
        bound = re.sub(" at 0x[0-9a-fA-F]+", "", repr((thing.args, sorted(thing.keywords.items()))))
        return hashlib.sha256(f"{module_digest(thing.func)} {bound}".encode()).hexdigest()
    definition = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
    try:
        file = inspect.getsourcefile(inspect.unwrap(definition))
    except TypeError:  # a built-in one: made by no file of the user's
        file = None
    return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in (".py", ".npz")]
