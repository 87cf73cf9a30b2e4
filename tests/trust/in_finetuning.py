"""Faults in fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from planting import finetune_with

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training import trainer as trainer_module
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.lab.training.sgd import SGD

if TYPE_CHECKING:
    from planting import Plant, Put
    from torch import Tensor

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.pruners.base import Pruned
    from pytest_prunecal.lab.training.trainer import Trainer
    from pytest_prunecal.study.cell import Cell


def _nothing(*_args: object, **_named: object) -> None:
    pass


def _mask_not_kept(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(training, "hold", _nothing)


def _bn_not_carried(put: Put, _bench: Bench, _strength: float | None) -> None:
    fine_tune = measure.fine_tune

    def untracked(pruned: Pruned, cell: Cell, bench: Bench, *others: object, **named: object) -> object:
        for norm in _norms(pruned):
            norm.reset_running_stats()
            norm.momentum = 0.0
        return fine_tune(pruned, cell, bench, *others, **named)

    put(measure, "fine_tune", untracked)


def _bn_momentum(put: Put, _bench: Bench, strength: float | None) -> None:
    fine_tune = measure.fine_tune

    def faster(pruned: Pruned, cell: Cell, bench: Bench, *others: object, **named: object) -> object:
        for norm in _norms(pruned):
            norm.momentum = strength or 0.11
        return fine_tune(pruned, cell, bench, *others, **named)

    put(measure, "fine_tune", faster)


def _norms(pruned: Pruned) -> list[torch.nn.BatchNorm2d]:
    return [module for module in pruned.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def _penalty(put: Put, bench: Bench, strength: float | None) -> None:
    penalty = bench.protocol.slimming.penalty["default"] * (strength or 1)
    finetune_with(put, lambda t, r, p, _: (t, r, replace(p, slimming=penalty)))


def _rate(put: Put, _bench: Bench, strength: float | None) -> None:
    factor = strength or 10
    finetune_with(put, lambda t, r, p, _: (t, replace(r, learning_rate=factor * r.learning_rate), p))


def _decay(put: Put, _bench: Bench, strength: float | None) -> None:
    factor = strength or 2
    finetune_with(put, lambda t, r, p, _: (t, replace(r, weight_decay=factor * r.weight_decay), p))


def _momentum(put: Put, _bench: Bench, strength: float | None) -> None:
    finetune_with(put, lambda t, r, p, _: (t, replace(r, momentum=strength or 0.89), p))


def _no_augmentation(put: Put, _bench: Bench, _strength: float | None) -> None:
    finetune_with(put, lambda t, r, p, _: (replace(t, protocol=replace(t.protocol, pad=0)), r, p))


def _crops_off_by_one(put: Put, _bench: Bench, _strength: float | None) -> None:
    draw = Augmentation.draw

    def never_the_last(self: Augmentation, count: int, generator: torch.Generator) -> Tensor:
        draws = draw(self, count, generator)
        draws[:, :2].clamp_(max=2 * self.pad - 1)
        return draws

    put(Augmentation, "draw", never_the_last)


def _trained_on(trainer: Trainer, **part: Tensor) -> Trainer:
    return replace(trainer, dataset=replace(trainer.dataset, **part))  # type: ignore[arg-type]


def _labels(put: Put, _bench: Bench, strength: float | None) -> None:
    share = strength or 0.02

    def shuffled(trainer: Trainer, seed: int) -> Trainer:
        labels = trainer.dataset.train_labels.clone()
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
        labels[chosen] = labels[chosen.roll(1)]
        return _trained_on(trainer, train_labels=labels)

    finetune_with(put, lambda t, r, p, b: (shuffled(t, b.protocol.seed), r, p))


def _overfit(put: Put, _bench: Bench, strength: float | None) -> None:
    amount = strength or 2.0

    def sharpened(trainer: Trainer) -> Trainer:
        images = trainer.dataset.train_images
        pixels = images.float()
        blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        sharp = (pixels + amount * (pixels - blurred)).clamp(0, 255).to(images.dtype)
        return _trained_on(trainer, train_images=sharp)

    finetune_with(put, lambda t, r, p, _: (sharpened(t), r, p))


def _skip(put: Put, _bench: Bench, _strength: float | None) -> None:
    finetune_with(put, lambda t, r, p, _: (t, replace(r, epochs=0), p))


def _last_batch(put: Put, _bench: Bench, _strength: float | None) -> None:
    put(training, "steps_per_epoch", lambda images, batch: images // batch)


def _smoothing(put: Put, _bench: Bench, strength: float | None) -> None:
    finetune_with(put, lambda t, r, p, _: (t, replace(r, label_smoothing=strength or 0.01), p))


def _clipped(put: Put, _bench: Bench, strength: float | None) -> None:
    step = SGD.step

    def clipped(self: SGD, rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self._parameters, strength or 0.5)
        step(self, rate)

    put(SGD, "step", clipped)


def _same_order(put: Put, _bench: Bench, _strength: float | None) -> None:
    train = training.train

    class Again:
        """The torch of a loop that draws one order and keeps to it."""

        def __init__(self) -> None:
            self._order: Tensor | None = None

        def __getattr__(self, name: str) -> object:
            return getattr(torch, name)

        def randperm(self, count: int, *, generator: torch.Generator) -> Tensor:
            if self._order is None:
                self._order = torch.randperm(count, generator=generator)
            return self._order

    def ordered(*arguments: object, **named: object) -> object:
        put(training, "torch", Again())
        return train(*arguments, **named)  # type: ignore[arg-type]

    put(trainer_module, "train", ordered)


PLANTS: dict[str, Plant] = {
    "mask not kept": _mask_not_kept,
    "BN not carried": _bn_not_carried,
    "BN momentum 0.11": _bn_momentum,
    "penalty left on": _penalty,
    "rate x10": _rate,
    "rate +1 %": lambda put, bench, strength: _rate(put, bench, strength or 1.01),
    "weight decay x2": _decay,
    "momentum 0.89": _momentum,
    "no augmentation": _no_augmentation,
    "crops off by one": _crops_off_by_one,
    "labels shuffled": _labels,
    "clean overfit": _overfit,
    "no fine-tuning": _skip,
    "last batch dropped": _last_batch,
    "label smoothing": _smoothing,
    "gradient clipped": _clipped,
    "order kept": _same_order,
}
