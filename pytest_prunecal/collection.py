"""From the gate to pytest items: one folder a protocol, one file a model, one item a cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.options import SETTINGS
from pytest_prunecal.report.failure import failure
from pytest_prunecal.verdict import CellVerdict, Status, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest._code import Traceback

    from pytest_prunecal.cell import Cell
    from pytest_prunecal.engines import Engine
    from pytest_prunecal.gate import GateFile
    from pytest_prunecal.measurement import Measurement
    from pytest_prunecal.settings import Settings

_ENGINE = pytest.StashKey["Engine"]()


def engine_of(config: pytest.Config, settings: Settings) -> Engine:
    """The session's engine, made at the first measurement: this is where torch is first imported."""
    if _ENGINE not in config.stash:
        from pytest_prunecal.engines.local import LocalEngine  # noqa: PLC0415 - keeps torch out until here

        worker = int(getattr(config, "workerinput", {}).get("workerid", "gw0").removeprefix("gw"))
        config.stash[_ENGINE] = LocalEngine(
            settings.protocol,
            settings.store,
            settings.device,
            settings.data,
            settings.extensions,
            settings.bases,
            worker,
        )
    return config.stash[_ENGINE]


class ProtocolFolder(pytest.Directory):
    """The folder of a protocol's baselines; yields files that need not exist yet."""

    def collect(self) -> Iterator[BaselineFile]:
        """One file a selected model."""
        for file in self.config.stash[SETTINGS].files:
            # Said here because pytest's own ids are ambiguous for files outside the root directory.
            nodeid = os.path.relpath(file.path, self.config.rootpath).replace(os.sep, "/")
            yield BaselineFile.from_parent(self, path=file.path, nodeid=nodeid, file=file)


class BaselineFile(pytest.File):
    """One model's baseline file."""

    def __init__(self, *, file: GateFile, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self.file = file

    def collect(self) -> Iterator[CellItem]:
        """One item a selected cell."""
        for cell in self.file.cells:
            name = f"prune[{cell.id}]"
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

    def runtest(self) -> None:
        """Measure, then judge."""
        settings = self.config.stash[SETTINGS]
        try:
            self.measurement = engine_of(self.config, settings).measure(self.cell)
        except PrunecalError as error:
            # `from None`, or the report would show the error twice.
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        self.user_properties.extend(
            (f"prunecal_{name}", value) for name, value in self.measurement.metrics.items()
        )
        verdict = judge_cell(self.file, self.cell, self.measurement, settings)
        if verdict.status.fails and not accepts(settings.update, verdict):
            pytest.fail(failure(self.file, self.cell, verdict, settings), pytrace=False)

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Any = None,  # noqa: ANN401 - pytest's own
    ) -> Any:  # noqa: ANN401 - pytest's own
        """A failure as text; an error in a user's own code without our frames around it."""
        if isinstance(excinfo.value, pytest.fail.Exception) or self.config.getoption(
            "fulltrace", default=False
        ):
            return super().repr_failure(excinfo, style)
        chosen = self.config.getoption("tbstyle", default="auto")
        return excinfo.getrepr(style="short" if chosen == "auto" else chosen, tbfilter=_without_ours)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the cell stands: its line in the baseline file."""
        accepted = self.file.baseline.cells.get(self.cell.id) if self.file.baseline else None
        return self.path, accepted.line - 1 if accepted else None, f"{self.cell.model} {self.cell.id}"


def _without_ours(excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
    """The frames after `runtest`, those of this package only where nothing else is left."""
    frames = excinfo.traceback.cut(path=__file__)
    return frames.filter(lambda frame: Path(__file__).parent not in Path(frame.path).parents) or frames


def judge_cell(file: GateFile, cell: Cell, measurement: Measurement, settings: Settings) -> CellVerdict:
    """Compare a cell's measurement with its baseline under the tolerances that apply to it."""
    accepted = file.baseline.cells.get(cell.id) if file.baseline else None
    tolerances = (
        file.baseline.tolerances_of(cell.id, settings.protocol)
        if file.baseline
        else settings.protocol.tolerance
    )
    return judge(measurement.metrics, accepted.metrics if accepted else None, tolerances, settings.metrics)


def accepts(update: str | None, verdict: CellVerdict) -> bool:
    """Whether an update of this kind takes a cell's numbers as its new baseline."""
    if update == "missing":
        # New metrics must not carry another's regression along, nor the loss of one.
        lost = [row for row in verdict.having(Status.MISSING) if row.baseline is not None]
        return verdict.status is Status.MISSING and not lost and not verdict.having(Status.REGRESSION)
    return update == "all" or (update == "failing" and verdict.status.fails)
