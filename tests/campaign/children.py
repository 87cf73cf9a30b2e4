"""Pytest in children that are forked from a process which has imported everything: a run takes no start."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

import planted
import watch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LIMIT = 120.0
"""Seconds after which a run must be hanging, on a busy machine too."""

_PLUGINS = ("pytest_prunecal.plugin", "xdist.plugin", "no:cacheprovider")
_RAW = re.compile(
    r"Traceback \(most recent call last\)|INTERNALERROR|Fatal Python"
    r"|^E   |^\S+\.py:\d+: (in |\w+(Error|Exception)$)",
    re.MULTILINE,
)

_NOT_PLAIN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's controls, formats (bidi), half characters, line ends


def raw(text: str) -> str:
    """The first line of a text that a terminal or a CI log would obey; empty if there is none."""
    for line in text.split("\n"):
        if line.startswith("::") or any(unicodedata.category(one) in _NOT_PLAIN for one in line):
            return repr(line)
    return ""


_HERE = str(Path(__file__).parent)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["preload", "children"])


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: exit code; a negative signal; None if it had to be stopped.
        text: what it printed.
        seconds: how long it took.
    """

    code: int | None
    text: str
    seconds: float

    def faults(self, *codes: int, plain: bool = False) -> list[tuple[str, str]]:
        """What is wrong with the run itself: no end, more than sentences, an exit code that it may not have.

        Args:
            codes: exit codes that it may have.
            plain: whether all that it prints must be plain text.
        """
        if self.code is None:
            return [("hang", self.text)]
        if self.code < 0 or _RAW.search(self.text):
            return [("traceback", f"exit {self.code}\n{self.text}")]
        if self.code not in codes:
            return [("other", f"exit {self.code} instead of {codes}\n{self.text}")]
        if plain and (line := raw(self.text)):
            return [("other", f"not escaped: {line}\n{self.text}")]
        return []


@dataclass(frozen=True)
class Orders:
    """What a child does besides running pytest.

    Attributes:
        die_at: number of the operation before which it dies; -1 for none, but they are listed.
        log: file for the list of operations; empty for no watching.
        whole: watch the whole session, not its end alone.
        planted: name of a fault in `planted` to suffer from.
        delay: seconds to wait before.
    """

    die_at: int = -1
    log: str = ""
    whole: bool = False
    planted: str = ""
    delay: float = 0.0


class Child:
    """A run that goes on. Use `start`."""

    def __init__(self, process: Any, out: Path) -> None:  # noqa: ANN401 - of a context
        self.process, self._out, self._began = process, out, time.monotonic()

    def wait(self, limit: float = LIMIT) -> Ended:
        """Wait for its end; it and all that it started are stopped after so many seconds."""
        self.process.join(max(limit - (time.monotonic() - self._began), 0.1))
        code = self.process.exitcode
        self.kill_all()
        self.process.join()
        text = self._out.read_text(encoding="utf-8", errors="backslashreplace") if self._out.exists() else ""
        return Ended(code, text, time.monotonic() - self._began)

    def kill_all(self) -> None:
        """Kill it, and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def start(folder: Path, *args: str, orders: Orders | None = None, line: Connection | None = None) -> Child:
    """Start pytest in a folder; with a line, it asks there before each operation on a file."""
    out = folder.with_name(f"{folder.name}.{time.monotonic_ns()}.out")
    _serve()
    # No daemon: those may have no children of their own, such as workers.
    process = _CONTEXT.Process(target=_child, args=(folder, args, out, orders or Orders(), line))
    process.start()
    return Child(process, out)


def _serve() -> None:
    """Start the process that children are forked from: it looks for what it preloads in PYTHONPATH alone."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([_HERE, *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def run(folder: Path, *args: str, limit: float = LIMIT, orders: Orders | None = None) -> Ended:
    """Run pytest in a folder."""
    return start(folder, *args, orders=orders).wait(limit)


def _stay_below(root: Path) -> None:
    """Let this process change nothing elsewhere: root may write anywhere, and odd paths lead anywhere."""
    allowed = (f"{root}/", f"{root.resolve()}/", f"{tempfile.gettempdir()}/", f"{os.devnull}/")

    def guard(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, writes = args[0], (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        elif event in watch.EVENTS:
            path, writes = args[1 if event == "os.rename" else 0], True
        else:
            return
        if writes and isinstance(path, (str, bytes, os.PathLike)):
            full = os.path.realpath(os.fsdecode(path))
            if not f"{full}/".startswith(allowed):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), full)

    sys.addaudithook(guard)


def _child(folder: Path, args: tuple[str, ...], out: Path, orders: Orders, line: Connection | None) -> None:
    import pytest

    os.setsid()
    time.sleep(orders.delay)
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, place in ((nothing, 0), (target, 1), (target, 2)):
        os.dup2(source, place)
    streams = (os.fdopen(place, mode, closefd=False) for place, mode in enumerate("rww"))
    sys.stdin, sys.stdout, sys.stderr = streams
    for name in [*os.environ]:
        if name.startswith(("PYTEST", "GITHUB", "PRUNECAL")):
            del os.environ[name]
    _, _, before = os.environ["PYTHONPATH"].partition(_HERE)
    os.environ["PYTHONPATH"] = before.removeprefix(os.pathsep)
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "120", "HOME": str(folder)}
    sys.path[:] = [place for place in sys.path if place]  # the folder where the campaign was started
    os.chdir(folder)
    _stay_below(folder.parent.parent)
    if orders.planted:
        getattr(planted, orders.planted)()
    plugins: list[object] = []
    if line is not None:
        plugins.append(watch.Watched(folder, watch.ask(line)))
    elif orders.log:
        log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        plugins.append(watch.Watched(folder, watch.die_at(orders.die_at, log), whole=orders.whole))
    code = pytest.main([*(word for name in _PLUGINS for word in ("-p", name)), *args], plugins=plugins)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))
