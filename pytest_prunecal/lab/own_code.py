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
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not {_OURS, _TORCHS} & {*Path(frame.filename).parents}]
    own = [frame for frame in outside if not _INSTALLED & {*Path(frame.filename).parts}]
    if not outside:
        return says
    frame = (own or outside)[-1]
    place = Path(frame.filename)
    if place.is_relative_to(Path.cwd()):
        place = Path(os.path.relpath(place))
    return f"{says} ({place}:{frame.lineno}, in {frame.name})"
