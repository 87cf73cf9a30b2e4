"""The gate of the laboratory: a baseline of several seeds, and runs that are judged as sessions judge theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline import images as images_file
from pytest_prunecal.baseline import refresh
from pytest_prunecal.gate.outcome import environment_of, outcome_of, pooled_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.sequence import next_look
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.study import metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lab import Subject

    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.lab.over_seeds import Trial
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.trace import Jitter

Trials = "Mapping[str, Trial]"


@dataclass(frozen=True)
class Outcome:
    """What the gate said of one run.

    Attributes:
        cells: last verdict by cell id.
        pooled: the cells compared together.
    """

    cells: dict[str, CellVerdict]
    pooled: tuple[Pooled, ...]

    @property
    def failed(self) -> bool:
        return bool(self.caught)

    @property
    def caught(self) -> list[str]:
        """What failed: `cell metric`, `cell screen` for a ruler that differs, `pruner together metric`."""
        found = []
        for cell, verdict in self.cells.items():
            rows = [f"{cell} {row.metric}" for row in verdict.metrics if row.status.fails]
            found += rows or ([f"{cell} screen"] if verdict.status.fails else [])
        return found + [
            f"{row.group or 'all'} together {row.metric}" for row in self.pooled if row.status.fails
        ]


class Gate:
    """A baseline file and what lies beside it, written and read back as a user's are.

    Args:
        subject: what is gated.
        seeds: the trials that are accepted, by seed: each by cell.
        jitter: how far float arithmetic moves each cell; None where that was not measured.
    """

    def __init__(
        self,
        subject: Subject,
        seeds: Sequence[Mapping[str, Trial]],
        jitter: Mapping[str, Jitter] | None = None,
    ) -> None:
        self.settings = settings_of(subject)
        accepted = {
            cell: combine([trials[cell] for trials in seeds], self.settings.metrics) for cell in seeds[0]
        }
        change = refresh.Change(
            subject.model,
            environment_of(next(iter(accepted.values()))),
            {cell: dict(found.metrics) for cell, found in accepted.items()},
            uncertainty={cell: found.uncertainty for cell, found in accepted.items()},
        )
        text = refresh.apply(None, change, subject.protocol, self.settings.metrics, "baseline")
        beside = {
            cell: replace(found.by_image, jitter=jitter[cell] if jitter else None)
            for cell, found in accepted.items()
            if found.by_image
        }
        content = images_file.dump(beside)
        self.size = len(content)
        cells = tuple(subject.cells)
        self.file = GateFile(
            subject.model,
            Path("baseline"),
            "baseline",
            baseline.parse(text, "baseline"),
            cells,
            frozenset(cell.id for cell in cells),
            images_file.load(content, "images"),
        )

    def judge(self, run: Sequence[Mapping[str, Trial]]) -> Outcome:
        """Judge a run: the trials of its seeds in the order in which they are looked at, each by cell."""
        verdicts = {}
        for cell in self.file.cells:
            verdict = self.verdict(cell, run[:1])
            while verdict.more:
                verdict = self.verdict(cell, run[: verdict.more])
            verdicts[cell.id] = verdict
        return Outcome(verdicts, pooled_of(self.file, verdicts, self.settings))

    def looks(self, cell: Cell, run: Sequence[Mapping[str, Trial]]) -> list[CellVerdict]:
        """A cell's verdicts at every look there may be, whether or not it comes to it."""
        found, seeds = [], 1
        while seeds:
            found.append(self.verdict(cell, run[:seeds]))
            seeds = next_look(seeds, self.settings.protocol.repeat)
        return found

    def verdict(self, cell: Cell, run: Sequence[Mapping[str, Trial]]) -> CellVerdict:
        """What a session says of a cell over some seeds."""
        return self.of(cell, combine([trials[cell.id] for trials in run], self.settings.metrics))

    def of(self, cell: Cell, measurement: Measurement) -> CellVerdict:
        """What a session says of a measurement."""
        return outcome_of(self.file, cell, measurement, self.settings, runxfail=False).verdict


def settings_of(subject: Subject) -> Settings:
    """A session's settings, as far as judging reads them."""
    options = SimpleNamespace(update=None, changed="tell", repeat=None)
    return cast(
        "Settings", SimpleNamespace(protocol=subject.protocol, metrics=metric.known(), options=options)
    )
