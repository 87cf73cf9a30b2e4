"""A session that is told to terminate ends as after Ctrl-C: what is finished is kept and accepted."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What a scheduler, `timeout`, a cancelled job and a closed terminal send."""


class Terminated:
    """Turns a signal that would kill this process into an interrupt, once: another one kills.

    Signals that somebody else handles or ignores are left to them, and so are all of them where pytest does
    not run in the main thread, which alone may set a handler.
    """

    def __init__(self) -> None:
        self._writing = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin to listen."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, self._handle)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Let what is written be written: the session ends anyway."""
        self._writing = True

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Leave everything as it was."""
        self._stop()

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._stop()
        if not self._writing:
            raise KeyboardInterrupt(f"{signal.Signals(number).name}: ends as after Ctrl-C")

    def _stop(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL)
