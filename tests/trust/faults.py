"""Real faults in the code that measures, planted one at a time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from unittest.mock import patch

import torch

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.evaluation import evaluate as evaluation
from pytest_prunecal.lab.forward import Normalisation
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training.loop import Pressure

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
def planted(name, lab):
    """Plant a fault; gives another bench where the fault needs one."""
    with ExitStack() as stack:

        def put(owner, attribute, value):
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


def _wrong_end(put, _bench, _strength):
    magnitudes = weight.magnitudes
    put(weight, "magnitudes", lambda values: -magnitudes(values))


def _mask_not_kept(put, _bench, _strength):
    put(training, "hold", _nothing)


def _bn_not_carried(put, _bench, _strength):
    fine_tune = measure.fine_tune

    def untracked(pruned, cell, bench):
        norms = [module for module in pruned.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = 0.0
        fine_tune(pruned, cell, bench)

    put(measure, "fine_tune", untracked)


class _Changed:
    """A trainer that trains otherwise."""

    def __init__(self, bench, change):
        self._bench, self._change = bench, change

    def train(self, network, recipe, generator, pressure):
        trainer, recipe, pressure = self._change(self._bench.trainer, recipe, pressure, self._bench)
        trainer.train(network, recipe, generator, pressure)


def _finetune_with(put, change):
    fine_tune = measure.fine_tune

    def changed(pruned, cell, bench):
        other = copy(bench)
        other.trainer = _Changed(bench, change)
        fine_tune(pruned, cell, other)

    put(measure, "fine_tune", changed)


def _penalty(put, bench, strength):
    penalty = bench.protocol.slimming.penalty["default"] * (strength or 1)
    _finetune_with(put, lambda t, r, p, _: (t, r, Pressure(masks=p.masks, slimming=penalty)))


def _rate(put, _bench, strength):
    factor = strength or 10
    _finetune_with(put, lambda t, r, p, _: (t, replace(r, learning_rate=factor * r.learning_rate), p))


def _no_augmentation(put, _bench, _strength):
    _finetune_with(put, lambda t, r, p, _: (replace(t, protocol=replace(t.protocol, pad=0)), r, p))


def _trained_on(trainer, **part):
    return replace(trainer, dataset=replace(trainer.dataset, **part))


def _labels(put, _bench, strength):
    share = strength or 0.02

    def shuffled(trainer, seed):
        labels = trainer.dataset.train_labels.clone()
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
        labels[chosen] = labels[chosen.roll(1)]
        return _trained_on(trainer, train_labels=labels)

    _finetune_with(put, lambda t, r, p, b: (shuffled(t, b.protocol.seed), r, p))


def _logits(put, _bench, strength):
    predict, factor = evaluation.predict, strength or 1.25
    put(evaluation, "predict", lambda *args: factor * predict(*args))


def _head(put, _bench, strength):
    predict, shift = evaluation.predict, strength or 1.0

    def shifted(*args):
        logits = predict(*args)
        logits[:, 3] += shift
        return logits

    put(evaluation, "predict", shifted)


def _overfit(put, _bench, strength):
    amount = strength or 2.0

    def sharpened(trainer):
        images = trainer.dataset.train_images
        pixels = images.float()
        blurred = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        sharp = (pixels + amount * (pixels - blurred)).clamp(0, 255).to(images.dtype)
        return _trained_on(trainer, train_images=sharp)

    _finetune_with(put, lambda t, r, p, _: (sharpened(t), r, p))


def _constants(put, _bench, _strength):
    predict = evaluation.predict

    def swapped(model, images, forward, batch, device):
        constants = Normalisation(forward.normalisation.std, forward.normalisation.mean)
        return predict(model, images, replace(forward, normalisation=constants), batch, device)

    put(evaluation, "predict", swapped)


def _ratio(put, _bench, strength):
    more = strength or 0.1
    pruner_of = measure.pruner_of

    class More:
        def __init__(self, pruner):
            self.slimming, self._prune = pruner.slimming, pruner.prune

        def prune(self, model, ratio):
            return self._prune(model, min(ratio + more, 0.95))

    def off(cell, bench):
        pruner = pruner_of(cell, bench)
        return More(pruner) if pruner else None

    put(measure, "pruner_of", off)


def _nothing(*_args):
    pass


def _skip(put, _bench, _strength):
    put(measure, "fine_tune", _nothing)


def _train_mode(put, _bench, _strength):
    predict = evaluation.predict

    def training_mode(model, *args):
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
            norm.momentum = 0.0
        try:
            return predict(model, *args)
        finally:
            for norm in norms:
                norm.eval()

    put(evaluation, "predict", training_mode)


def _twice(put, _bench, _strength):
    corrupt = corrupted.corrupt

    def twice(images, name, severity, *, seed):
        return corrupt(corrupt(images, name, severity, seed=seed), name, severity, seed=seed + 1)

    put(corrupted, "corrupt", twice)
    digest = corrupted.package_digest  # or the store would give what it has
    put(corrupted, "package_digest", lambda *parts: "twice" + digest(*parts))


def _stale(lab):
    """A bench on the base network as it was after a third of its epochs."""
    protocol = lab.subject.protocol
    recipe = replace(protocol.base, epochs=max(protocol.base.epochs // 3, 1))
    old = lab.bench(bases={}, protocol=replace(protocol, base=recipe))
    return lab.bench(bases=lab.trained(old)) if lab.pinned else old


_PLANTS = {
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
