"""Faults to suffer from: a campaign that cannot fail shows nothing."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any, cast


def not_atomic() -> None:
    """A file is replaced by writing into it."""

    def replace(source: Any, target: Any, **_: Any) -> None:  # noqa: ANN401 - as `os.replace`
        content = Path(source).read_bytes()
        with Path(target).open("wb") as file:
            for start in range(0, len(content), max(len(content) // 4, 1)):
                file.write(content[start : start + max(len(content) // 4, 1)])
                file.flush()
        Path(source).unlink()

    def replace_path(self: Path, target: Any) -> Path:  # noqa: ANN401 - as `Path.replace`
        replace(self, target)
        return Path(target)

    os.replace = os.rename = cast("Any", replace)
    Path.replace = Path.rename = replace_path  # type: ignore[assignment, method-assign]


def no_locks() -> None:
    """Whoever asks for a lock gets it."""

    def given(*_: Any) -> None:  # noqa: ANN401 - as `flock`
        return None

    fcntl.flock = fcntl.lockf = given


def never_ends() -> None:
    """It hangs."""
    time.sleep(3600)


def raises() -> None:
    """A reader stumbles."""
    from pytest_prunecal.study import yaml_reader

    def parse(text: str, name: str) -> Any:  # noqa: ANN401 - it gives nothing
        raise KeyError(text[:20], name)

    yaml_reader.parse = parse


def forgets() -> None:
    """An update loses a cell that it did not measure."""
    from pytest_prunecal.baseline import refresh

    apply = refresh.apply

    def forgetful(text: str | None, *args: Any) -> str:  # noqa: ANN401 - as `apply`
        new = apply(text, *args)
        start = new.find("  weight-0.4:")
        end = new.find("  weight-0.5:")
        return new if start < 0 or end < 0 else new[:start] + new[end:]

    refresh.apply = cast("Any", forgetful)
