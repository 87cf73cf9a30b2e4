"""Training on the protocol's recipe, for base networks and for pruned ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_prunecal.lab.forward import lay_out
from pytest_prunecal.lab.models.norms import bn_scales
from pytest_prunecal.lab.pruners.base import held_by, hold
from pytest_prunecal.lab.training.adamw import AdamW
from pytest_prunecal.lab.training.sgd import SGD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_prunecal.lab.forward import Forward
    from pytest_prunecal.lab.training.augmentation import Augmentation
    from pytest_prunecal.study.protocol import Recipe


@dataclass(frozen=True)
class Pressure:
    """What acts on a network's weights besides the recipe, and who looks on.

    Attributes:
        masks: parameter name to a bool mask; what is False stays zero after every step.
        slimming: lambda of the L1 subgradient that is added to the gradient of every BN scale
            (network slimming, Liu et al. 2017, eq. 1).
        loss: what is minimised in the place of cross-entropy, of logits, float32 (n, classes), labels, int64
            (n,), and images, uint8 (n, 3, H, W) as augmented.
        schedule: called before every step with its number, from 0, and with how many there will be; what it
            gives are masks to hold from then on, None changes nothing.
        observer: called after every step with the network, the step's loss, float () on the device, and its
            rate; it changes nothing, and training ends where it says that it has seen enough.
    """

    masks: Mapping[str, Tensor] = field(default_factory=dict)
    slimming: float = 0.0
    loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    schedule: Callable[[int, int], Mapping[str, Tensor] | None] | None = None
    observer: Callable[[nn.Module, Tensor, float], bool] | None = None


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    forward: Forward,
    augmentation: Augmentation,
    generator: torch.Generator,
    pressure: Pressure,
) -> None:
    """Train a network in place, with a fresh optimiser.

    Args:
        model: on the device of `images`; left in training mode.
        images: uint8 (N, 3, H, W).
        labels: int64 (N,), on the same device.
        recipe: epochs, batch, optimiser, rate and its schedule.
        forward: from uint8 to logits.
        augmentation: random crops and flips.
        generator: CPU generator of every random number of the training.
        pressure: masks to hold, the L1 penalty on BN scales, another loss, and who looks on.
    """
    # Nothing in here waits for the device: no number of a step is read back.
    device = images.device
    lay_out(model, device)
    images = augmentation.padded(images)
    scales = bn_scales(model) if pressure.slimming else []
    held = held_by(model, pressure.masks)
    kind: type[SGD | AdamW] = AdamW if recipe.optimiser == "adamw" else SGD
    optimiser = kind(model.parameters(), recipe)
    model.train()
    steps = steps_per_epoch(len(labels), recipe.batch)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(labels), generator=generator)
        draws = augmentation.draw(len(labels), generator).to(device)
        order = order.to(device)
        for step in range(steps):
            rows = slice(step * recipe.batch, (step + 1) * recipe.batch)
            chosen = order[rows]
            if pressure.schedule:
                masks = pressure.schedule(epoch * steps + step, recipe.epochs * steps)
                if masks is not None:
                    held = held_by(model, masks)
                    hold(held)
            batch = augmentation.apply(images, chosen, draws[rows])
            logits = forward.logits(model, batch)
            if pressure.loss:
                loss = pressure.loss(logits, labels[chosen], batch)
            else:
                loss = functional.cross_entropy(
                    logits, labels[chosen], label_smoothing=recipe.label_smoothing
                )
            optimiser.zero_grad()
            loss.backward()
            for scale in scales:
                if scale.grad is not None:
                    scale.grad.add_(torch.sign(scale.detach()), alpha=pressure.slimming)
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            rate = learning_rate(recipe, epoch + step / steps)
            optimiser.step(rate)
            hold(held)
            if pressure.observer and pressure.observer(model, loss.detach(), rate):
                return


def steps_per_epoch(images: int, batch: int) -> int:
    """Optimiser steps in a pass; a last batch of a single image is left out, as BN has no variance there."""
    full, rest = divmod(images, batch)
    return full + (rest > 1)


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """Learning rate at a point of the training.

    Args:
        recipe: peak rate, schedule and warmup.
        epoch: fractional epoch, in [0, recipe.epochs).
    """
    rate = recipe.learning_rate
    if epoch < recipe.warmup:
        return rate * epoch / recipe.warmup
    if recipe.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
    return rate * recipe.decay ** sum(epoch >= milestone for milestone in recipe.milestones)
