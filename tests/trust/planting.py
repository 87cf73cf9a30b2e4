"""What a fault is made of, and the one way in which it gets into fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, cast

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.lab.training.trainer import Trainer
from pytest_prunecal.study.protocol import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pytest_prunecal.lab.pruners.base import Pruned
    from pytest_prunecal.study.cell import Cell

Put = Callable[[object, str, object], None]
"""Puts a value in the place of an owner's attribute."""
Plant = Callable[[Put, Bench, float | None], None]
"""Plants a fault of some strength, None for the usual one, in what measures on a bench."""
Change = Callable[[Trainer, Recipe, Pressure, Bench], tuple[Trainer, Recipe, Pressure]]
"""What a fault makes of the terms of a fine-tuning."""


class _Changed:
    """A trainer that trains otherwise."""

    def __init__(self, bench: Bench, change: Change) -> None:
        self._bench, self._change = bench, change

    def train(
        self,
        network: nn.Module,
        recipe: Recipe,
        generator: torch.Generator,
        pressure: Pressure,
        *others: object,
        **named: object,
    ) -> None:
        trainer, recipe, pressure = self._change(self._bench.trainer, recipe, pressure, self._bench)
        trainer.train(network, recipe, generator, pressure, *others, **named)


def finetune_with(put: Put, change: Change) -> None:
    """Plant a fault in the terms of fine-tuning alone."""
    fine_tune = measure.fine_tune

    def changed(pruned: Pruned, cell: Cell, bench: Bench, *others: object, **named: object) -> object:
        other = copy(bench)
        other.trainer = cast("Trainer", _Changed(bench, change))
        return fine_tune(pruned, cell, other, *others, **named)

    put(measure, "fine_tune", changed)
