"""Faults in data, in corruptions and in evaluation: in the ruler itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from pytest_prunecal.lab import bench as bench_module
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.evaluation import evaluate as evaluation
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.lab.forward import Normalisation
from pytest_prunecal.lab.randomness import generator_of, perturb
from pytest_prunecal.store.sources import package_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planting import Plant, Put
    from torch import Tensor, nn

    from pytest_prunecal.lab.evaluation.evaluate import Images
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.lab.forward import Forward
    from pytest_prunecal.study.metric import Metric


def _logits(put: Put, _bench: Bench, strength: float | None) -> None:
    predict, factor = evaluation.predict, strength or 1.25
    put(evaluation, "predict", lambda *args: factor * predict(*args))


def _head(put: Put, _bench: Bench, strength: float | None) -> None:
    predict, shift = evaluation.predict, strength or 1.0

    def shifted(
        model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device
    ) -> Tensor:
        logits = predict(model, images, forward, batch, device)
        logits[:, 3] += shift
        return logits

    put(evaluation, "predict", shifted)


def _constants(put: Put, _bench: Bench, _strength: float | None) -> None:
    predict = evaluation.predict

    def swapped(
        model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device
    ) -> Tensor:
        constants = Normalisation(forward.normalisation.std, forward.normalisation.mean)
        return predict(model, images, replace(forward, normalisation=constants), batch, device)

    put(evaluation, "predict", swapped)


def _rounded(put: Put, _bench: Bench, strength: float | None) -> None:
    apply, digits = Normalisation.apply, round(strength or 2)

    def rounded(self: Normalisation, images: Tensor) -> Tensor:
        mean, std = (tuple(round(value, digits) for value in values) for values in (self.mean, self.std))
        return apply(Normalisation(mean, std), images)

    put(Normalisation, "apply", rounded)


def _train_mode(put: Put, _bench: Bench, _strength: float | None) -> None:
    predict = evaluation.predict

    def training_mode(
        model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device
    ) -> Tensor:
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
            norm.momentum = 0.0
        try:
            return predict(model, images, forward, batch, device)
        finally:
            for norm in norms:
                norm.eval()

    put(evaluation, "predict", training_mode)


def _corrupted_by(put: Put, name: str, function: object) -> None:
    put(corrupted, "corrupt", function)
    # Or the store would give what it has.
    put(corrupted, "package_digest", lambda *parts: name + package_digest(*parts))


def _twice(put: Put, _bench: Bench, _strength: float | None) -> None:
    def twice(images: Tensor, name: str, severity: int, *, seed: int) -> Tensor:
        return corrupt(corrupt(images, name, severity, seed=seed), name, severity, seed=seed + 1)

    _corrupted_by(put, "twice", twice)


def _other_seed(put: Put, _bench: Bench, _strength: float | None) -> None:
    def other(images: Tensor, name: str, severity: int, *, seed: int) -> Tensor:
        return corrupt(images, name, severity, seed=seed + (name == "shot_noise"))

    _corrupted_by(put, "other seed", other)


def _rows_swapped(put: Put, _bench: Bench, _strength: float | None) -> None:
    def swapped(images: Tensor, name: str, severity: int, *, seed: int) -> Tensor:
        found = corrupt(images, name, severity, seed=seed)
        return _exchanged(found) if name == "fog" else found

    _corrupted_by(put, "swapped", swapped)


def _exchanged(images: Tensor) -> Tensor:
    """The first two images, which are of two classes, in each other's place."""
    return torch.cat([images[:2].flip(0), images[2:]])


def _images_swapped(put: Put, bench: Bench, _strength: float | None) -> None:
    data = bench.dataset
    put(bench, "dataset", replace(data, test_images=_exchanged(data.test_images)))


def _image_replaced(put: Put, bench: Bench, _strength: float | None) -> None:
    data = bench.dataset
    images = data.test_images.clone()
    images[0] = images[data.test_labels.eq(data.test_labels[0]).nonzero().flatten()[1]]
    put(bench, "dataset", replace(data, test_images=images))


def _bins(put: Put, _bench: Bench, strength: float | None) -> None:
    def fewer(metrics: Mapping[str, Metric], labels: Tensor, _bins: int) -> Tally:
        return Tally(metrics, labels, round(strength or 9))

    put(bench_module, "Tally", fewer)


def _eps(put: Put, _bench: Bench, strength: float | None) -> None:
    build = Bench.build

    def larger(self: Bench, model: str, seed: int | None = None) -> nn.Module:
        network = build(self, model, seed)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = strength or 1e-4
        return network

    put(Bench, "build", larger)


def _turned(put: Put, _bench: Bench, strength: float | None) -> None:
    """Turn a share of the images in the evaluation of tuned networks; larger shares hold the smaller."""
    evaluate, predict, share = Bench.evaluate, evaluation.predict, strength or 0.02

    def turned(
        model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device
    ) -> Tensor:
        logits = predict(model, images, forward, batch, device)
        order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(0))
        chosen = order[: round(share * len(logits))]
        two = logits[chosen].topk(2, dim=1)
        logits[chosen] = logits[chosen].scatter(1, two.indices.flip(1), two.values)
        return logits

    def evaluated(self: Bench, network: nn.Module, *what: object, **named: Any) -> Evaluated:  # noqa: ANN401 - whatever it takes
        if len(what) < 3:  # a base network
            return evaluate(self, network, *what, **named)
        with patch.object(evaluation, "predict", turned):
            return evaluate(self, network, *what, **named)

    put(Bench, "evaluate", evaluated)


def _last_bits(put: Put, _bench: Bench, strength: float | None) -> None:
    network, parts = BaseNetwork.network, ("last bits", strength or 0)

    def moved(self: BaseNetwork) -> nn.Module:
        found = network(self)
        perturb(found, generator_of(self._bench.protocol.seed, *parts))
        return found

    put(BaseNetwork, "network", moved)


PLANTS: dict[str, Plant] = {
    "logits x1.25": _logits,
    "head bias": _head,
    "constants swapped": _constants,
    "constants rounded": _rounded,
    "train mode": _train_mode,
    "corruptions twice": _twice,
    "one corruption reseeded": _other_seed,
    "corrupted rows swapped": _rows_swapped,
    "test images swapped": _images_swapped,
    "test image replaced": _image_replaced,
    "ECE of 9 bins": _bins,
    "BN eps 1e-4": _eps,
    "predictions turned": _turned,
    "last bits": _last_bits,
}
