"""Real faults in the code that measures, planted one at a time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import in_evaluation
import in_finetuning
import in_pruning

from pytest_prunecal.study.trace import CORRUPTIONS, DATA, DENSE, FINETUNE, PRUNED, STRUCTURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab import Lab
    from planting import Plant

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.study.protocol import Protocol


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        does: what it does.
        stage: the first stage of the trace that must differ, written down before anything was measured; empty
            where the screen cannot see it.
    """

    does: str
    stage: str


CATALOGUE = {
    "wrong end": Fault("the weight pruner keeps the smallest weights", PRUNED),
    "mask not kept": Fault("pruned weights grow again in fine-tuning", STRUCTURE),
    "BN not carried": Fault(
        "the pruned network's running statistics start anew and are not tracked", FINETUNE
    ),
    "penalty left on": Fault("the L1 penalty on BN scales stays on in fine-tuning", FINETUNE),
    "rate x10": Fault("fine-tuning at ten times its rate", FINETUNE),
    "no augmentation": Fault("fine-tuning without random crops", FINETUNE),
    "labels shuffled": Fault("2 % of the training labels are another image's", FINETUNE),
    "logits x1.25": Fault("logits scaled by 1.25 at evaluation", DENSE),
    "head bias": Fault("the bias of one class is 1 higher at evaluation", DENSE),
    "clean overfit": Fault("fine-tuned on sharpened images only: noise is no longer handled", FINETUNE),
    "constants swapped": Fault("mean and deviation of the normalisation swapped at evaluation", DENSE),
    "ratio +0.1": Fault("a tenth more is pruned than asked for", PRUNED),
    "stale base": Fault("an old checkpoint of the base network, of a third of its epochs", ""),
    "no fine-tuning": Fault("fine-tuning is skipped", FINETUNE),
    "train mode": Fault("evaluated with the batch's BN statistics", DENSE),
    "corruptions twice": Fault("every corruption is applied twice", CORRUPTIONS),
    # Those that hardly harm a metric.
    "weight decay x2": Fault("fine-tuning with twice the weight decay", FINETUNE),
    "momentum 0.89": Fault("fine-tuning with a momentum of 0.89 in the place of 0.9", FINETUNE),
    "rate +1 %": Fault("fine-tuning at a rate 1 % higher", FINETUNE),
    "last batch dropped": Fault("an epoch's last batch, which is smaller, is dropped", FINETUNE),
    "label smoothing": Fault("fine-tuning with labels smoothed by 0.01", FINETUNE),
    "crops off by one": Fault("random crops never start at the last row or column", FINETUNE),
    "gradient clipped": Fault("the gradient's norm is clipped at 0.5 in fine-tuning", FINETUNE),
    "BN momentum 0.11": Fault(
        "running statistics follow fine-tuning with 0.11 in the place of 0.1", FINETUNE
    ),
    "first conv spared": Fault("the weight pruner spares the first conv and takes as much elsewhere", PRUNED),
    "filters by L2": Fault("filters are ranked by their L2 norm in the place of L1", PRUNED),
    "test images swapped": Fault("two test images change places, their labels do not", DATA),
    "test image replaced": Fault("one test image is a copy of another of its class", DATA),
    "one corruption reseeded": Fault("shot noise is drawn with another seed", CORRUPTIONS),
    "corrupted rows swapped": Fault("two images under fog change places, their labels do not", DENSE),
    "constants rounded": Fault("the constants of the normalisation are rounded to two digits", DENSE),
    "ECE of 9 bins": Fault("calibration errors have 9 bins in the place of 10", DENSE),
    "BN eps 1e-4": Fault("BN adds 1e-4 to the variance in the place of 1e-5", DENSE),
    "order kept": Fault("fine-tuning takes the images in the first epoch's order in every epoch", ""),
    "predictions turned": Fault("2 % of a tuned network's predictions become its second choice", ""),
    "last bits": Fault(
        "no fault: weights of the base network times 1 + 1e-7 gauss, as by another machine", ""
    ),
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


def _stale(lab: Lab) -> Bench:
    """A bench on the base network as it was after a third of its epochs."""
    old = lab.bench(bases={}, protocol=stale(lab.subject.protocol))
    return lab.bench(bases=lab.trained(old))


def stale(protocol: Protocol) -> Protocol:
    """A protocol that trains base networks for a third of its epochs."""
    return replace(protocol, base=replace(protocol.base, epochs=max(protocol.base.epochs // 3, 1)))


_PLANTS: dict[str, Plant] = {
    **in_finetuning.PLANTS,
    **in_pruning.PLANTS,
    **in_evaluation.PLANTS,
    "stale base": lambda *_: None,
}
assert _PLANTS.keys() == CATALOGUE.keys()
