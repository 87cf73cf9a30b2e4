"""An evaluation in a file, so that one network is evaluated once, whoever needs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.tally import Evaluated

if TYPE_CHECKING:
    from pathlib import Path

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
        # The file keeps tensors in no order.
        **{kind: json.dumps(list(by_metric)) for kind, by_metric in sampled.items()},
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def load(path: Path) -> Evaluated:
    """Read it back; raises SafetensorError or an OSError if it is no such file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    columns, replicates = (
        {name: tensors[f"{kind}.{name}"] for name in json.loads(metadata[kind])}
        for kind in (_COLUMNS, _REPLICATES)
    )
    return Evaluated(
        metrics=json.loads(metadata["metrics"]),
        corrupted=json.loads(metadata["corrupted"]),
        logits=tensors["logits"],
        sampled=Sampled(columns, replicates),
    )
