"""The gate of the laboratory: a baseline of several seeds, and runs judged as sessions judge theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline import images as images_file
from pytest_prunecal.baseline import refresh
from pytest_prunecal.gate.family import family_of
from pytest_prunecal.gate.outcome import environment_of, outcome_of, pairing_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.pooled import together
from pytest_prunecal.judge.sequence import next_look
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.study import metric
from pytest_prunecal.study.extensions import Extensions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab import Subject

    from pytest_prunecal.baseline.file import Baseline
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.lab.over_seeds import Trial
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.image_results import ImageResults
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.trace import Jitter


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
        self.settings = settings_of(subject.protocol)
        accepted = {
            cell: combine([trials[cell] for trials in seeds], self.settings.metrics) for cell in seeds[0]
        }
        change = refresh.Change(
            subject.model,
            environment_of(next(iter(accepted.values()))),
            {cell: dict(found.metrics) for cell, found in accepted.items()},
            uncertainty={cell: found.uncertainty for cell, found in accepted.items()},
            networks={
                cell: str(found.provenance["network"])
                for cell, found in accepted.items()
                if "network" in found.provenance
            },
        )
        text = refresh.apply(None, change, subject.protocol, self.settings.metrics, "baseline")
        beside = {
            cell: replace(found.by_image, jitter=jitter[cell] if jitter else None)
            for cell, found in accepted.items()
            if found.by_image
        }
        content = images_file.dump(beside)
        self.size = len(content)
        self.file = file_of(
            baseline.parse(text, "baseline"), subject, images_file.load(content, "images"), self.settings
        )

    def judge(self, run: Sequence[Mapping[str, Trial]]) -> Outcome:
        """Judge a run: the trials of its seeds in the order in which they are looked at, each by cell."""
        verdicts = {}
        for cell in self.file.cells:
            verdict = self.verdict(cell, run[:1])
            while verdict.seeds < verdict.more <= len(run):
                verdict = self.verdict(cell, run[: verdict.more])
            verdicts[cell.id] = verdict
        return Outcome(verdicts, self.pooled(verdicts))

    def looks(self, cell: Cell, run: Sequence[Mapping[str, Trial]]) -> list[CellVerdict]:
        """A cell's verdicts at every look that the run's seeds allow, whether or not it comes to it."""
        found, seeds = [], 1
        while 0 < seeds <= len(run):
            found.append(self.verdict(cell, run[:seeds]))
            seeds = next_look(seeds, self.settings.protocol.repeat)
        return found

    def verdict(self, cell: Cell, run: Sequence[Mapping[str, Trial]]) -> CellVerdict:
        """What a session says of a cell over some seeds."""
        found = combine([trials[cell.id] for trials in run], self.settings.metrics)
        return of(self.file, cell, found, self.settings)

    def pooled(self, verdicts: Mapping[str, CellVerdict]) -> tuple[Pooled, ...]:
        """The cells together, at the end of a run."""
        assert self.file.family is not None
        cells = [(cell.pruner, verdicts[cell.id]) for cell in self.file.cells]
        protocol = self.settings.protocol
        return together(cells, self.settings.metrics, protocol.min_effect, self.file.family.rate.pooled)


def of(file: GateFile, cell: Cell, measurement: Measurement, settings: Settings) -> CellVerdict:
    """What a session says of a measurement."""
    pairing = pairing_of(file, cell, measurement, settings.metrics)
    return outcome_of(file, cell, measurement, pairing, settings, runxfail=False).verdict


def file_of(
    found: Baseline, subject: Subject, images: dict[str, ImageResults], settings: Settings
) -> GateFile:
    """A model's part of the gate, as a session reads it."""
    cells = tuple(subject.cells)
    family = family_of(found, subject.protocol, settings.metrics, images=images)
    ids = frozenset(cell.id for cell in cells)
    return GateFile(subject.model, Path("baseline"), "baseline", found, cells, ids, images, family=family)


def settings_of(protocol: Protocol) -> Settings:
    """A session's settings, as far as judging reads them."""
    options = SimpleNamespace(update=None, changed="tell")
    named = {"protocol": protocol, "metrics": metric.known(), "options": options, "extensions": Extensions()}
    return cast("Settings", SimpleNamespace(**named))
