"""From the gate to pytest items: one folder a protocol, one file a model, one item a cell."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.engine import engine_of
from pytest_prunecal.gate.outcome import outcome_of, pairing_of
from pytest_prunecal.gate.registry import untuned
from pytest_prunecal.gate.stash import SETTINGS, runxfail
from pytest_prunecal.report.failure import failure
from pytest_prunecal.report.run import Against
from pytest_prunecal.study.cell import interleaved
from pytest_prunecal.study.metric import DECIMALS
from pytest_prunecal.study.text import flowing, line, lines, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _pytest._code import Traceback
    from pluggy import HookRelay

    from pytest_prunecal.gate.outcome import Outcome
    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.pairing import Pairing
    from pytest_prunecal.study.trace import Jitter


_INSTALLED = {"site-packages", "dist-packages"}

_REPEATS = 2
"""How often an accepted cell of several seeds is repeated to see how far float arithmetic alone moves it."""


def nodeid_of(file: GateFile, config: pytest.Config) -> str:
    """A model's node id: its baseline file below, or above, pytest's root directory.

    Said here because pytest's own ids are ambiguous for files outside that directory.
    """
    return os.path.relpath(file.path, config.rootpath).replace(os.sep, "/")


def item_name(what: str) -> str:
    """Name of the test of a cell, by its id, or of all cells of a model at once."""
    return f"prune[{what}]"


def interleave(items: list[pytest.Item]) -> None:
    """Order the cells of several models for several workers, each where a cell was."""
    places = [place for place, item in enumerate(items) if isinstance(item, CellItem)]
    cells = {item.cell: item for item in items if isinstance(item, CellItem)}
    models: dict[str, list[Cell]] = {}
    for cell in cells:
        models.setdefault(cell.model, []).append(cell)
    if len(cells) == len(places) and len(models) > 1:
        for place, cell in zip(places, interleaved(list(models.values())), strict=True):
            items[place] = cells[cell]


def _hooks_of(node: pytest.Item | pytest.File) -> HookRelay:
    """The hooks of each conftest.py at or above a baseline file, which need not exist yet.

    Of a path where nothing is, pytest takes that no conftest.py is in charge.
    """
    return node.session.gethookproxy(node.path.parent)


class ProtocolFolder(pytest.Directory):
    """The folder of a protocol's baselines; yields files that need not exist yet."""

    def collect(self) -> Iterator[BaselineFile]:
        """One file a selected model."""
        for file in self.config.stash[SETTINGS].files:
            nodeid = nodeid_of(file, self.config)
            yield BaselineFile.from_parent(self, path=file.path, nodeid=nodeid, file=file)


