"""Candidates: finished networks that somebody else compressed, measured and never trained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Candidate:
    """A finished network.

    Attributes:
        model: the model's name, whose baseline file has the candidate's numbers; it need not be registered
            where the candidate's file says by itself how it computes.
        name: of the candidate among those of its model.
        source: its file; or what builds it, called like a model's builder, or as `package.module:callable`.
        trusted: whether the user says that its file may run code while it is loaded.
        given: whether the command line gives it.
    """

    model: str
    name: str
    source: Path | str | Callable[..., Any]
    trusted: bool = False
    given: bool = False

    @property
    def path(self) -> Path | None:
        """Its file; None where it is built."""
        return self.source if isinstance(self.source, Path) else None

    @property
    def shown(self) -> str:
        """How messages call it: `candidate v2 (net.onnx)`."""
        what = self.source if isinstance(self.source, (Path, str)) else "its builder"
        return f"candidate {self.name} ({what})"


Candidates = dict[tuple[str, str], Candidate]
"""By model name and candidate name."""


def check_name(name: str, what: str) -> None:
    """Refuse a name that could not stand in a cell's id; raises PrunecalError."""
    if not _NAME.fullmatch(name):
        raise PrunecalError(f"{what}: {name!r} cannot name a candidate; use letters, digits, . _ and -")
