"""The controller's side: gathers what the workers streamed, judges it, writes everything once at the end."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prunecal import baseline, document, refresh
from pytest_prunecal.atomic import write_atomically
from pytest_prunecal.collection import CellItem, accepts, judge_cell
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.measurement import Measurement
from pytest_prunecal.report import html, json, markdown, terminal
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.gate import GateFile
    from pytest_prunecal.settings import Settings


STREAMED = "prunecal"
"""Attribute of a test report that carries a measurement."""


def stream(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put a cell's measurement, builtins only, on the report that travels to the controller."""
    if isinstance(item, CellItem) and report.when == "call" and item.measurement is not None:
        setattr(report, STREAMED, item.measurement.to_dict())


class Results:
    """Gathers the cells of a session and writes baselines and reports when it ends.

    Registered where tests are reported: in the only process, or in xdist's controller; never in a worker.

    Args:
        settings: of the session.
        root: pytest's root directory, which node ids are relative to.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings, self._root = settings, root
        self._results: dict[tuple[str, str], CellResult] = {}
        self._problems: list[str] = []
        self.run: Run | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one report: a measurement, or the failure of a cell that has none."""
        streamed: dict[str, Any] | None = getattr(report, STREAMED, None)
        if streamed is None and not report.failed:
            return
        found = self._find(report.nodeid)
        if found is None:
            return
        file, cell = found
        if streamed is None:
            # Not `longreprtext`, which begins with the worker's name under xdist.
            result = CellResult(cell, error=str(report.longrepr).strip())
        else:
            measurement = Measurement.from_dict(streamed)
            verdict = judge_cell(file, cell, measurement, self._settings)
            accepted = accepts(self._settings.update, verdict)
            result = CellResult(cell, measurement, verdict, accepted=accepted)
        self._results[file.model, cell.id] = result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write what is to be written, each file atomically; failing to write fails the session."""
        interrupted = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        if session.config.getoption("collectonly", default=False):
            self._drop_empty_folder()
            return
        models = tuple(self._finish(file) for file in self._settings.files)
        self.run = Run(self._settings.protocol, self._settings.metrics, models, interrupted)
        self._write(self._settings.report, html.render)
        self._write(self._settings.json, json.render)
        self._append_summary(os.environ.get("GITHUB_STEP_SUMMARY"))
        self._drop_empty_folder()
        if self._problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        if self.run is None or not (self.run.results or self._problems):
            return
        terminalreporter.section("prunecal")
        for line in terminal.lines(self.run):
            terminalreporter.write_line(line)
        for problem in self._problems:
            terminalreporter.write_line(problem, red=True)

    def _find(self, nodeid: str) -> tuple[GateFile, Any] | None:
        path, _, name = nodeid.partition("::")
        for file in self._settings.files:
            if os.path.normpath(self._root / path) == os.path.normpath(file.path):
                for cell in file.cells:
                    if name == f"prune[{cell.id}]":
                        return file, cell
        return None

    def _finish(self, file: GateFile) -> ModelRun:
        """Refresh one model's baseline if that was asked for, and sum the model up."""
        results = [result for (model, _), result in self._results.items() if model == file.model]
        accepted_cells = file.baseline.cells if file.baseline else {}
        measured = {result.cell.id for result in results if result.measurement}
        orphans = tuple(cell_id for cell_id in accepted_cells if cell_id not in file.grid | measured)
        refreshed = ""
        if any(result.accepted for result in results):
            removed = orphans if self._settings.update == "all" and file.grid <= measured else ()
            try:
                refreshed = self._refresh(file, results, removed)
                orphans = () if removed else orphans
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
            accept=self._settings.accept_command(file.model),
        )

    def _refresh(self, file: GateFile, results: list[CellResult], removed: tuple[str, ...]) -> str:
        """Write the accepted numbers into the file as it is now; say what was done."""
        accepted = {result.cell.id: result for result in results if result.accepted and result.measurement}
        base = self._pin(file, results) if self._settings.pin else None
        environment = _environment_of(next(iter(accepted.values())))
        change = refresh.Change(
            model=file.model,
            environment=environment | {"base": "pinned"} if base else environment,
            cells={
                cell_id: dict(result.measurement.metrics)
                for cell_id, result in accepted.items()
                if result.measurement
            },
            removed=removed,
            base=base,
        )
        text = document.read_text(file.path, file.name) if file.path.exists() else None
        new = refresh.apply(text, change, self._settings.protocol, self._settings.metrics, file.name)
        if new == text:
            return f"{file.name}: already says all of it"
        write_atomically(file.path, new.encode())
        self._drop_unpinned(file, base)
        said = f"{file.name}: accepted {len(accepted)} cell{'s' * (len(accepted) != 1)}"
        return said + (f", removed {', '.join(removed)}" if removed else "") + "; review the diff like code"

    def _pin(self, file: GateFile, results: list[CellResult]) -> dict[str, baseline.PinnedBase]:
        """Put the base networks that this run trained beside the baseline file.

        A file carries its digest in its name, so that the old ones stay until the baseline names the new.
        """
        if not file.grid <= {result.cell.id for result in results if result.measurement}:
            raise PrunecalError(f"{file.name}: not pinned: not every cell was measured from the new base")
        bases = {}
        for result in results:
            provenance = result.measurement.provenance if result.measurement else {}
            kind = str(provenance["base_kind"])
            if kind not in bases:
                content = (Path(self._settings.store) / str(provenance["base_entry"])).read_bytes()
                sha256 = hashlib.sha256(content).hexdigest()
                name = f"{file.path.stem}-{kind}-{sha256[:8]}.safetensors"
                write_atomically(file.path.with_name(name), content)
                recipe = self._settings.protocol.base_fingerprint(file.model, kind)
                bases[kind] = baseline.PinnedBase(name, sha256, recipe)
        return bases

    def _drop_unpinned(self, file: GateFile, base: dict[str, baseline.PinnedBase] | None) -> None:
        """Remove the files that were pinned before and are not any more."""
        kept = {pinned.file for pinned in (base or {}).values()}
        for kind, pinned in (file.baseline.base if file.baseline else {}).items():
            if base and kind in base and pinned.file not in kept:
                file.path.with_name(pinned.file).unlink(missing_ok=True)

    def _environment(self, file: GateFile, results: list[CellResult]) -> str:
        """How this run's environment differs from the baseline's."""
        for result in results:
            if result.measurement and file.baseline and result.cell.id in file.baseline.cells:
                there = file.baseline.environment_of(result.cell.id)
                if difference := baseline.environments(there, _environment_of(result)):
                    return difference
        return ""

    def _drop_empty_folder(self) -> None:
        """Leave no folder behind that was made for an update and into which nothing was accepted."""
        if self._settings.update:
            with suppress(OSError):  # it holds baselines
                self._settings.folder.rmdir()
                self._settings.folder.parent.rmdir()

    def _write(self, path: Path | None, render: Callable[[Run], str]) -> None:
        if path is None or self.run is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, render(self.run).encode())
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


def _environment_of(result: CellResult) -> dict[str, str]:
    provenance = result.measurement.provenance if result.measurement else {}
    return {key: str(provenance[key]) for key in baseline.ENVIRONMENT_FIELDS if key in provenance}
