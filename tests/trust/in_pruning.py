"""Faults in pruning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.pruners import filter as filter_pruner
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.lab.pruners.base import magnitudes

if TYPE_CHECKING:
    from collections.abc import Callable

    from planting import Plant, Put
    from torch import Tensor, nn

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.pruner import Pruner


def _wrong_end(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(weight, "magnitudes", lambda values: -magnitudes(values))


def _ratio(put: Put, _bench: Bench, strength: float | None) -> None:
    more = strength or 0.1
    pruner_of = measure.pruner_of

    def off(cell: Cell, bench: Bench) -> Pruner | None:
        pruner = pruner_of(cell, bench)
        if pruner is None or pruner.levels is not None:
            return pruner
        prune = cast("Callable[..., Any]", pruner.prune)  # `pruner_of` has imported it
        return replace(pruner, prune=lambda model, ratio: prune(model, min(ratio + more, 0.95)))

    put(measure, "pruner_of", off)


def _first_spared(put: Put, _bench: Bench, _strength: float | None) -> None:
    # The threshold goes by rank, so that as many others are pruned in its place.
    put(weight, "magnitudes", lambda values: magnitudes(values) + 1e3 * (values.shape[1] == 3))


def _by_l2(put: Put, _bench: Bench, _strength: float | None) -> None:
    def norms(conv: nn.Conv2d) -> Tensor:
        return conv.weight.detach().cpu().double().square().sum((1, 2, 3))

    put(filter_pruner, "filter_norms", norms)


PLANTS: dict[str, Plant] = {
    "wrong end": _wrong_end,
    "ratio +0.1": _ratio,
    "first conv spared": _first_spared,
    "filters by L2": _by_l2,
}
