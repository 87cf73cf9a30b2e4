"""Base networks that are given instead of trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class GivenBase:
    """A trained network to start from.

    Attributes:
        path: a safetensors file.
        sha256: of its bytes, in hex, if it is pinned in a baseline file; empty for a user's checkpoint.
    """

    path: Path
    sha256: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{'pinned base' if self.sha256 else 'checkpoint'} {self.path}"


Bases = dict[tuple[str, str], GivenBase]
"""By model name and kind, `plain` or `slimmed`."""
