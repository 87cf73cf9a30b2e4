"""Real faults in the code that measures, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import torch

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.evaluation import evaluate as evaluation
from pytest_prunecal.lab.forward import Normalisation
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.lab.pruners.base import magnitudes
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.lab.training.trainer import Trainer
from pytest_prunecal.store.sources import package_digest
from pytest_prunecal.study.protocol import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab import Lab
    from torch import Tensor, nn

    from pytest_prunecal.lab.evaluation.evaluate import Images
    from pytest_prunecal.lab.forward import Forward
    from pytest_prunecal.lab.pruners.base import Pruned, Pruner
    from pytest_prunecal.study.cell import Cell

Put = Callable[[object, str, object], None]
"""Puts a value in the place of an owner's attribute."""
Plant = Callable[[Put, Bench, float | None], None]
"""Plants a fault of some strength, None for the usual one, in what measures on a bench."""
Change = Callable[[Trainer, Recipe, Pressure, Bench], tuple[Trainer, Recipe, Pressure]]
"""What a fault makes of the terms of a fine-tuning."""

CATALOGUE = {
    "wrong end": "the weight pruner keeps the smallest weights",
    "mask not kept": "pruned weights grow again in fine-tuning",
    "BN not carried": "the pruned network's running statistics start anew and are not tracked",
    "penalty left on": "the L1 penalty on BN scales stays on in fine-tuning",
    "rate x10": "fine-tuning at ten times its rate",
    "no augmentation": "fine-tuning without random crops",
    "labels shuffled": "2 % of the training labels are another image's",
    "logits x1.25": "logits scaled by 1.25 at evaluation",
    "head bias": "the bias of one class is 1 higher at evaluation",
    "clean overfit": "fine-tuned on sharpened images only: noise is no longer handled",
    "constants swapped": "mean and deviation of the normalisation swapped at evaluation",
    "ratio +0.1": "a tenth more is pruned than asked for",
    "stale base": "an old checkpoint of the base network, of a third of its epochs",
    "no fine-tuning": "fine-tuning is skipped",
    "train mode": "evaluated with the batch's BN statistics",
    "corruptions twice": "every corruption is applied twice",
}


@contextmanager
def planted(name: str, lab: Lab) -> Iterator[Bench | None]:
    """Plant a fault; gives another bench where the fault needs one."""
    with ExitStack() as stack:

        def put(owner: object, attribute: str, value: object) -> None:
            stack.enter_context(patch.object(owner, attribute, value))

        if name == "none":
            yield None
            return
        kind, _, strength = name.partition("=")
        bench = lab.bench()
        _PLANTS[kind](put, bench, float(strength) if strength else None)
        if kind == "stale base":
            bench = _stale(lab)
        yield bench


