"""What a run found, as data: all that any report is made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.study.cell import canonical_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.pairing import Pairing
    from pytest_prunecal.study.protocol import Protocol


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
        """One word for a table: the verdict's status, `identical`, `accepted`, `known` or `error`."""
        if self.verdict is None:
            return "error"
        if self.known:
            return "known"
        if self.accepted and not self.verdict.identical:
            return "accepted"
        return "identical" if self.verdict.identical else self.verdict.status.value

    @property
    def failed(self) -> bool:
        """Whether the cell's test failed."""
        return self.verdict is None or (self.verdict.status.fails and not (self.accepted or self.known))


@dataclass(frozen=True)
class ModelRun:
    """One model's part of a run.

    Attributes:
        model: the model's name.
        file: its baseline file as shown to people.
        results: cell by cell, in canonical order.
        orphans: ids of accepted cells that the protocol's grid no longer has.
        environment: how the environment differs from the baseline's, such as `torch 2.11.0 -> 2.12.0`; empty
            if it does not.
        refreshed: what became of the baseline file in this run: one sentence, or empty.
        accept: the command that accepts this run's numbers.
        together: the cells compared all at once, metric by metric.
    """

    model: str
    file: str
    results: tuple[CellResult, ...]
    orphans: tuple[str, ...] = ()
    environment: str = ""
    refreshed: str = ""
    accept: str = ""
    together: tuple[Pooled, ...] = ()


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        protocol: under which everything was measured.
        metrics: what is known of each metric, in canonical order.
        models: model by model.
        interrupted: whether the session ended before its time.
        comparisons: how many comparisons under `tolerance: auto` the session makes.
        power: whether the summary lists what each comparison can see.
    """

    protocol: Protocol
    metrics: Mapping[str, Metric]
    models: tuple[ModelRun, ...]
    interrupted: bool = False
    comparisons: int = 1
    power: bool = False

    @property
    def results(self) -> list[CellResult]:
        """Every cell of every model."""
        return [result for model in self.models for result in model.results]

    @property
    def labels(self) -> Counter[str]:
        """How many cells have each label."""
        return Counter(result.label for result in self.results)

    @property
    def totals(self) -> str:
        """`22 cells: 20 identical, 1 ok, 1 regression; 21 reused`."""
        order = [
            "identical",
            "ok",
            "improvement",
            "accepted",
            "known",
            "regression",
            "missing",
            "incomparable",
            "error",
        ]
        counts = self.labels
        parts = ", ".join(f"{counts[label]} {label}" for label in order if counts[label])
        reused = f"; {self.reused} reused" if self.reused else ""
        return f"{len(self.results)} cell{'s' * (len(self.results) != 1)}: {parts or 'none measured'}{reused}"

    @property
    def reused(self) -> int:
        """How many cells were not measured, because nothing that their numbers depend on has changed."""
        return sum(bool(result.measurement and result.measurement.reused) for result in self.results)


def sort_results(results: list[CellResult], protocol: Protocol) -> tuple[CellResult, ...]:
    """Dense first, then pruner by pruner in the protocol's order, ratios ascending."""
    return tuple(sorted(results, key=lambda result: canonical_order(result.cell, protocol.pruners)))
