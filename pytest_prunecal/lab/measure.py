"""Measuring a cell: the one road from a point of the grid to its numbers."""

from __future__ import annotations

import copy
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.against_dense import dense_of
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.candidates.measure import measure_candidate
from pytest_prunecal.lab.doubts import doubts
from pytest_prunecal.lab.identity import conditions_of, pruner_entry
from pytest_prunecal.lab.metrics.complexity import weights
from pytest_prunecal.lab.metrics.functions import check_function
from pytest_prunecal.lab.metrics.of_network import of_network
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.lab.own_code import imported
from pytest_prunecal.lab.pruners.base import Pruned
from pytest_prunecal.lab.pruners.call import check_function as check_pruner
from pytest_prunecal.lab.pruners.call import prune
from pytest_prunecal.lab.randomness import generator_of, stage
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.trace import FirstSteps, of_logits, of_structure, trace_of
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.lab.tuning import Enough, context_of, drawing_seed
from pytest_prunecal.lab.warned import told_with
from pytest_prunecal.study.builtin import MODELS, PRUNERS
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.pruner import Pruner
from pytest_prunecal.study.trace import CORRUPTIONS, DATA, DENSE, FINETUNE, PRUNED, STRUCTURE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.lab.trace import Stages
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Number


def measure_once(cell: Cell, bench: Bench) -> Trial:
    """Measure one cell under one seed; raises PrunecalError for something the user can mend."""
    return measure_candidate(cell, bench) if cell.candidate else _of_grid(cell, bench)


def _of_grid(cell: Cell, bench: Bench) -> Trial:
    """Measure a cell of the grid: base network, pruning, fine-tuning, evaluation.

    The dense cell is the base network as trained. Every other cell prunes the base network of its pruner
    (sparsity-trained for the channel pruner) and fine-tunes it with a fresh optimiser; what is evaluated is
    always the last epoch's network. Random numbers, the user's own included, depend on the protocol's seed,
    the cell and the stage alone.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    start = time.perf_counter()
    with reproducible(bench.protocol.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for metric in bench.setup.extensions.metrics.values():
            check_function(metric)
        if pruner := pruner_of(cell, bench):
            check_pruner(cell, pruner)
        rehearse(cell, bench)
        base = base_of(cell, bench)
        network = base.network()
        dense_weights = weights(network)
        model, stages, costs = compressed(network, cell, bench)
        if cell.pruner:
            evaluated = bench.evaluate(model, bench.protocol.seed, cell.model, cell.id)
        # Only now: while this cell was fine-tuned, another worker may have evaluated the base network.
        base_evaluated = base.evaluated()
        dense = dense_of(cell, bench)
        beside = dense.evaluated() if dense else None
        if not cell.pruner:
            evaluated = base_evaluated
            for doubt in doubts(bench.dataset, evaluated.metrics["accuracy"]):
                warnings.warn(doubt, MeasurementWarning, stacklevel=1)
        numbers = numbers_of(model, evaluated, cell, bench, dense_weights, costs)
        told: Stages = {
            DATA: {"images and labels": bench.dataset.digest},
            CORRUPTIONS: dict(base_evaluated.pixels),
            DENSE: dict(base_evaluated.metrics),
            STRUCTURE: of_structure(model, numbers, bench.metrics),
        }
    measurement = Measurement(
        metrics=numbers,
        corrupted=evaluated.corrupted,
        provenance={
            **bench.environment,
            **conditions_of(cell, bench.setup.extensions),
            "corruptions": bench.corrupted.source,
            **base.provenance(),
            "protocol": bench.protocol.name,
            "fingerprint": bench.protocol.fingerprint,
            "dataset": bench.dataset.name,
            "seed": bench.protocol.seed,
            "seconds": round(time.perf_counter() - start, 3),
        },
        warnings=told_with(caught),
        trace=trace_of(base.digest, told | stages),
    )
    base_result = BaseResult(base.digest, base_evaluated.metrics, base_evaluated.sampled.columns)
    return Trial(measurement, evaluated.sampled, base_result, beside)


def pruner_of(cell: Cell, bench: Bench) -> Pruner | None:
    """The cell's pruner, its function imported; None in the dense cell.

    Raises:
        PrunecalError: it cannot be imported, or is no `Pruner` that gives such a cell.
    """
    if cell.pruner is None:
        return None
    entry, what = pruner_entry(cell.pruner, bench.setup.extensions), f"pruner {cell.pruner!r}"
    row = imported(entry, what)
    if not isinstance(row, Pruner):
        raise PrunecalError(f"{what} is a {type(row).__name__}; it must be a Pruner instance")
    if row is not entry and (row.levels is not None or not row.tunes):
        raise PrunecalError(
            f"{what} is registered by a text, and takes no ratio or is not fine-tuned, which must be known "
            "without importing it; register Pruner('package.module:function', levels=..., tunes=...) instead"
        )
    return replace(row, prune=imported(row.prune, what))


def base_of(cell: Cell, bench: Bench) -> BaseNetwork:
    """The network that a cell starts from."""
    pruner = pruner_of(cell, bench)
    return BaseNetwork(cell.model, bench, slimming=pruner is not None and pruner.slimming)


def bases_of(cell: Cell, bench: Bench) -> list[BaseNetwork]:
    """The base networks that a cell's numbers rest on: where it starts, and the dense one beside it."""
    start, dense = [] if cell.candidate else [base_of(cell, bench)], dense_of(cell, bench)
    return [*start, *([dense] if dense else ())]