def _wrong_end(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(weight, "magnitudes", lambda values: -magnitudes(values))


def _mask_not_kept(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(training, "hold", _nothing)


def _bn_not_carried(put: Put, _bench: Bench, _strength: float | None) -> None:
    fine_tune = measure.fine_tune

    def untracked(pruned: Pruned, cell: Cell, bench: Bench) -> None:
        norms = [module for module in pruned.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = 0.0
        fine_tune(pruned, cell, bench)

    put(measure, "fine_tune", untracked)


class _Changed:
    """A trainer that trains otherwise."""

    def __init__(self, bench: Bench, change: Change) -> None:
        self._bench, self._change = bench, change

    def train(
        self, network: nn.Module, recipe: Recipe, generator: torch.Generator, pressure: Pressure
    ) -> None:
        trainer, recipe, pressure = self._change(self._bench.trainer, recipe, pressure, self._bench)
        trainer.train(network, recipe, generator, pressure)


def _finetune_with(put: Put, change: Change) -> None:
    fine_tune = measure.fine_tune

    def changed(pruned: Pruned, cell: Cell, bench: Bench) -> None:
        other = copy(bench)
        other.trainer = cast("Trainer", _Changed(bench, change))
        fine_tune(pruned, cell, other)

    put(measure, "fine_tune", changed)


def _penalty(put: Put, bench: Bench, strength: float | None) -> None:
    penalty = bench.protocol.slimming.penalty["default"] * (strength or 1)
    _finetune_with(put, lambda t, r, p, _: (t, r, Pressure(masks=p.masks, slimming=penalty)))


def _rate(put: Put, _bench: Bench, strength: float | None) -> None:
    factor = strength or 10
    _finetune_with(put, lambda t, r, p, _: (t, replace(r, learning_rate=factor * r.learning_rate), p))


def _no_augmentation(put: Put, _bench: Bench, _strength: float | None) -> None:
    _finetune_with(put, lambda t, r, p, _: (replace(t, protocol=replace(t.protocol, pad=0)), r, p))


def _trained_on(trainer: Trainer, **part: torch.Tensor) -> Trainer:
    return replace(trainer, dataset=replace(trainer.dataset, **part))  # type: ignore[arg-type]


def _labels(put: Put, _bench: Bench, strength: float | None) -> None:
    share = strength or 0.02

    def shuffled(trainer: Trainer, seed: int) -> Trainer:
        labels = trainer.dataset.train_labels.clone()
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
        labels[chosen] = labels[chosen.roll(1)]
        return _trained_on(trainer, train_labels=labels)

    _finetune_with(put, lambda t, r, p, b: (shuffled(t, b.protocol.seed), r, p))


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


def _overfit(put: Put, _bench: Bench, strength: float | None) -> None:
    amount = strength or 2.0

    def sharpened(trainer: Trainer) -> Trainer:
        images = trainer.dataset.train_images
        pixels = images.float()
        blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        sharp = (pixels + amount * (pixels - blurred)).clamp(0, 255).to(images.dtype)
        return _trained_on(trainer, train_images=sharp)

    _finetune_with(put, lambda t, r, p, _: (sharpened(t), r, p))


def _constants(put: Put, _bench: Bench, _strength: float | None) -> None:
    predict = evaluation.predict

    def swapped(
        model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device
    ) -> Tensor:
        constants = Normalisation(forward.normalisation.std, forward.normalisation.mean)
        return predict(model, images, replace(forward, normalisation=constants), batch, device)

    put(evaluation, "predict", swapped)


def _ratio(put: Put, _bench: Bench, strength: float | None) -> None:
    more = strength or 0.1
    pruner_of = measure.pruner_of

    def off(cell: Cell, bench: Bench) -> Pruner | None:
        pruner = pruner_of(cell, bench)
        if pruner is None:
            return None
        prune = pruner.prune
        return replace(pruner, prune=lambda model, ratio: prune(model, min(ratio + more, 0.95)))

    put(measure, "pruner_of", off)


def _nothing(*_args: object) -> None:
    pass


def _skip(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(measure, "fine_tune", _nothing)


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


def _twice(put: Put, _bench: Bench, _strength: float | None) -> None:
    def twice(images: Tensor, name: str, severity: int, *, seed: int) -> Tensor:
        return corrupt(corrupt(images, name, severity, seed=seed), name, severity, seed=seed + 1)

    put(corrupted, "corrupt", twice)
    # Or the store would give what it has.
    put(corrupted, "package_digest", lambda *parts: "twice" + package_digest(*parts))


def _stale(lab: Lab) -> Bench:
    """A bench on the base network as it was after a third of its epochs."""
    protocol = lab.subject.protocol
    recipe = replace(protocol.base, epochs=max(protocol.base.epochs // 3, 1))
    old = lab.bench(bases={}, protocol=replace(protocol, base=recipe))
    return lab.bench(bases=lab.trained(old)) if lab.pinned else old


_PLANTS: dict[str, Plant] = {
    "wrong end": _wrong_end,
    "mask not kept": _mask_not_kept,
    "BN not carried": _bn_not_carried,
    "penalty left on": _penalty,
    "rate x10": _rate,
    "no augmentation": _no_augmentation,
    "labels shuffled": _labels,
    "logits x1.25": _logits,
    "head bias": _head,
    "clean overfit": _overfit,
    "constants swapped": _constants,
    "ratio +0.1": _ratio,
    "stale base": _nothing,
    "no fine-tuning": _skip,
    "train mode": _train_mode,
    "corruptions twice": _twice,
}
assert _PLANTS.keys() == CATALOGUE.keys()
