"""An evaluation in a file, so that one network is evaluated once, whoever needs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.evaluate import Evaluated

if TYPE_CHECKING:
    from pathlib import Path

_REPLICATES = "replicates."


def save(evaluated: Evaluated, path: Path) -> None:
    """Write an evaluation: tensors and plain numbers, every bit of them."""
    tensors = {"logits": evaluated.logits, "columns": evaluated.sampled.columns}
    tensors |= {_REPLICATES + name: tensor for name, tensor in evaluated.sampled.replicates.items()}
    metadata = {
        "clean": json.dumps(evaluated.clean),
        "corrupted": json.dumps(evaluated.corrupted),
        "replicates": json.dumps(list(evaluated.sampled.replicates)),  # the file keeps tensors in no order
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def load(path: Path) -> Evaluated:
    """Read it back; raises SafetensorError or an OSError if it is no such file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    replicates = {name: tensors[_REPLICATES + name] for name in json.loads(metadata["replicates"])}
    return Evaluated(
        clean=json.loads(metadata["clean"]),
        corrupted=json.loads(metadata["corrupted"]),
        logits=tensors["logits"],
        sampled=Sampled(tensors["columns"], replicates),
    )