def rehearse(cell: Cell, bench: Bench) -> None:
    """Prune an untrained network of the user's own as built in: what does not fit is told before training."""
    pruner = cell.pruner or ""
    if cell.model in MODELS or pruner not in PRUNERS or (cell.model, pruner) in bench.admitted:
        return
    network = bench.build(cell.model)
    with warnings.catch_warnings(), suppress(Enough):
        warnings.simplefilter("ignore")
        # Of a pruner that trains, no more than the first step.
        pruned_of(network, cell, bench.observed_by(lambda *_: True))
    bench.admitted.add((cell.model, pruner))


def pruned_of(
    network: nn.Module, cell: Cell, bench: Bench, begun: Callable[[nn.Module], None] = lambda _: None
) -> Pruned:
    """Prune a base network as its cell says; the dense cell leaves it as it is.

    What a pruner gives is run before it is fine-tuned, if the network or the pruner is the user's own.

    Args:
        network: on the device.
        cell: the cell.
        bench: what measures; its observer sees what the pruner trains by itself.
        begun: called with the network before the first step that the pruner trains by itself.

    Raises:
        Enough: the observer has seen enough of what the pruner trains.
        PrunecalError: it cannot be pruned so, or what comes of it is no network that works.
    """
    pruner = pruner_of(cell, bench)
    if pruner is None or cell.pruner is None:
        return Pruned(network)
    seed = drawing_seed(bench, tunes=pruner.tunes)
    with stage(bench.device, seed, "prune", cell.model, cell.id):
        context = context_of(cell, bench, begun, tunes=pruner.tunes)
        pruned = prune(cell, pruner, network, context)
    if cell.model not in MODELS or cell.pruner not in PRUNERS:
        entry = bench.trainer.entry
        if not pruner.tunes:
            entry = replace(entry, trained=False)
        entry.check(pruned.model, f"{cell.model!r} as pruner {cell.pruner!r} left it")
    return pruned


def compressed(
    network: nn.Module, cell: Cell, bench: Bench, *, steps_alone: bool = False
) -> tuple[nn.Module, Stages, Mapping[str, Number] | None]:
    """Prune and fine-tune a base network; the dense cell leaves it as it is.

    What a pruner's row says is not fine-tuned comes as the pruner left it, and its trace has no such stage.
    Where a pruner trains by itself, the trace has its network as it was before the first step, the first
    steps there, and of its structure, which training may decide, nothing.

    Args:
        network: on the device.
        cell: the cell.
        bench: what measures.
        steps_alone: whether fine-tuning ends after the steps that a trace keeps.

    Returns:
        The network to evaluate, what a trace says of pruning and of fine-tuning, and `Pruned.costs`.

    Raises:
        PrunecalError: it cannot be pruned so, or what comes of it is no network that works.
    """
    row = pruner_of(cell, bench)
    if row is None:
        return network, {}, None
    stages: Stages = {}

    def begun(model: nn.Module) -> None:
        # Of a copy: what a network of the user's own keeps of a pass must not reach its fine-tuning.
        logits = bench.logits(copy.deepcopy(model), bench.protocol.seed, cell.model, cell.id, "one shot")
        stages[PRUNED] = of_logits(logits, bench.dataset.test_labels)

    steps = FirstSteps(alone=steps_alone)
    watched = bench.observed_by(steps)
    try:
        pruned = pruned_of(network, cell, watched, begun)
    except Enough:
        return network, stages | {STRUCTURE: {}, FINETUNE: steps.values(network)}, None
    if PRUNED in stages:
        stages[STRUCTURE] = {}
    else:
        begun(pruned.model)
    if row.tunes:
        fine_tune(pruned, cell, watched)
        stages[FINETUNE] = steps.values(pruned.model)
    if pruned.verify and not steps_alone:
        pruned.verify(pruned.model)
    return pruned.model, stages, pruned.costs


def fine_tune(pruned: Pruned, cell: Cell, bench: Bench) -> None:
    """Fine-tune a pruned network in place: fresh optimiser, zeros held, no penalty on BN scales."""
    parts = bench.protocol.seed, "finetune", cell.model, cell.id
    pressure = Pressure(masks=pruned.masks, observer=bench.observer)
    with stage(bench.device, *parts, "draws"):
        bench.trainer.train(pruned.model, bench.protocol.finetune, generator_of(*parts), pressure)


def numbers_of(
    model: nn.Module,
    evaluated: Evaluated,
    cell: Cell,
    bench: Bench,
    dense_weights: int,
    costs: Mapping[str, Number] | None = None,
) -> dict[str, Number]:
    """All metrics of a network, in canonical order; those of finished networks of such alone.

    Args:
        model: the network as evaluated.
        evaluated: what that gave.
        cell: the cell.
        bench: what measures.
        dense_weights: `weights` of the network before pruning.
        costs: of a finished network, those of its own metrics that are not to be counted on `model`, by name;
            None for one that is not finished.
    """
    shape = tuple(bench.dataset.test_images.shape[1:])
    seed, device, given = bench.protocol.seed, bench.device, costs or {}
    counted = {
        name: metric
        for name, metric in bench.metrics.items()
        if name not in given and not (metric.finished and costs is None)
    }
    found = evaluated.metrics | of_network(
        model, counted, cell, seed, device, input_shape=shape, dense_weights=dense_weights
    )
    found |= given
    return {name: found[name] for name in bench.metrics if name in found}
