"""What a cell computes before training noise sets in, gathered on its road; see `study.trace.Trace`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.metrics.predictions import predictions_of
from pytest_prunecal.lab.metrics.scores import accuracy, brier, nll
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.study.metric import NETWORK
from pytest_prunecal.study.trace import STAGES, STEPS, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.trace import Value

Stages = dict[str, dict[str, "Value"]]

MOST_LOGITS = 100
"""Classes whose mean logits are kept: of a thousand, the scores tell all the same."""


class FirstSteps:
    """Looks on while a network is fine-tuned; see `loop.Pressure`. It waits for no device meanwhile.

    Args:
        alone: whether training ends after the steps that are kept.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._losses: list[Tensor] = []
        self._rates: list[float] = []
        self._norms: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module, loss: Tensor, rate: float) -> bool:
        """See a step; says whether it was enough."""
        self._rates.append(rate)
        if len(self._rates) <= STEPS:
            self._losses.append(loss)
        if len(self._rates) == STEPS:
            self._norms = _norms(model)
        return self._alone and len(self._rates) >= STEPS

    def values(self, model: nn.Module) -> dict[str, Value]:
        """What was seen.

        Args:
            model: the network as training left it; its norms count where the steps were too few.
        """
        found: dict[str, Value] = {}
        for number, (loss, rate) in enumerate(zip(self._losses, self._rates, strict=False), start=1):
            found |= {f"loss {number}": float(loss), f"rate {number}": float(rate)}
        found |= {name: float(norm) for name, norm in (self._norms or _norms(model)).items()}
        if self._alone:  # what comes after the first steps was not seen
            return _finite(found)
        return _finite(found | {"steps": len(self._rates), "sum of rates": math.fsum(self._rates)})


def of_logits(logits: Tensor, labels: Tensor) -> dict[str, Value]:
    """A network's clean scores, and mean logits by class.

    Args:
        logits: float32 (N, classes) on the CPU.
        labels: int64 (N,) on the CPU.
    """
    predictions = predictions_of(logits, labels)
    means = logits[:, :MOST_LOGITS].double().mean(0).tolist()
    scores = {
        "nll": nll(logits, labels),
        "brier": brier(logits, labels, predictions),
        "accuracy": accuracy(logits, labels, predictions),
        "mean confidence": predictions.confidence,
    }
    return _finite(
        {f"logit {index}": mean for index, mean in enumerate(means)}
        | {name: float(column.double().mean()) for name, column in scores.items()}
    )


def of_structure(
    model: nn.Module, numbers: Mapping[str, Number], metrics: Mapping[str, Metric]
) -> dict[str, Value]:
    """What pruning alone decides: a network's own metrics of its structure, and its zeros by layer.

    Args:
        model: the network as evaluated.
        numbers: its metrics.
        metrics: all there are.
    """
    told = {
        name: numbers[name]
        for name, metric in metrics.items()
        if metric.structure and metric.where == NETWORK and name in numbers
    }
    ranked = ranked_weights(model)
    zeros = torch.stack([(weight == 0).sum() for weight in ranked.values()]).tolist() if ranked else []
    return _finite(told | {f"zeros {name}": count for name, count in zip(ranked, zeros, strict=True)})


def trace_of(base: str, stages: Mapping[str, Mapping[str, Value]]) -> Trace:
    """Put stages together, in the order in which a cell comes to them."""
    return Trace(base, {stage: _finite(stages[stage]) for stage in STAGES if stage in stages})


def deviations(
    reference: Trace, repeats: Iterable[Mapping[str, Mapping[str, Value]]]
) -> dict[str, dict[str, float]]:
    """How far repeats moved what a trace has as floats, at most, by stage and name."""
    found: dict[str, dict[str, float]] = {}
    for repeat in repeats:
        for stage, values in repeat.items():
            moved = found.setdefault(stage, {})
            for name, value in values.items():
                was = reference.stages.get(stage, {}).get(name)
                if isinstance(was, float) and isinstance(value, float):
                    moved[name] = max(moved.get(name, 0.0), abs(value - was))
    return {stage: found[stage] for stage in STAGES if stage in found}


@torch.no_grad()
def _norms(model: nn.Module) -> dict[str, Tensor]:
    modules = [*model.modules()]
    statistics = [
        getattr(module, name, None) for module in modules for name in ("running_mean", "running_var")
    ]
    return {
        "norm of parameters": _norm(model.parameters()),
        "norm of BN statistics": _norm(found for found in statistics if isinstance(found, torch.Tensor)),
    }


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all of them together, float64 () on their device."""
    parts = [torch.linalg.vector_norm(tensor.double()) for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros((), dtype=torch.float64)


def _finite(values: Mapping[str, Value]) -> dict[str, Value]:
    """The same with texts in the place of numbers that are not finite: no JSON file holds those."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
