"""What the store keeps: how it is made, written and read."""

from __future__ import annotations

from dataclasses import dataclass
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from safetensors import SafetensorError

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Content = TypeVar("Content")

DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, SyntaxError, TokenError, SafetensorError, PrunecalError),
)
"""What reading an entry raises that is not what was written, whatever became of it."""


class Artefact(NamedTuple):
    """A file that the store keeps, and what makes it.

    Attributes:
        kind: what it is, which names its folder, such as `base`.
        key: digest of what made it; the caller answers for its being complete.
        suffix: of the file.
        make: makes the content. If it fails or is killed, nothing is stored and the next process that waits
            makes it instead.
        save: writes the content to a path; an OSError or SafetensorError means that it cannot be kept.
        dear: whether making it takes so long that a process which cannot keep it puts it aside for itself.
    """

    kind: str
    key: str
    suffix: str
    make: Callable[[], Any]
    save: Callable[[Any, Path], None]
    dear: bool = False

    @property
    def place(self) -> str:
        """Where in the store it lies, such as `base/KEY.safetensors`."""
        return f"{self.kind}/{self.key}{self.suffix}"


@dataclass(frozen=True)
class Kind(Generic[Content]):
    """A sort of thing that the store can remember.

    Attributes:
        folder: where in the store its entries lie, such as `evaluation`.
        suffix: of their files.
        save: writes one to a path; an OSError, SafetensorError or StoreError means that it cannot be kept.
        load: reads it back; raises one of `DAMAGED` if the file is no such thing.
    """

    folder: str
    suffix: str
    save: Callable[[Content, Path], None]
    load: Callable[[Path], Content]


@dataclass(frozen=True)
class Remembered(Generic[Content]):
    """What `Store.remember` gives.

    Attributes:
        content: the thing itself.
        reused: whether the store had it, instead of its being made now.
        problem: why it could not be kept; empty if it is.
    """

    content: Content
    reused: bool = False
    problem: str = ""
