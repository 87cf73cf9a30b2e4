"""Loaded by every run of this repository's pytest, the gate's too, so it imports no torch."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

pytest_plugins = ["pytester"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small operations are faster alone; threads that wait for a shared core can cost seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def patience() -> int:
    """Seconds after which another process must be hanging: so slow no machine is, however busy."""
    return 1200


@pytest.fixture(scope="session")
def wait_until(patience: int) -> Callable[..., None]:
    """Wait for what other processes do, however long they take; fails at once if one of them ends before."""

    def wait(done: Callable[[], object], *processes: Popen[str]) -> None:
        given_up = time.monotonic() + patience
        while not done():
            assert all(process.poll() is None for process in processes) or done(), "it ended too early"
            assert time.monotonic() < given_up, "it hangs"
            time.sleep(0.01)

    return wait


def pytest_addoption(parser: pytest.Parser) -> None:
    """How tests/campaign is run; here, since it must be known before that folder is collected."""
    group = parser.getgroup("campaign")
    group.addoption("--campaign-seed", type=int, help="what its random choices follow from (default: drawn)")
    group.addoption("--campaign-factor", type=float, default=1.0, help="how many times the usual cases")
    group.addoption("--campaign-only", default="", metavar="FAMILY:NUMBER", help="the one case to run")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of tests/campaign, whose rows travel with the reports of its tests."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (report.nodeid, row["family"]): row
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, row in cast("list[tuple[str, Any]]", report.user_properties)
        if name == "campaign"
    }
    if rows:
        sys.path.append(str(Path(__file__).parent / "campaign"))
        counts = import_module("counts")
        terminalreporter.section(f"campaign, seed {next(iter(rows.values()))['seed']}")
        for line in counts.table(rows.values()):
            terminalreporter.write_line(line)
