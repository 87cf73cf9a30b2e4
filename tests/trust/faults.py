"""Real faults in the code that measures, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.bench import Bench, train
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.evaluation import evaluate as evaluation
from pytest_prunecal.lab.forward import Normalisation
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.lab.pruners.base import magnitudes
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training.loop import Pressure
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
Terms = tuple[Recipe, torch.Generator, Pressure, Bench]
"""What a training is given besides its network."""

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


def _finetune_with(put: Put, change: Callable[[Recipe, torch.Generator, Pressure, Bench], Terms]) -> None:
    def changed(
        model: torch.nn.Module, recipe: Recipe, generator: torch.Generator, pressure: Pressure, bench: Bench
    ) -> None:
        train(model, *change(recipe, generator, pressure, bench))

    put(measure, "train", changed)


def _penalty(put: Put, bench: Bench, strength: float | None) -> None:
    penalty = bench.protocol.slimming.penalty["default"] * (strength or 1)
    _finetune_with(put, lambda r, g, p, b: (r, g, Pressure(masks=p.masks, slimming=penalty), b))


def _rate(put: Put, _bench: Bench, strength: float | None) -> None:
    factor = strength or 10
    _finetune_with(put, lambda r, g, p, b: (replace(r, learning_rate=factor * r.learning_rate), g, p, b))


def _no_augmentation(put: Put, _bench: Bench, _strength: float | None) -> None:
    def bare(b: Bench) -> Bench:
        other = _with_training_set(b, *b.training_set)
        other.protocol = replace(b.protocol, pad=0)
        return other

    _finetune_with(put, lambda r, g, p, b: (r, g, p, bare(b)))


_FIELDS = ("protocol", "store", "device", "data", "extensions", "bases")


def _with_training_set(b: Bench, images: torch.Tensor, labels: torch.Tensor) -> Bench:
    other = Bench(**{k: getattr(b, k) for k in _FIELDS}, fresh=True)
    other.__dict__["dataset"] = b.dataset
    other.__dict__["training_set"] = (images, labels)
    return other


def _labels(put: Put, _bench: Bench, strength: float | None) -> None:
    share = strength or 0.02

    def shuffled(b: Bench) -> Bench:
        images, labels = b.training_set
        generator = torch.Generator().manual_seed(b.protocol.seed)
        chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
        labels = labels.clone()
        labels[chosen] = labels[chosen.roll(1)]
        return _with_training_set(b, images, labels)

    _finetune_with(put, lambda r, g, p, b: (r, g, p, shuffled(b)))


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

    def sharpened(b: Bench) -> Bench:
        images, labels = b.training_set
        pixels = images.float()
        blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        sharp = (pixels + amount * (pixels - blurred)).clamp(0, 255).to(images.dtype)
        return _with_training_set(b, sharp, labels)

    _finetune_with(put, lambda r, g, p, b: (r, g, p, sharpened(b)))


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
    from pytest_prunecal.study.given_base import GivenBase

    subject = lab.subject
    recipe = replace(subject.protocol.base, epochs=max(subject.protocol.base.epochs // 3, 1))
    old = lab.bench(bases={})
    old.protocol = replace(subject.protocol, base=recipe)
    if not lab.pinned:
        return old
    from pytest_prunecal.baseline.file import BASE_KINDS
    from pytest_prunecal.lab.base_network import trained_base
    from pytest_prunecal.lab.reproducible import reproducible
    from pytest_prunecal.study.cell import Cell

    with reproducible(1):
        paths = {
            kind: trained_base(Cell(subject.model, None, 0), old, slimming=kind == "slimmed")
            for kind in BASE_KINDS
        }
    return lab.bench(bases={(subject.model, kind): GivenBase(path) for kind, path in paths.items()})


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
