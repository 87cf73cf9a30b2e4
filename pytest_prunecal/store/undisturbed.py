"""Imports that no signal's handler breaks off."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType


def import_undisturbed(name: str) -> ModuleType:
    """Import a module that brings compiled ones; handlers of signals that come meanwhile run afterwards.

    An exception of a handler, such as pytest-timeout's or that of Ctrl-C, in the middle of such an import
    leaves half of it behind, and the next one crashes Python.
    """
    if name in sys.modules:
        return import_module(name)  # nothing compiled comes with it, and it may be asked for often
    with _undisturbed():
        return import_module(name)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold signals back that Python code handles; handlers only ever run in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    found = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda *signalled: held.append(signalled))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in held:
            handlers[number](number, frame)
