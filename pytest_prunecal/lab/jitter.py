"""How far float arithmetic alone moves a cell: its first seed repeated from weights perturbed by 1e-7."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pytest_prunecal.lab.measure import base_of, compressed, numbers_of
from pytest_prunecal.lab.metrics.complexity import weights
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.trace import deviations, of_structure
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.trace import DENSE, STRUCTURE, Jitter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.lab.base_network import BaseNetwork
    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.trace import Stages
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.trace import Trace

FEWEST = 2
"""Repeats of the first steps where no whole cell is repeated."""


def jitter(cell: Cell, bench: Bench, trace: Trace, first: Mapping[str, Number], repeats: int) -> Jitter:
    """Measure the jitter of a cell.

    Args:
        cell: the cell.
        bench: what measures, under the protocol's seed.
        trace: the cell's, unperturbed.
        first: its numbers under that seed, unperturbed.
        repeats: how many whole cells are measured for it; 0 for no more than the trace needs.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    stages, numbers = [], []
    with reproducible(bench.protocol.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cell itself has told them
        base = base_of(cell, bench)
        for repeat in range(1, (repeats or FEWEST) + 1):
            seen, found = _repeated(cell, bench, base, repeat, whole=repeats > 0)
            stages.append(seen)
            numbers.append(Measurement(found).metrics)
    return Jitter(
        deviations(trace, stages),
        {name: [float(found[name] - one) for found in numbers] for name, one in first.items()}
        if repeats
        else {},
    )


def _repeated(
    cell: Cell, bench: Bench, base: BaseNetwork, repeat: int, *, whole: bool
) -> tuple[Stages, dict[str, Number]]:
    """One repeat: the stages of its trace, and its numbers if it is a whole one."""
    # By the cell, so that the cells of a model do not all repeat one accident.
    network = base.perturbed(cell.id if cell.pruner else base.kind, repeat)
    dense_weights = weights(network)
    dense = base.evaluated(repeat)
    model, stages, costs = compressed(network, cell, bench, steps_alone=not whole)
    stages[DENSE] = dict(dense.metrics)
    if not whole:
        return stages, {}
    evaluated = bench.evaluate(model, bench.protocol.seed, cell.model, cell.id) if cell.pruner else dense
    numbers = numbers_of(model, evaluated, cell, bench, dense_weights, costs)
    stages.setdefault(STRUCTURE, of_structure(model, numbers, bench.metrics))
    return stages, numbers
