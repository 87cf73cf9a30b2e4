"""The controller's side: gathers what the workers streamed, judges it, writes everything once at the end."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.atomic import make_folder, sweep, write_atomically
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.accept import accept
from pytest_prunecal.gate.collection import against, item_name, nodeid_of
from pytest_prunecal.gate.family import family_of
from pytest_prunecal.gate.outcome import environment_of, is_tuned, outcome_of
from pytest_prunecal.gate.registry import untuned
from pytest_prunecal.gate.stash import runxfail
from pytest_prunecal.gate.stream import Streamed, received
from pytest_prunecal.judge.pooled import together
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown, terminal
from pytest_prunecal.report.failure import pooled_failure
from pytest_prunecal.report.html import page as html
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study.text import line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.study.cell import Cell


class PooledReports:
    """Adds to the session's reports those of models whose cells, taken together, got worse.

    No worker knows all cells, so these are reported where the results are gathered, before anything that
    writes reports looks at them.
    """

    def __init__(self, controller: Controller, settings: Settings) -> None:
        self._controller, self._settings = controller, settings

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Report each as a failed test."""
        if session.config.getoption("collectonly", default=False):
            return
        for file in self._settings.files:
            found = self._controller.pooled(file)
            if any(row.status is Status.REGRESSION for row in found):
                there = against(file, self._settings, self._controller.measured(file))
                text = pooled_failure(file.model, found, there, self._settings.metrics)
                nodeid = f"{nodeid_of(file, session.config)}::{item_name('together')}"
                report = pytest.TestReport(
                    nodeid, (file.name, None, line(f"{file.model} together")), {}, "failed", text, "call"
                )
                session.config.hook.pytest_runtest_logreport(report=report)
                if session.exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Controller:
    """Gathers the cells of a session and writes baselines and reports when it ends.

    Registered where tests are reported: in the only process, or in xdist's controller; never in a worker.

    Args:
        settings: of the session.
        config: pytest's.
    """

    def __init__(self, settings: Settings, config: pytest.Config) -> None:
        self._settings = settings
        self._runxfail = runxfail(config)
        self._cells = {
            f"{nodeid_of(file, config)}::{item_name(cell.id)}": (file, cell)
            for file in settings.files
            for cell in file.cells
        }
        self._results: dict[tuple[str, str], CellResult] = {}
        self._problems: list[str] = []
        self.run: Run | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one report: a measurement, or the failure of a cell that has none."""
        if report.nodeid not in self._cells:
            return
        file, cell = self._cells[report.nodeid]
        streamed = received(report)
        if streamed is not None:
            self._results[file.model, cell.id] = self._result(file, cell, streamed)
        elif report.failed:
            # Not `longreprtext`, which begins with the worker's name under xdist.
            self._results[file.model, cell.id] = CellResult(cell, error=str(report.longrepr).strip())

    def _result(self, file: GateFile, cell: Cell, streamed: Streamed) -> CellResult:
        measurement, pairing = streamed.measurement, streamed.pairing
        outcome = outcome_of(file, cell, measurement, pairing, self._settings, runxfail=self._runxfail)
        return CellResult(
            cell,
            measurement,
            outcome.verdict,
            accepted=outcome.accepted,
            known=outcome.known,
            pairing=pairing,
        )

    def measured(self, file: GateFile) -> list[Cell]:
        """Cells of a model that were measured, in the order of the grid."""
        found = [self._results.get((file.model, cell.id)) for cell in file.cells]
        return [result.cell for result in found if result and result.measurement]

    def pooled(self, file: GateFile) -> tuple[Pooled, ...]:
        """Compare the cells of a model that changed together, but for those accepted or known."""
        bare = untuned(self._settings.extensions)
        # In the order of the grid, not of arrival: sums must not depend on who came first.
        results = [self._results.get((file.model, cell.id)) for cell in file.cells]
        cells = [
            (result.cell.pruner if is_tuned(result.cell, bare) else None, result.verdict)
            for result in results
            if result and result.verdict and not (result.accepted or result.known)
        ]
        protocol, metrics = self._settings.protocol, self._settings.metrics
        family = file.family or family_of(file.baseline, protocol, metrics, bare)
        return together(cells, metrics, protocol.min_effect, family.rate.pooled)

    # Not after xdist, which waits for workers that do not end: who was told to terminate has seconds.
    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write what is to be written, each file atomically; failing to write fails the session."""
        interrupted = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        if session.config.getoption("collectonly", default=False):
            self._drop_empty_folder()
            return
        models = tuple(self._finish(file) for file in self._settings.files)
        self.run = Run(
            self._settings.protocol,
            self._settings.metrics,
            models,
            interrupted,
            power=self._settings.options.power,
            seeds=self._settings.options.seeds or 1,
        )
        self._write(self._settings.options.report, html.render)
        self._write(self._settings.options.json, json.render)
        self._append_summary(os.environ.get("GITHUB_STEP_SUMMARY"))
        self._drop_empty_folder()
        if self._problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        if self.run is None or not (self.run.results or self._problems):
            return
        terminalreporter.section("prunecal")
        for said in terminal.lines(self.run):
            terminalreporter.write_line(said)
        for problem in self._problems:
            terminalreporter.write_line(line(problem), red=True)

    def _finish(self, file: GateFile) -> ModelRun:
        """Refresh one model's baseline if that was asked for, and sum the model up."""
        results = [result for (model, _), result in self._results.items() if model == file.model]
        measured = self.measured(file)
        whole = not self._settings.narrowed and {*file.cells} == {*measured}
        orphans, refreshed = file.orphans, ""
        if any(result.accepted for result in results):
            removable = orphans if self._settings.options.update == "all" and whole else ()
            try:
                refreshed = accept(file, results, removable, self._settings)
                orphans = () if removable else orphans
            except (PrunecalError, OSError) as error:
                self._problems.append(
                    str(error) if isinstance(error, PrunecalError) else f"{file.name}: not refreshed: {error}"
                )
        return ModelRun(
            model=file.model,
            file=file.name,
            results=sort_results(results, self._settings.protocol),
            orphans=orphans,
            environment=self._environment(file, results),
            refreshed=refreshed,
            accept=self._settings.accept_command(file, measured),
            keep=self._settings.accept_command(
                file, [result.cell for result in results if result.label == "improvement"]
            ),
            pooled=self.pooled(file),
            comparisons=file.family.rate.comparisons if file.family else 0,
        )

    def _environment(self, file: GateFile, results: list[CellResult]) -> str:
        """How this run's environment differs from the baseline's."""
        for result in results:
            if result.measurement and file.baseline and result.cell.id in file.baseline.cells:
                there = file.baseline.environment_of(result.cell.id)
                if difference := baseline.environments(there, environment_of(result.measurement)):
                    return difference
        return ""

    def _drop_empty_folder(self) -> None:
        """Leave no folder behind that was made for this session and into which nothing was accepted."""
        if self._settings.options.update or not any(file.baseline for file in self._settings.files):
            with suppress(OSError):  # it holds baselines
                self._settings.folder.rmdir()
                self._settings.folder.parent.rmdir()

    def _write(self, path: Path | None, render: Callable[[Run], str]) -> None:
        if path is None or self.run is None:
            return
        try:
            make_folder(path.parent)
            write_atomically(path, render(self.run).encode())
            sweep(path.parent, re.escape(path.name), locked=False)
        except OSError as error:
            self._problems.append(f"{path}: not written: {error.strerror or error}")

    def _append_summary(self, path: str | None) -> None:
        """Add the summary to a GitHub job's page, where one is offered."""
        if path and self.run and self.run.results:
            try:
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(markdown.render(self.run) + "\n")
            except OSError as error:
                self._problems.append(f"{path}: not written: {error.strerror or error}")