class BaselineFile(pytest.File):
    """One model's baseline file."""

    def __init__(self, *, file: GateFile, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self.file = file

    @property
    def ihook(self) -> HookRelay:
        """The hooks of each conftest.py that is in charge."""
        return _hooks_of(self)

    def collect(self) -> Iterator[CellItem]:
        """One item a selected cell."""
        for cell in self.file.cells:
            name = item_name(cell.id)
            # As text, which pytest takes apart into name and parameter; --lf compares the parts.
            yield CellItem.from_parent(
                self, name=name, nodeid=f"{self.nodeid}::{name}", file=self.file, cell=cell
            )


class CellItem(pytest.Item):
    """One cell: measures it and compares the numbers with the baseline."""

    def __init__(self, *, file: GateFile, cell: Cell, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self.file, self.cell = file, cell
        self.measurement: Measurement | None = None
        self.pairing: Pairing | None = None

    @property
    def ihook(self) -> HookRelay:
        """The hooks of each conftest.py that is in charge."""
        return _hooks_of(self)

    def runtest(self) -> None:
        """Measure, look again as long as the cell is in doubt, then say what became of it."""
        settings = self.config.stash[SETTINGS]
        self.measurement = None  # it may run again, and come to nothing
        try:
            measurement, outcome = self._measured(settings)
        except PrunecalError as error:
            # `from None`, or the report would show the error twice.
            raise pytest.fail.Exception(lines(str(error)), pytrace=False) from None
        self.measurement = measurement
        self.user_properties.extend(
            (f"prunecal_{visible(name)}", value) for name, value in measurement.metrics.items()
        )
        self.user_properties.extend(
            (f"prunecal_recovery_{visible(row.metric)}", round(row.share, DECIMALS))
            for row in outcome.verdict.recovery
            if row.share is not None
        )
        if outcome.result == "xfailed":
            pytest.xfail(f"known regression: {flowing(outcome.known)}")
        if outcome.result == "failed":
            found = against(self.file, settings, [self.cell], self.cell)
            pytest.fail(failure(self.cell, outcome.verdict, found, settings.metrics), pytrace=False)
        if outcome.superfluous:
            says = line(f"{outcome.superfluous}: {self.cell.id} is marked as a known regression and passes")
            warnings.warn(pytest.PytestWarning(f"{says}; remove the mark"), stacklevel=1)

    def _measured(self, settings: Settings) -> tuple[Measurement, Outcome]:
        """Measure over as many seeds as it takes, and what then becomes of the cell."""
        engine, update = engine_of(self.config), settings.options.update
        if self.cell.candidate:  # nothing is trained, so no seed makes a difference
            measurement = engine.measure(self.cell)
            return measurement, self._outcome(measurement, settings)
        seeds = settings.options.seeds or (self.file.seeds if update == "all" else 1)
        # A second base network in the looks of a gate would be noise that the first look had not, and dear.
        accepted = self.file.accepted(self.cell)
        one_base = update is None and (
            accepted.seeds == 1 if accepted else bool(self.file.recovery(self.cell, settings.protocol))
        )
        while True:
            measurement = engine.measure(self.cell, seeds, one_base=one_base)
            outcome = self._outcome(measurement, settings)
            more = self._further(outcome, settings)
            if more <= seeds:
                break
            seeds = more
        if outcome.accepted:
            measurement = _with_jitter(
                measurement, engine.jitter(self.cell, _REPEATS if seeds > 1 else 0, measurement)
            )
            outcome = self._outcome(measurement, settings)
        return measurement, outcome

    def _further(self, outcome: Outcome, settings: Settings) -> int:
        """Over how many seeds to look next; 0 if that was the last look."""
        if settings.options.update == "all":
            return 0
        # What is accepted stands beside the others, and is as sure as they are.
        enough = settings.options.seeds or self.file.seeds
        return outcome.verdict.more or (enough if outcome.accepted else 0)

    def _outcome(self, measurement: Measurement, settings: Settings) -> Outcome:
        bare = untuned(settings.extensions)
        self.pairing = pairing_of(self.file, self.cell, measurement, settings.metrics, bare)
        return outcome_of(
            self.file, self.cell, measurement, self.pairing, settings, runxfail=runxfail(self.config)
        )

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Any = None,  # noqa: ANN401 - pytest's own
    ) -> Any:  # noqa: ANN401 - pytest's own
        """A failure as text; an error in a user's own code without our frames around it."""
        if isinstance(excinfo.value, pytest.fail.Exception) or self.config.getoption(
            "fulltrace", default=False
        ):
            return _readable(super().repr_failure(excinfo, style))
        chosen = self.config.getoption("tbstyle", default="auto")
        return _readable(
            excinfo.getrepr(style="short" if chosen == "auto" else chosen, tbfilter=_without_ours)
        )

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the cell stands: its line in the baseline file."""
        accepted = self.file.accepted(self.cell)
        return self.path, accepted.line - 1 if accepted else None, line(f"{self.cell.model} {self.cell.id}")


def _with_jitter(measurement: Measurement, jitter: Jitter) -> Measurement:
    """The same with how far float arithmetic alone moves it: part of what is accepted."""
    by_image = measurement.by_image and replace(measurement.by_image, jitter=jitter)
    return replace(measurement, by_image=by_image, jitter=jitter)


def _readable(shown: Any) -> Any:  # noqa: ANN401 - a text, or one of pytest's own
    """A failure whose texts, such as an exception's message, are shown and not obeyed."""
    if isinstance(shown, str):
        return lines(shown)
    alone = [(getattr(shown, "reprtraceback", None), getattr(shown, "reprcrash", None), "")]
    for traceback, crash, _ in getattr(shown, "chain", alone):
        for entry in getattr(traceback, "reprentries", ()):
            entry.lines[:] = [lines(text) for text in entry.lines]
        if crash is not None:
            crash.message = lines(crash.message)
    return shown


def _without_ours(excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
    """The frames after `runtest`: the user's own; else those that are not this package's; else all."""
    frames = excinfo.traceback.cut(path=__file__)
    others = frames.filter(lambda frame: Path(__file__).parent.parent not in Path(frame.path).parents)
    own = others.filter(lambda frame: not _INSTALLED & {*Path(frame.path).parts})
    return own or others or frames


def against(
    file: GateFile, settings: Settings, accepting: Sequence[Cell], cell: Cell | None = None
) -> Against:
    """What a failure of a cell, or of a model's cells at once, stands against, and how some are accepted."""
    protocol, accepted = settings.protocol.name, file.accepted(cell) if cell else None
    accept = settings.accept_command(file, accepting)
    if accepted is None:
        return Against(protocol, file.name, accept)
    return Against(protocol, file.name, accept, accepted.line, accepted.note, accepted.known)
