"""Measuring a cell: the one road from a point of the grid to its numbers."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab import base_network as base
from pytest_prunecal.lab.bench import Bench, train
from pytest_prunecal.lab.evaluation.bootstrap import Sampled, resampled
from pytest_prunecal.lab.evaluation.evaluate import evaluate, summary
from pytest_prunecal.lab.evaluation.saved import load, save
from pytest_prunecal.lab.identity import pruner_entry
from pytest_prunecal.lab.metrics.complexity import conv_weights, macs, parameters, sparsity
from pytest_prunecal.lab.over_seeds import BaseResult, Trial, combine
from pytest_prunecal.lab.pruners.base import Pruned, Pruner
from pytest_prunecal.lab.reproducible import generator_of, reproducible
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.store.environment import conditions
from pytest_prunecal.store.store import Kind
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from pytest_prunecal.lab.evaluation.evaluate import Evaluated
    from pytest_prunecal.study.cell import Cell

_EVALUATION = Kind("evaluation", ".safetensors", save, load)


def measure(cell: Cell, bench: Bench, seeds: int = 1) -> Measurement:
    """Measure one cell over several seeds, the protocol's and those that follow it; see `measure_once`.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    return combine([measure_once(cell, one) for one in bench.over_seeds(seeds)])


def measure_once(cell: Cell, bench: Bench) -> Trial:
    """Measure one cell under one seed: base network, pruning, fine-tuning, evaluation.

    The dense cell is the base network as trained. Every other cell prunes the base network of its pruner
    (sparsity-trained for the channel pruner) and fine-tunes it with a fresh optimiser; what is evaluated is
    always the last epoch's network. Random numbers depend on the protocol's seed and the cell alone.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    start = time.perf_counter()
    with reproducible(bench.protocol.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruner = pruner_of(cell, bench)
        slimming = pruner is not None and pruner.slimming
        network = base.base_network(cell, bench, slimming=slimming)
        dense_weights = conv_weights(network)
        pruned = pruner.prune(network, cell.ratio) if pruner else Pruned(network, {}, ())
        if pruner:
            fine_tune(pruned, cell, bench)
            evaluated = evaluate_on_all(pruned.model, bench)
        # Only now: while this cell was fine-tuned, another worker may have evaluated the base network.
        base_evaluated = evaluated_base(cell, bench, slimming=slimming)
        if not pruner:
            evaluated = base_evaluated
        own, replicates = own_metrics(evaluated, bench)
    shape = tuple(bench.dataset.test_images.shape[1:])
    measurement = Measurement(
        metrics={
            **summary(evaluated),
            "parameters": parameters(pruned.model),
            "macs": macs(pruned.model, (shape[0], shape[1], shape[2])),
            "sparsity": sparsity(pruned.model, dense_weights),
            **own,
        },
        corrupted=evaluated.corrupted,
        provenance={
            **bench.environment,
            "corruptions": bench.corrupted.source,
            **base.provenance(cell, bench, slimming=slimming),
            "protocol": bench.protocol.name,
            "fingerprint": bench.protocol.fingerprint,
            "dataset": bench.dataset.name,
            "seed": bench.protocol.seed,
            "seconds": round(time.perf_counter() - start, 3),
        },
        warnings=tuple(dict.fromkeys(_told(caught))),
    )
    sampled = Sampled(evaluated.sampled.columns, evaluated.sampled.replicates | replicates)
    base_result = BaseResult(
        base.digest_of(cell, bench, slimming=slimming),
        summary(base_evaluated),
        base_evaluated.sampled.columns,
    )
    return Trial(measurement, sampled, base_result)


def _told(caught: list[warnings.WarningMessage]) -> Iterator[str]:
    """What belongs to the measurement; any other warning goes on to pytest."""
    for warning in caught:
        if issubclass(warning.category, MeasurementWarning):
            yield str(warning.message)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def pruner_of(cell: Cell, bench: Bench) -> Pruner | None:
    """The cell's pruner; None in the dense cell."""
    if cell.pruner is None:
        return None
    pruner = resolve(pruner_entry(cell.pruner, bench.extensions), f"pruner {cell.pruner!r}")
    if not isinstance(pruner, Pruner):
        raise PrunecalError(
            f"pruner {cell.pruner!r} is a {type(pruner).__name__}; it must be a Pruner instance"
        )
    return pruner


def fine_tune(pruned: Pruned, cell: Cell, bench: Bench) -> None:
    """Fine-tune a pruned network in place: fresh optimiser, zeros held, no penalty on BN scales."""
    generator = generator_of(bench.protocol.seed, "finetune", cell.model, cell.id)
    train(pruned.model, bench.protocol.finetune, generator, Pressure(masks=pruned.masks), bench)


def evaluate_on_all(model: nn.Module, bench: Bench) -> Evaluated:
    """Evaluate a network on the clean and on every corrupted test set."""
    return evaluate(
        model,
        bench.dataset.test_images,
        bench.corrupted,
        bench.dataset.test_labels,
        bench.forward,
        bench.protocol.evaluation.batch,
        bench.protocol.evaluation.bins,
        bench.device,
    )


def evaluated_base(cell: Cell, bench: Bench, *, slimming: bool) -> Evaluated:
    """The base network's own evaluation, made once: the dense cell, and what every change is counted from."""
    protocol = bench.protocol
    key = digest(
        {
            "weights": base.digest_of(cell, bench, slimming=slimming),
            "model": [cell.model, protocol.width_of(cell.model), base.code_of(cell, bench)],
            "data": [bench.dataset.digest, bench.corrupted.digest],
            "input": [protocol.mean, protocol.std],
            "evaluation": asdict(protocol.evaluation),
            "made by": [bench.sources.of_package(), protocol.precision, protocol.threads],
            "conditions": conditions(bench.environment["device"]),
        }
    )
    if key not in bench.base_results:
        bench.base_results[key] = bench.store.remember(
            _EVALUATION,
            key,
            lambda: evaluate_on_all(base.base_network(cell, bench, slimming=slimming), bench),
            anew=bench.fresh,
        ).content
    return bench.base_results[key]


def own_metrics(evaluated: Evaluated, bench: Bench) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The user's own metrics, on the clean test set, and what they are on resampled images."""
    values, replicates = {}, {}
    for name, metric in bench.extensions.metrics.items():
        function = resolve(metric.function, f"metric {name!r}")
        values[name] = float(function(evaluated.logits, bench.dataset.test_labels))
        found = resampled(function, evaluated.logits, bench.dataset.test_labels)
        if found is not None:
            replicates[name] = found
    return values, replicates
