"""Networks of model libraries by name, `torchvision:mobilenet_v3_small`; no library is imported for that."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = {"torchvision": "torchvision>=0.21", "timm": "timm>=1.0"}
"""Library -> what pip installs. The two words always mean these, never a package of the user's own."""

_NAME = re.compile(r"[A-Za-z_0-9][\w.]*")
# How both libraries register a builder: a decorator, above others and the function whose name counts.
_REGISTERED = re.compile(r"^@register_model(?:\(\))?\n(?:.*\n){0,8}?def (\w+)\(", re.MULTILINE)


def split(model: str) -> tuple[str, str] | None:
    """Library and name of a model in it; None for any other model.

    Example:
        >>> split("timm:convnext_atto")
        ('timm', 'convnext_atto')
        >>> split("nets:digitnet") is None
        True
    """
    library, _, name = model.partition(":")
    return (library, name) if library in LIBRARIES and _NAME.fullmatch(name) else None


def pip_command(library: str) -> str:
    """What installs a library."""
    return f"pip install '{LIBRARIES[library]}'"


def is_installed(library: str) -> bool:
    """Whether a library is there, as far as can be told without importing it."""
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False


@cache
def names(library: str) -> frozenset[str]:
    """The classifiers that a library registers, read from its source; empty if it is not installed."""
    spec = find_spec(library) if is_installed(library) else None
    found: set[str] = set()
    for place in (spec.submodule_search_locations if spec else None) or ():
        # Files of the folder alone: below lie torchvision's detectors, segmenters and quantised networks.
        for file in sorted(Path(place, "models").glob("*.py")):
            found.update(_REGISTERED.findall(file.read_text(encoding="utf-8", errors="replace")))
    return frozenset(found)
