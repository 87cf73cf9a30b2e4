"""What all accepted cells of a baseline file say of each one's comparisons, whichever a run selects."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_prunecal.judge.coupling import Repeats, couplings
from pytest_prunecal.judge.noise import AS_EXPECTED, Accepted, levels, spread
from pytest_prunecal.judge.rate import shared
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.cell import DENSE, cell_from_id
from pytest_prunecal.study.prior import KINDS
from pytest_prunecal.study.tolerance import rule_of
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pytest_prunecal.baseline.file import AcceptedCell, Baseline
    from pytest_prunecal.judge.noise import Level
    from pytest_prunecal.judge.rate import Rate
    from pytest_prunecal.study.image_results import ImageResults
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol


@dataclass(frozen=True)
class Family:
    """The accepted cells of a model, taken together.

    Attributes:
        rate: the share of the protocol's false-alarm rate that each comparison has.
        levels: by kind of noise and metric, what the parts of the prior's variance are multiplied by.
        couplings: by pruner and metric, what the expected square of a repeat is multiplied by.
    """

    rate: Rate
    levels: Mapping[str, Mapping[str, Level]]
    couplings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def family_of(
    baseline: Baseline | None,
    protocol: Protocol,
    metrics: Mapping[str, Metric],
    untuned: Collection[str] = (),
    cells_ahead: Collection[str] = (),
    images: Mapping[str, ImageResults] = MappingProxyType({}),
) -> Family:
    """Take the accepted cells of a baseline file together; there are none where there is no file.

    Args:
        baseline: the file.
        protocol: of the session.
        metrics: every metric by name.
        untuned: names of pruners whose cells are not fine-tuned.
        cells_ahead: ids of the cells that the model would have, where there is no file: rules of recovery
            judge them.
        images: what lies beside the file, by cell.
    """
    cells = baseline.cells if baseline else {}
    shapes = {cell_id: cell_from_id("", cell_id) for cell_id in cells}
    rules = {cell_id: baseline.tolerances_of(cell_id, protocol) for cell_id in cells} if baseline else {}
    trained = [cell_id for cell_id, cell in shapes.items() if not cell.candidate]
    given_base = {
        cell_id: baseline is not None and baseline.environment_of(cell_id).get("base") is not None
        for cell_id in trained
    }
    tuned = {cell_id for cell_id in trained if shapes[cell_id].pruner not in {None, *untuned}}
    auto = {
        cell_id: [name for name in cell.metrics if rule_of(name, rules[cell_id]).auto]
        for cell_id, cell in cells.items()
    }
    rate = shared(
        protocol.false_alarms,
        [(shapes[cell_id].pruner if cell_id in tuned else None, auto[cell_id]) for cell_id in trained],
        metrics,
        given_base=bool(trained) and all(given_base.values()),
        besides=sum(
            len(_noisy(cell, auto[cell_id])) for cell_id, cell in cells.items() if shapes[cell_id].candidate
        )
        + sum(
            len(baseline.recovery_of(cell_id, protocol) if baseline else protocol.recovery)
            for cell_id in cells or cells_ahead
            if cell_id != DENSE
        ),
    )
    dense = cells[DENSE].metrics if DENSE in cells else {}
    found = [
        (cell_id, numbers_of(cells[cell_id], dense, share_base=given_base[cell_id])) for cell_id in trained
    ]
    by_kind = {
        # What was not fine-tuned knows nothing of how far fine-tunings differ.
        kind: levels(
            kind,
            [numbers for cell_id, numbers in found if kind == "retrain" or cell_id in tuned],
            protocol.noise,
            metrics,
        )
        for kind in KINDS
    }
    moved = [(cell_id, numbers) for cell_id, numbers in found if cell_id in tuned]
    repeats = _repeats(moved, images, protocol, metrics, by_kind["finetune"])
    return Family(rate, by_kind, couplings(repeats, protocol.noise.freedom))


def _repeats(
    cells: Iterable[tuple[str, Mapping[str, Accepted]]],
    images: Mapping[str, ImageResults],
    protocol: Protocol,
    metrics: Mapping[str, Metric],
    seen: Mapping[str, Level],
) -> Iterator[Repeats]:
    """How far float arithmetic alone moved tuned cells when they were accepted."""
    for cell_id, numbers in cells:
        pruner, beside = cell_from_id("", cell_id).pruner, images.get(cell_id)
        if pruner is None or beside is None or beside.jitter is None:
            continue
        for name, accepted in numbers.items():
            metric = metrics.get(name)
            noise = spread("finetune", name, metric, accepted, protocol.noise, seen.get(name, AS_EXPECTED))
            slope = scale_of(metric).slope(accepted.mean)
            moved = [one * slope for one in beside.jitter.metrics.get(name, [])]
            yield Repeats(pruner, name, noise, moved)


def _noisy(cell: AcceptedCell, names: Iterable[str]) -> list[str]:
    """Metrics of a candidate that have noise: the test images'."""
    return [name for name in names if cell.uncertainty.get(name, UNKNOWN).se is not None]


def numbers_of(cell: AcceptedCell, dense: Mapping[str, float], *, share_base: bool) -> dict[str, Accepted]:
    """An accepted cell's numbers by metric, as the noise of its comparisons is told from them.

    Args:
        cell: as the baseline file has it.
        dense: the metrics of the model's dense cell; empty if there is none.
        share_base: whether all its seeds started from one base network.
    """
    return {
        name: Accepted(cell.metrics[name], sure, dense.get(name), share_base)
        for name, sure in cell.uncertainty.items()
        if name in cell.metrics
    }
