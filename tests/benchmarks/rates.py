"""Rates that training and evaluation reach, in FLOP/s: measured on a CPU, or read from the floor's rows."""

from __future__ import annotations

import re
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from flops import BASE, CLASSES, EVALUATION, SHAPE, STUDY, TUNING, built, forward_flops, training_factor
from rows import rows_of

from pytest_prunecal.lab.evaluation.evaluate import predict
from pytest_prunecal.lab.forward import Forward, Normalisation
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.lab.training.loop import Pressure, train

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_prunecal.study.protocol import Protocol

_SIZE = "paper-cuda-"
_STEPS = 2


@dataclass(frozen=True)
class Rates:
    """What a device reaches.

    Attributes:
        source: the device and how its rates were found, for people.
        training: FLOP/s by model.
        evaluation: likewise.
    """

    source: str
    training: dict[str, float]
    evaluation: dict[str, float]

    def of(self, model: str, work: str) -> float:
        """FLOP/s of a model's work; see `flops.WORKS`."""
        return {BASE: self.training, TUNING: self.training, EVALUATION: self.evaluation}[work][model]


def given(flops: float) -> Rates:
    """One rate for everything, as the user says."""
    same = dict.fromkeys(STUDY, flops)
    return Rates(f"a rate of {flops / 1e9:g} GFLOP/s, as given", same, same)


def measured_on_cpu(protocol: Protocol) -> Rates:
    """Time a few training steps and a forward pass of each network, dense, on the protocol's threads."""
    training, evaluation = {}, {}
    for model in STUDY:
        training[model], evaluation[model] = _measured(model, protocol)
    threads = f"{protocol.threads} thread{'s' * (protocol.threads > 1)}"
    return Rates(f"this CPU, {threads}, measured", training, evaluation)


def _measured(model: str, protocol: Protocol) -> tuple[float, float]:
    """FLOP/s in training and in evaluation."""
    width, batch = protocol.width_of(model), protocol.base.batch
    network = deepcopy(built(model, width))  # others count the FLOPs of this one
    forward = Forward(Normalisation(protocol.mean, protocol.std), protocol.precision)
    augmentation = Augmentation(protocol.pad, protocol.flip)
    recipe = replace(protocol.base, epochs=1)
    tested = protocol.evaluation.batch
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (max(_STEPS * batch, tested), *SHAPE), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, CLASSES, (len(images),), generator=random)

    def trained(steps: int) -> float:
        some = slice(steps * batch)
        start = _clock(protocol)
        train(network, images[some], labels[some], recipe, forward, augmentation, random, Pressure())
        return _clock(protocol) - start

    with reproducible(protocol.threads):
        trained(1)
        training = trained(_STEPS)
        network.eval()
        start = _clock(protocol)
        predict(network, images[:tested], forward, tested, torch.device("cpu"))
        evaluation = _clock(protocol) - start
    flops = forward_flops(model, width)
    return _STEPS * batch * training_factor(model, width) * flops / training, tested * flops / evaluation


def _clock(protocol: Protocol) -> float:
    """The time that this thread worked where it does all the work, so that a busy machine does not count."""
    return time.thread_time() if protocol.threads == 1 else time.perf_counter()


def read(files: list[Path], protocol: Protocol) -> Rates | None:
    """Rates from files of `pytest --benchmark-json`; None if no network of paper size was timed on a GPU.

    A model of the study that was not timed itself has the rate of the deepest of its family that was.
    """
    found: dict[str, dict[str, float]] = {"training": {}, "evaluation": {}}
    for file in files:
        for row in rows_of(file):
            kind, _, what = (row["group"] or "").partition(" ")
            if kind in found and what.startswith(_SIZE) and _is_ours(row["name"]):
                model = what.removeprefix(_SIZE)
                width = protocol.width_of(model)
                factor = training_factor(model, width) if kind == "training" else 1
                per_second = row["extra_info"]["images"] / row["stats"]["median"]
                found[kind][model] = per_second * factor * forward_flops(model, width)
    if not all(found.values()):
        return None
    stands_for = {kind: _for_study(rates) for kind, rates in found.items()}
    taken = sorted({f"{model} from {stands_for[kind][model]}" for kind in found for model in STUDY})
    training, evaluation = (
        {model: rates[stands_for[kind][model]] for model in STUDY} for kind, rates in found.items()
    )
    return Rates(f"a GPU, {', '.join(taken)}", training, evaluation)


def _is_ours(name: str) -> bool:
    """Whether a row is of the plugin's own loops, without masks and penalties."""
    return name.startswith("test_our_evaluation") or (
        name.startswith("test_our_training") and "plain" in name
    )


def _for_study(timed: dict[str, float]) -> dict[str, str]:
    """By model of the study: which of the models that were timed stands for it."""
    chosen = {}
    for model in STUDY:
        relatives = [name for name in timed if _family(name) == _family(model)]
        if not relatives:
            raise SystemExit(f"no network like {model} was timed, only {', '.join(timed)}")
        chosen[model] = model if model in timed else max(relatives, key=_depth)
    return chosen


def _family(model: str) -> str:
    return re.sub(r"\d+$", "", model)


def _depth(model: str) -> int:
    return int(model.removeprefix(_family(model)))
