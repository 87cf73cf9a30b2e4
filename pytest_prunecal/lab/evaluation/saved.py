"""An evaluation in a file, so that one network is evaluated once, whoever needs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.pixels import set_name
from pytest_prunecal.lab.evaluation.tally import Evaluated
from pytest_prunecal.study import stored
from pytest_prunecal.study.metric import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_prunecal.study.metric import Metric

_COLUMNS, _REPLICATES = "columns", "replicates"


def save(evaluated: Evaluated, path: Path) -> None:
    """Write an evaluation: tensors and plain numbers, every bit of them."""
    sampled = {_COLUMNS: evaluated.sampled.columns, _REPLICATES: evaluated.sampled.replicates}
    tensors = {"logits": evaluated.logits}
    for kind, by_metric in sampled.items():
        tensors |= {f"{kind}.{name}": tensor for name, tensor in by_metric.items()}
    metadata = {
        "metrics": json.dumps(evaluated.metrics),
        "corrupted": json.dumps(evaluated.corrupted),
        "pixels": json.dumps(evaluated.pixels),
        # The file keeps tensors in no order.
        **{kind: json.dumps(list(by_metric)) for kind, by_metric in sampled.items()},
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def load(path: Path, *, images: int, metrics: Mapping[str, Metric]) -> Evaluated:
    """Read it back.

    Args:
        path: of the file.
        images: how many test images there are.
        metrics: all there are.

    Raises:
        SafetensorError: it is no such file.
        OSError: it cannot be read.
        ValueError: it is no evaluation on these images in these metrics.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    columns, replicates = (
        {name: tensors[f"{kind}.{name}"] for name in json.loads(metadata[kind])}
        for kind in (_COLUMNS, _REPLICATES)
    )
    found = Evaluated(
        metrics=stored.numbers(json.loads(metadata["metrics"]), "its metrics"),
        corrupted=stored.scores(json.loads(metadata["corrupted"]), metrics),
        logits=tensors["logits"],
        sampled=Sampled(columns, replicates),
        pixels=stored.numbers(json.loads(metadata["pixels"]), "its mean pixels", 0),
    )
    _check(found, images, metrics)
    return found


def _check(found: Evaluated, images: int, metrics: Mapping[str, Metric]) -> None:
    """Raise ValueError where an evaluation is not what evaluating gives."""
    names = {name for name, metric in metrics.items() if metric.where != NETWORK}
    stored.within_bounds(found.metrics, metrics)
    if found.metrics.keys() != names:
        raise ValueError("it is of other metrics")
    if not names.issuperset([*found.sampled.columns, *found.sampled.replicates]):
        raise ValueError("it has results of metrics that there are not")
    sets = {set_name(name, severity) for name, levels in found.corrupted.items() for severity in levels}
    if found.pixels and found.pixels.keys() != sets:
        raise ValueError("its mean pixels are of other sets")
    if max(found.pixels.values(), default=0) > 1:
        raise ValueError("its mean pixels are none")
    logits = found.logits
    if logits.dtype != torch.float32 or logits.dim() != 2 or len(logits) != images or logits.isnan().any():
        raise ValueError("its logits are not those of the test images")
    for sampled, kind, length in (
        (found.sampled.columns, torch.float32, images),
        (found.sampled.replicates, torch.float64, None),
    ):
        for name, tensor in sampled.items():
            fits = tensor.dtype == kind and tensor.dim() == 1 and length in (None, len(tensor))
            if not (fits and len(tensor) and tensor.isfinite().all()):
                raise ValueError(f"its {name} is not what resampling gives")
