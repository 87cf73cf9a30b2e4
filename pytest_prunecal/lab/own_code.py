"""The user's own code: imported where it is named, called with what it takes, its errors told in a line."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pytest_prunecal.lab.randomness import stage
from pytest_prunecal.lab.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

_OURS = Path(__file__).parents[1]
_TORCHS = Path(torch.__file__).parent
_PYTHONS = Path(os.__file__).parent
_INSTALLED = {"site-packages", "dist-packages"}


def imported(entry: Any, what: str) -> Any:  # noqa: ANN401 - whatever the user's module holds
    """As `resolve`; what a module draws while it is imported depends on nothing that was drawn before."""
    if not isinstance(entry, str) or entry.partition(":")[0] in sys.modules:
        return resolve(entry, what)
    with stage(torch.device("cpu"), "import", entry):
        return resolve(entry, what)


def misfit(function: Callable[..., Any], *arguments: object, **named: object) -> str:
    """Why a function cannot be called so, such as `missing a required argument: 'x'`; empty if it can."""
    try:
        inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        return str(error)
    except ValueError:  # a function of C without a signature
        return ""
    return ""


def told(error: BaseException) -> str:
    """An error of the user's code in one line: what it says, and the user's own line that it arose in."""
    text = str(error).strip().partition("\n")[0]
    says = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = [(Path(frame.filename), frame) for frame in traceback.extract_tb(error.__traceback__)]
    others = [(path, frame) for path, frame in frames if not {_OURS, _TORCHS} & {*path.parents}]
    installed = [(path, frame) for path, frame in others if _INSTALLED & {*path.parts}]
    own = [(path, frame) for path, frame in others if not (_INSTALLED & {*path.parts} or _is_pythons(path))]
    if not (own or installed):
        return says
    path, frame = (own or installed)[-1]
    place = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
    return f"{says} ({place}:{frame.lineno}, in {frame.name})"


def _is_pythons(path: Path) -> bool:
    """Whether a file is of Python's own library, or none at all such as `<frozen importlib>`."""
    return _PYTHONS in path.parents or path.name.startswith("<")
