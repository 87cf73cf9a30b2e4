"""What a run found, as data: all that any report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.numbers import finite
from pytest_prunecal.study.cell import canonical_order
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.baseline.file import Known
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement, Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.pairing import Pairing
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.uncertainty import Uncertainty


@dataclass(frozen=True)
class Against:
    """What a failure stands against, and the way on.

    Attributes:
        protocol: name of the protocol.
        file: the baseline file as shown to people.
        accept: the command that accepts the numbers.
        line: where in the file the cell begins, counted from 1; 0 if it is not there.
        note: what a person wrote about the cell.
        known: the regression that people know of; None if they know of none.
    """

    protocol: str
    file: str
    accept: str
    line: int = 0
    note: str = ""
    known: Known | None = None


@dataclass(frozen=True)
class CellResult:
    """What became of one cell.

    Attributes:
        cell: which.
        measurement: its numbers; None if it was not measured.
        verdict: against the baseline; None if it was not measured.
        error: why it was not measured: one sentence, or a traceback; empty if it was.
        accepted: whether its numbers were taken as the baseline in this run.
        known: why its regression is tolerated; empty if it is not one, or not tolerated.
        pairing: how its measurement relates to the accepted one; None if it was not measured.
    """

    cell: Cell
    measurement: Measurement | None = None
    verdict: CellVerdict | None = None
    error: str = ""
    accepted: bool = False
    known: str = ""
    pairing: Pairing | None = None

    @property
    def label(self) -> str:
        """One word: the verdict's status, `identical`, `recovered`, `accepted`, `known` or `error`."""
        if self.verdict is None:
            return "error"
        if self.known:
            return "known"
        if self.verdict.short and (self.accepted or self.verdict.status is Status.UNRECOVERED):
            return Status.UNRECOVERED.value
        if self.accepted and not self.verdict.identical:
            return "accepted"
        if self.verdict.status is Status.OK and self.verdict.without_baseline and self.verdict.recovery:
            return "recovered"
        return "identical" if self.verdict.identical else self.verdict.status.value

    @property
    def failed(self) -> bool:
        """Whether the cell's test failed."""
        if self.verdict is None:
            return True
        fails = bool(self.verdict.short) or (self.verdict.status.fails and not self.accepted)
        return fails and not self.known

    @property
    def alone(self) -> bool:
        """Whether rules of recovery judge it alone, as there is no baseline: accepting would silence none."""
        return self.verdict is not None and self.verdict.without_baseline

    @property
    def reused(self) -> bool:
        """Whether it was not measured, because nothing that its numbers depend on has changed."""
        return bool(self.measurement and self.measurement.reused)

    @property
    def rows(self) -> dict[str, MetricVerdict]:
        """The comparisons by metric; none if there was nothing to compare."""
        return {row.metric: row for row in self.verdict.metrics} if self.verdict else {}

    @property
    def measured(self) -> Mapping[str, Number]:
        """The metrics as measured, in full precision."""
        return self.measurement.metrics if self.measurement else {}

    def change(self, metric: str) -> Number | None:
        """Measured minus baseline; None where there is nothing to compare."""
        row = self.rows.get(metric)
        return row.change if row else None

    def sure(self, metric: str) -> Uncertainty:
        """How sure a metric is as measured; what is not a finite number is not known."""
        found = self.measurement.uncertainty.get(metric, UNKNOWN) if self.measurement else UNKNOWN
        return finite(found)


@dataclass(frozen=True)
class ModelRun:
    """One model's part of a run.

    Attributes:
        model: the model's name.
        file: its baseline file as shown to people.
        results: cell by cell, in canonical order.
        orphans: ids of accepted cells that no pruner registered and no ratio configured can make.
        environment: how the environment differs from the baseline's, such as `torch 2.11.0 -> 2.12.0`; empty
            if it does not.
        refreshed: what became of the baseline file in this run: one sentence, or empty.
        accept: the command that accepts the numbers of the cells that this run measured; empty if none were.
        keep: the command that accepts those that got better beyond tolerance, and no others; likewise.
        pooled: cells compared together, metric by metric; those neither accepted nor known.
        comparisons: how many comparisons with noise all accepted cells of the model make, which share the
            protocol's rate of false alarms.
    """

    model: str
    file: str
    results: tuple[CellResult, ...]
    orphans: tuple[str, ...] = ()
    environment: str = ""
    refreshed: str = ""
    accept: str = ""
    keep: str = ""
    pooled: tuple[Pooled, ...] = ()
    comparisons: int = 0

    @property
    def worse(self) -> list[Pooled]:
        """In which metrics cells, pooled, got worse."""
        return [row for row in self.pooled if row.status is Status.REGRESSION]


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        protocol: under which everything was measured.
        metrics: what is known of each metric, in canonical order.
        models: model by model.
        interrupted: whether the session ended before its time.
        power: whether the summary lists what each comparison can see.
        seeds: over how many the measuring of each cell began.
    """

    protocol: Protocol
    metrics: Mapping[str, Metric]
    models: tuple[ModelRun, ...]
    interrupted: bool = False
    power: bool = False
    seeds: int = 1

    @property
    def results(self) -> list[CellResult]:
        """Every cell of every model."""
        return [result for model in self.models for result in model.results]


def sort_results(results: list[CellResult], protocol: Protocol) -> tuple[CellResult, ...]:
    """Dense first, then pruner by pruner in the protocol's order, ratios ascending."""
    return tuple(sorted(results, key=lambda result: canonical_order(result.cell, protocol.pruners)))
