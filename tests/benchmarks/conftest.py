"""What benchmarks of whole pytest runs share: a directory of a user's own, and pytest as a user has it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_benchmark.fixture import BenchmarkFixture

BASELINES = Path(__file__).parents[2] / "baselines"
PLUGINS = ("pytest_prunecal.plugin", "xdist.plugin", "xdist.looponfail")
# Not getrusage: its peak also counts what the process that started this one had in memory.
MEMORY = """
import os
from pathlib import Path

def pytest_unconfigure(config):
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    who = os.environ.get("PYTEST_XDIST_WORKER", "controller")
    Path("memory").mkdir(exist_ok=True)
    Path("memory", who).write_text(peak)
"""


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest) -> None:
    """Beside another worker nothing can be timed: pytest-benchmark then only calls what it is given once."""
    if hasattr(request.config, "workerinput"):
        pytest.skip("benchmarks want the machine to themselves: run them with -p no:xdist")


class Directory:
    """A directory in which pytest runs with no other plugins than a user has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "conftest.py").write_text(MEMORY)

    def pytest(self, *args: object, plugins: Sequence[str] = PLUGINS) -> str:
        """Run pytest in a process of its own; gives what it printed."""
        # The environment of this run is not the user's: not its workers, not its options.
        own = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST", "PRUNECAL"))}
        own["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        own["PYTEST_PLUGINS"] = ",".join(plugins)  # -p would search all installed packages for the name
        own.pop("PYTHONDONTWRITEBYTECODE", None)  # or every run compiles the plugin anew
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, args)]
        result = subprocess.run(command, cwd=self.path, env=own, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def forget(self, *kinds: str) -> None:
        """Remove what the store has of some kinds; all of it without any."""
        for place in [self.path / ".prunecal" / kind for kind in kinds] or [self.path / ".prunecal"]:
            shutil.rmtree(place, ignore_errors=True)

    def peaks(self) -> tuple[float, float]:
        """Peak memory in MB of the last run's largest worker and of its controller."""
        found = {file.name: int(file.read_text()) * 1024 / 1e6 for file in (self.path / "memory").iterdir()}
        controller = found.pop("controller")
        return max(found.values()), controller


@pytest.fixture
def bare_directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


@pytest.fixture
def directory(bare_directory: Directory) -> Directory:
    """With the shipped baselines."""
    shutil.copytree(BASELINES, bare_directory.path / "baselines")
    return bare_directory


class Beside(Protocol):
    """The fixture `beside`."""

    def __call__(
        self, ours: Callable[[], object], other: Callable[[], object], rounds: int, warmup_rounds: int = 1
    ) -> None:
        """Time `ours`, each time right after the other."""


@pytest.fixture
def beside(benchmark: BenchmarkFixture) -> Beside:
    """Time one thing, each time right after another; `extra_info` has the difference and the ratio.

    That holds on a machine whose speed changes from minute to minute, as the times of two rows do not.
    """

    def run(
        ours: Callable[[], object], other: Callable[[], object], rounds: int, warmup_rounds: int = 1
    ) -> None:
        seconds: list[float] = []

        def before() -> None:
            start = time.perf_counter()
            other()
            seconds.append(time.perf_counter() - start)

        benchmark.pedantic(ours, setup=before, rounds=rounds, warmup_rounds=warmup_rounds)
        assert benchmark.stats is not None
        pairs = list(zip(benchmark.stats.stats.data, seconds[-rounds:], strict=True))
        more = statistics.median(own - others for own, others in pairs)
        benchmark.extra_info["ms more"] = round(1000 * more, 1)
        benchmark.extra_info["ratio"] = round(statistics.median(own / others for own, others in pairs), 3)

    return run
