"""The published study's work in FLOPs: its real networks at full width, pruned by the real pruners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from schedule import Step
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from pytest_prunecal.lab.metrics.complexity import macs
from pytest_prunecal.lab.models.norms import bn_scales
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.study.builtin import MODELS, PRUNERS
from pytest_prunecal.study.cell import DENSE, MASKING, grid, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schedule import Job

    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.protocol import Protocol

STUDY = ("vgg19", "resnet110", "preresnet164")
"""The networks of arXiv 2405.20876; what is done to them is its protocol, `paper`."""
TRAINED, TESTED, SHAPE, CLASSES = 50_000, 10_000, (3, 32, 32), 10
"""CIFAR-10: training images, test images, their shape, their classes."""
BASE, TUNING, EVALUATION = "base trainings", "fine-tuning", "evaluation"
WORKS = (BASE, TUNING, EVALUATION)


@dataclass(frozen=True)
class Part:
    """A part of what a cell takes.

    Attributes:
        model: whose cell it is.
        work: one of `WORKS`.
        flops: that it takes.
        once: what it makes, where other cells need that too.
    """

    model: str
    work: str
    flops: float
    once: str | None = None


@cache
def built(model: str, width: float) -> nn.Module:
    """Build an untrained network whose BN scales differ, so that slimming removes channels at random."""
    torch.manual_seed(0)
    network: nn.Module = resolve(MODELS[model], model)(num_classes=CLASSES, width=width)
    for scale in bn_scales(network):
        nn.init.uniform_(scale)
    return network


@cache
def forward_flops(model: str, width: float, pruner: str | None = None, ratio: float = 0.0) -> int:
    """FLOPs of one image's forward pass through a network, dense or pruned: two per multiply-accumulate."""
    network = built(model, width)
    if pruner and PRUNERS[pruner].levels is None and pruner not in MASKING:
        network = resolve(PRUNERS[pruner].prune, pruner)(network, ratio).model
    return 2 * macs(network, SHAPE)


@cache
def training_factor(model: str, width: float, images: int = 2) -> float:
    """How many forward passes forward and backward take together, as torch counts them.

    Two of three is what backward takes by the book; the first layer has no gradient of its input.
    """
    network = built(model, width)
    batch, labels = torch.zeros(images, *SHAPE), torch.zeros(images, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        loss = functional.cross_entropy(network(batch), labels)
        passed: int = counter.get_total_flops()
        loss.backward()
    assert passed == images * forward_flops(model, width)  # both count alike
    both: int = counter.get_total_flops()
    return both / passed


def study(protocol: Protocol) -> list[tuple[Part, ...]]:
    """Every cell of the study, in the order in which the gate hands them out, and what each takes."""
    models = [grid(model, protocol.pruners, protocol.ratios) for model in STUDY]
    return [tuple(_parts(cell, protocol)) for cell in interleaved(models)]


def test_sets(protocol: Protocol) -> int:
    """Count the test sets: the clean one, and each corruption at each severity."""
    return 1 + len(protocol.evaluation.corruptions) * len(protocol.evaluation.severities)


def _parts(cell: Cell, protocol: Protocol) -> Iterator[Part]:
    """What a cell takes, in the order of `pytest_prunecal.lab.measure.measure_once`."""
    model, width = cell.model, protocol.width_of(cell.model)
    slimming = cell.pruner is not None and PRUNERS[cell.pruner].slimming
    kind = f"{model} {'slimmed' if slimming else 'plain'}"
    dense, factor = forward_flops(model, width), training_factor(model, width)
    tested = test_sets(protocol) * TESTED
    yield Part(model, BASE, protocol.base.epochs * TRAINED * factor * dense, kind)
    if cell.id != DENSE:
        own = forward_flops(model, width, cell.pruner, cell.ratio)
        if cell.pruner is None or PRUNERS[cell.pruner].tunes:
            yield Part(model, TUNING, protocol.finetune.epochs * TRAINED * factor * own)
        yield Part(model, EVALUATION, tested * own)
    yield Part(model, EVALUATION, tested * dense, f"{kind}, evaluated")


def total(cells: list[tuple[Part, ...]], model: str, work: str) -> float:
    """FLOPs of one model's work of one kind; what several cells need counts once."""
    parts = [part for cell in cells for part in cell if (part.model, part.work) == (model, work)]
    shared = {part.once: part.flops for part in parts if part.once}
    return sum(part.flops for part in parts if not part.once) + sum(shared.values())


def jobs(cells: list[tuple[Part, ...]], rate: Callable[[str, str], float]) -> list[Job]:
    """What a schedule takes: each part's time at the FLOP per unit of time that its model and work reach."""
    return [
        tuple(Step(part.flops / rate(part.model, part.work), part.once) for part in cell) for cell in cells
    ]
